"""What parse.py does, with the SDK: the benchmark of what the SDK costs."""

from dataclasses import dataclass, field

from kafka_host_plugin import Done, plugin


@dataclass
class Email:
    to: str
    subject: str
    body: str
    sender: str = field(metadata={"json": "from"})


@plugin(name="parse-sdk-py", version="0.1.0", summary="A guest in Python", topic="parse-sdk-py", max_batch=1000)
def handle(email: Email) -> Done:
    return Done()
