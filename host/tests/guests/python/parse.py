"""Reads the fields of an e-mail from JSON and discards them, as ../parse does: the guest of the benchmarks."""

import json

from shared import description
from wit_world import exports
from wit_world.imports.messages import Failure, Message, Outcome_Done, Outcome_Reject

FIELDS = ("from", "to", "subject", "body")


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return description("parse", [("max-batch", "1000")])


class Handler(exports.Handler):
    def handle(self, batch):
        return [parse(message) for message in batch]


def parse(message: Message):
    try:
        fields = json.loads(message.value)
    except ValueError as error:
        return Outcome_Reject(Failure("invalid-message", str(error)))
    missing = next((field for field in FIELDS if field not in fields), None)
    if missing:
        return Outcome_Reject(Failure("invalid-message", f"{missing} is missing"))
    return Outcome_Done("")
