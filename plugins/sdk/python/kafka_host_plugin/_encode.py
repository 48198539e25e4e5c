"""JSON from values, the inverse of `_decode`."""

import dataclasses
import json
from datetime import date
from enum import Enum


def to_json(value: object) -> bytes:
    """The JSON of a value: dataclasses, enums, dates and decimals too.

    Raises `TypeError` for what has no form in JSON, and `ValueError` for NaN and infinities.
    """
    return _ENCODER.encode(value).encode("utf-8", "replace")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.metadata.get("json", field.name): getattr(value, field.name) for field in fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if type(value).__name__ == "Decimal":
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


_ENCODER = json.JSONEncoder(default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
