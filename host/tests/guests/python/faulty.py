"""Acts as its messages ask it to, like ../faulty: {"do": "throw"}."""

import json
import logging
import sys
import time

from shared import description
from wit_world import exports
from wit_world.imports.messages import Outcome_Done

logging.basicConfig(level=logging.DEBUG)


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return description("faulty", [])


class Handler(exports.Handler):
    def handle(self, batch):
        request = json.loads(batch[0].value)
        act(request)
        return [Outcome_Done("")]


def act(request: dict):
    match request.get("do"):
        case "sleep":
            time.sleep(request["ms"] / 1000)
        case "throw":
            fail(request["message"])
        case "cause":
            try:
                fail(request["message"])
            except ValueError as error:
                raise RuntimeError("outer") from error
        case "recurse":
            recurse(1)
        case "exit":
            sys.exit(3)
        case "log":
            log()
        case "log-throw":
            logging.info("logging info")
            logging.error("logging error before it")
            fail(request["message"])
        case "print":
            print("printed")
            print("printed to stderr", file=sys.stderr)


def fail(message: str):
    raise ValueError(message)


def recurse(depth: int) -> int:
    return recurse(depth + 1) + 1


def log():
    logging.debug("logging debug")
    logging.info("logging info")
    logging.warning("logging warning")
    logging.error("logging error")
