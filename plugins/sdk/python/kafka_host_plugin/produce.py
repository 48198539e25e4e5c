"""Publishes records to Kafka. Needs `allow = ["produce:TOPIC"]`.

A plugin that imports this module has the import `produce`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from . import _host
from ._encode import to_json
from ._message import Header
from ._outcomes import Reject, Retry
from componentize_py_types import Ok
from wit_world.imports import messages as _messages, produce as _produce


@dataclass(frozen=True)
class Record:
    """A record to be published."""

    topic: str
    #: None is a tombstone.
    value: bytes | None
    #: Decides the partition. None is a null key.
    key: bytes | None = None
    headers: Sequence[Header] = ()

    @classmethod
    def json(cls, topic: str, value: object, key: str | None = None, headers: Sequence[Header] = ()) -> "Record":
        """A record whose value is JSON: of a dataclass, or of what the module `json` can encode."""
        return cls(topic, to_json(value), None if key is None else key.encode(), headers)


@dataclass(frozen=True)
class Position:
    """The position of a published record."""

    partition: int
    offset: int


@dataclass(frozen=True)
class Transient:
    """A temporary failure."""

    detail: str


@dataclass(frozen=True)
class Permanent:
    """A permanent failure: the record is too large, or the topic refuses it."""

    detail: str


@dataclass(frozen=True)
class Denied:
    """The topic is not granted."""

    detail: str


ProduceError = Union[Transient, Permanent, Denied]


def publish(*records: Record) -> list[Position]:
    """Publishes records, and returns their positions, in order, when all in-sync replicas have them.

    Raises `Retry("produce-transient")`, `Reject("produce-permanent")` or `Reject("produce-denied")` for the first
    record that failed. The next delivery publishes again only what was not published.
    """
    positions = []
    for result in try_publish(*records):
        match result:
            case Position():
                positions.append(result)
            case Transient(detail):
                raise Retry("produce-transient", detail)
            case Permanent(detail):
                raise Reject("produce-permanent", detail)
            case Denied(detail):
                raise Reject("produce-denied", detail)
    if len(positions) != len(records):
        raise Retry("produce-transient", f"the host returned {len(positions)} results for {len(records)} records")
    return positions


def try_publish(*records: Record) -> list[Position | ProduceError]:
    """Publishes records, and returns one result for each, in order. If one fails, those after it may be published."""
    _host.require("produce.publish")
    return [_result(result) for result in _produce.publish([_new_record(record) for record in records])]


def _new_record(record: Record) -> _produce.NewRecord:
    for what, value in (("value", record.value), ("key", record.key)):
        if not isinstance(value, bytes | None):
            kind = type(value).__name__
            raise TypeError(f"the {what} of a record must be bytes or None, not {kind}; see Record.json")
    headers = [_messages.Header(_host.text(one.name, "the name of a header"), one.value) for one in record.headers]
    return _produce.NewRecord(_host.text(record.topic, "the topic of a record"), record.key, record.value, headers)


def _result(result: object) -> Position | ProduceError:
    if isinstance(result, Ok):
        return Position(result.value.partition, result.value.offset)
    error = getattr(result, "value", None)
    match error:
        case _produce.ProduceError_Transient(detail):
            return Transient(detail)
        case _produce.ProduceError_Denied(detail):
            return Denied(detail)
        case _produce.ProduceError_Permanent(detail):
            return Permanent(detail)
    raise TypeError(f"the host returned {result!r} for a record")
