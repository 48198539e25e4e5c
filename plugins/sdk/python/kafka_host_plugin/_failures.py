"""Exceptions that end a call, as text that the host reads: class, message and traceback, once.

The host finds it in what is printed before the trap. It keeps the last 16 KiB, so that everything here has a bound.
"""

import linecache
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

#: The maximum length of an exception's message, in characters.
_MAX_MESSAGE = 1000
#: The maximum number of frames of a traceback: the outermost, and the innermost.
_MAX_FRAMES = (3, 9)
#: The maximum number of exceptions, of which each is the cause of the next.
_MAX_CHAIN = 4
#: The maximum number of exceptions shown of a group.
_MAX_GROUP = 5
#: The maximum length of a source line, in characters.
_MAX_SOURCE = 100

_FIRST = "Traceback (most recent call last):"
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"

#: In a component, the directory of each import path has a number, and the standard library has none.
_COMPONENT = r"^/[0-9]+/"
_SDK = str(Path(__file__).parent)


def report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Prints an exception that was not caught; for `sys.excepthook`."""
    try:
        lines = list(_lines(error))
    except BaseException:
        # Its attributes can be properties, which fail.
        lines = [_FIRST, *_frames(traceback), summary(error)]
    print("\n".join(lines), file=sys.stderr, flush=True)


def remember_sources() -> None:
    """Keeps the source lines of the plugin's modules. In a component there are no files."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and re.match(_COMPONENT, path) and not path.startswith(_SDK):
            linecache.getlines(path)


def summary(error: BaseException) -> str:
    """Class and message of an exception, in one line."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)
    except BaseException as failed:
        message = f"<its text failed with {type(failed).__qualname__}>"
    message = " | ".join([message[: _MAX_MESSAGE + 1], *_notes(error)])
    if isinstance(error, BaseExceptionGroup):
        inner = [summary(one)[:_MAX_MESSAGE] for one in error.exceptions[:_MAX_GROUP]]
        message = f"{message[:_MAX_MESSAGE]}: {'; '.join(inner)}"
    # Neither line breaks nor half of a surrogate pair.
    message = " | ".join(line.strip() for line in message[: _MAX_MESSAGE + 1].splitlines())
    message = message.encode("utf-8", "replace").decode()
    if len(message) > _MAX_MESSAGE:
        message = message[:_MAX_MESSAGE] + "…"
    return f"{name}: {message}" if message else name


def _notes(error: BaseException) -> list[str]:
    try:
        return [note[:_MAX_MESSAGE] for note in error.__notes__ if isinstance(note, str)]
    except BaseException:
        return []


def _lines(error: BaseException) -> Iterator[str]:
    chain, link = [(error, "")], _linked(error)
    while link is not None and len(chain) < _MAX_CHAIN and all(link[0] is not seen for seen, _ in chain):
        chain.append(link)
        link = _linked(link[0])
    for one, how in reversed(chain):
        yield _FIRST
        yield from _frames(one.__traceback__)
        yield summary(one)
        if how:
            yield how


def _linked(error: BaseException) -> tuple[BaseException, str] | None:
    if error.__cause__ is not None:
        return (error.__cause__, _CAUSE)
    if error.__context__ is not None and not error.__suppress_context__:
        return (error.__context__, _CONTEXT)
    return None


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((code.co_filename, traceback.tb_lineno, code.co_name))
        traceback = traceback.tb_next
    # The way to the handler is the same for every message.
    own = next((index for index, frame in enumerate(frames) if not frame[0].startswith(_SDK)), 0)
    frames = frames[own:]
    first, last = _MAX_FRAMES
    left_out = len(frames) - first - last
    for index, (path, line, name) in enumerate(frames):
        if left_out > 0 and first <= index < first + left_out:
            if index == first:
                yield f"  … {left_out} more"
            continue
        yield f'  File "{_short(path)}", line {line}, in {name}'
        source = linecache.getline(path, line).strip()
        if source:
            yield f"    {source[:_MAX_SOURCE]}"


def _short(path: str) -> str:
    return re.sub(_COMPONENT, "", path)
