"""A message as Kafka has it."""

from dataclasses import dataclass, field
from datetime import datetime, timezone


@dataclass(slots=True)
class Header:
    """A Kafka header. Names may repeat."""

    name: str
    #: None is a null value.
    value: bytes | None


@dataclass(slots=True)
class Message:
    """A message. A handler gets it whose first or second parameter has this type."""

    #: The idempotency key, which is the same for every redelivery, retry and replay.
    id: str
    #: The topic to which the message was originally published, also for a message from a retry topic.
    topic: str
    partition: int
    offset: int
    #: Milliseconds since the Unix epoch; 0 if the record has none.
    timestamp_ms: int
    #: None is a null key.
    key: bytes | None
    #: None is a tombstone.
    value: bytes | None
    #: The sender's headers.
    headers: tuple[Header, ...] = ()
    #: The number of the delivery; 1 is the first.
    attempt: int = 1
    #: The `attempt` of the last delivery under the retry policy.
    max_attempts: int = 1
    #: Additions of later hosts.
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def timestamp(self) -> datetime | None:
        """The record's timestamp; None if it has none."""
        if self.timestamp_ms == 0:
            return None
        return datetime.fromtimestamp(self.timestamp_ms / 1000, timezone.utc)

    def header(self, name: str) -> bytes | None:
        """The value of the last header of this name; None if it is null or there is none."""
        return next((header.value for header in reversed(self.headers) if header.name == name), None)
