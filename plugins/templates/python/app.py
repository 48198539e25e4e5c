"""Greets whoever a message names."""

import logging
from dataclasses import dataclass

from kafka_host_plugin import Done, Outcome, Reject, plugin


@dataclass
class Greeting:
    """The value of a message: `{"name": "Kim"}`."""

    name: str


@plugin(name="{{name}}", version="0.1.0", summary="Greets whoever a message names", topic="greetings")
def greet(greeting: Greeting) -> Outcome:
    """Handles a message."""
    name = greeting.name.strip()
    if not name:
        return Reject("no-name", "the greeting is for nobody")
    logging.info("Hello, %s!", name)
    return Done("greeted")
