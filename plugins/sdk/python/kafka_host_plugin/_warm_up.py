"""Runs the SDK's own way of a message while a plugin is built.

CPython rewrites the code of functions that run often, and remembers where it has found attributes. Both are writes into
its memory. A new instance begins with the memory of the build: what has run by then is faster, and writes to fewer pages.
The handler itself is not called.
"""

import dataclasses
import datetime
import enum
import logging
import sys
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import _host, config
from ._encode import to_json
from ._outcomes import Done, Reject
from ._plugin import Plugin
from ._wire import received, wire
from wit_world.imports import config as _config
from wit_world.imports import log as _log
from wit_world.imports import messages as _messages

#: CPython has rewritten everything after far fewer runs.
_RUNS = 100


def warm_up(plugin: Plugin[...]) -> None:
    """Decodes examples of the plugin's messages, and encodes outcomes and log lines, which go nowhere."""
    value = to_json(None if plugin.value_type is None else _example(plugin.value_type, 0))
    header = _messages.Header("name", b"value")
    message = _messages.Message("id", "topic", 0, 0, 0, b"key", value, [header], 1, 6, [])
    with _nowhere():
        for _ in range(_RUNS):
            wire(_decode(plugin, message))
            config.get("key")
            logging.info("text %s", 1, extra={"field": 1})


def _decode(plugin: Plugin[...], message: _messages.Message) -> Done | Reject:
    try:
        plugin.decode(received(message))
    except Reject as failure:
        return failure
    except Exception as error:
        # Of the plugin's own class. It did not expect an example.
        return Reject("failed", type(error).__name__)
    return Done("receipt")


@contextmanager
def _nowhere() -> Iterator[None]:
    """A host that does nothing."""
    originals = (_config.get, _log.write)
    _config.get, _log.write = lambda key: None, lambda level, text, fields: None
    _host.set_reachable(True)
    try:
        yield
    finally:
        _host.set_reachable(False)
        _config.get, _log.write = originals


def _example(expected: Any, depth: int) -> object:
    """What JSON may have for a type that can be decoded."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        # None ends what contains itself.
        return None if depth > 3 and type(None) in arguments else _example(arguments[0], depth)
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return [] if depth > 3 else [_example(arguments[0], depth + 1)]
    if origin is tuple:
        return [_example(argument, depth + 1) for argument in arguments]
    if origin is dict:
        return {} if depth > 3 else {"key": _example(arguments[1], depth + 1)}
    if isinstance(expected, typing.NewType):
        return _example(expected.__supertype__, depth)
    if isinstance(expected, type):
        return _example_of_class(expected, depth)
    return None


def _example_of_class(expected: type, depth: int) -> object:
    if dataclasses.is_dataclass(expected):
        hints = typing.get_type_hints(expected, include_extras=True)
        fields = [field for field in dataclasses.fields(expected) if field.init]
        return {field.metadata.get("json", field.name): _example(hints[field.name], depth + 1) for field in fields}
    if issubclass(expected, enum.Enum):
        return next(iter(expected)).value
    if issubclass(expected, datetime.date):
        return expected(2026, 1, 2).isoformat()
    if expected is getattr(sys.modules.get("decimal"), "Decimal", None):
        return "1.5"
    return {str: "text", int: 1, float: 1.5, bool: True, list: [], dict: {}}.get(expected)
