"""Python's `logging` writes to the host's log, at its levels."""

import logging
import sys

from . import _failures, _host
from wit_world.imports import log as _log

#: What a record has in any case; all else was given as `extra`.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _level(number: int) -> _log.Level:
    if number >= logging.ERROR:
        return _log.Level.ERROR
    if number >= logging.WARNING:
        return _log.Level.WARN
    if number >= logging.INFO:
        return _log.Level.INFO
    return _log.Level.DEBUG if number >= logging.DEBUG else _log.Level.TRACE


class HostHandler(logging.Handler):
    """Writes records to the host's log. `extra` becomes fields, and so does the name of a logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record. One that cannot be formatted is written as it is."""
        try:
            text = record.getMessage()
        except Exception as error:
            text = f"{record.msg!r} ({_failures.summary(error)})"
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {_failures.summary(record.exc_info[1])}" if text else _failures.summary(record.exc_info[1])
        if not _host.is_reachable():
            print(f"{record.levelname}: {text}", file=sys.stderr)
            return
        fields = [] if record.name == "root" else [("logger", record.name)]
        fields += [(name, str(value)) for name, value in vars(record).items() if name not in _USUAL]
        fields = [(_host.text(name, "name"), _host.text(value, "value")) for name, value in fields]
        _log.write(_level(record.levelno), _host.text(text, "text"), fields)


def install() -> None:
    """Lets the root logger write to the host, from the level `DEBUG` on. The host's own level decides what is shown."""
    root = logging.getLogger()
    root.addHandler(HostHandler())
    root.setLevel(logging.DEBUG)
