"""Attempts what no plugin should, as its messages ask it to: {"do": "loop"}. With the SDK."""

import builtins
import encodings.idna  # noqa: F401
import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import kafka_host_plugin
from kafka_host_plugin import Done, Outcome, Reject, Retry, config, mail, plugin

ACTIONS: dict[str, Callable[[], Any]] = {}


@dataclass
class Request:
    do: str


@plugin(name="hostile-py", version="0.1.0", summary="A hostile guest in Python", topic="hostile-py")
def handle(request: Request) -> Outcome | None:
    result = ACTIONS[request.do]()
    return Done("harmless") if result is None else result


def action(function: Callable[[], Any]) -> Callable[[], Any]:
    ACTIONS[function.__name__.replace("_", "-")] = function
    return function


def reach(attempt: Callable[[], object]) -> Outcome:
    """Done if it was reached, which it must not be."""
    try:
        return Done(f"reached: {attempt()!r}"[:200])
    except (OSError, RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        return Reject("denied", f"{type(error).__name__}: {error}")


class Unprintable(BaseException):
    def __str__(self) -> str:
        raise self

    __repr__ = __str__


class Odd(Exception):
    __cause__ = property(lambda self: 1 // 0)  # type: ignore[assignment]
    __traceback__ = property(lambda self: 1 // 0)  # type: ignore[assignment]
    __notes__ = property(lambda self: 1 // 0)


@action
def harmless() -> None:
    """The next message after each attempt."""


# Time and memory.


@action
def loop() -> None:
    while True:
        pass


@action
def regular_expression() -> None:
    import re

    re.match(r"(a+)+$", "a" * 64 + "b")


@action
def large_power() -> None:
    print(len(str(7 ** (7**9))))


@action
def memory_at_once() -> None:
    bytearray(1 << 30)


@action
def memory_in_small() -> None:
    kept = []
    while True:
        kept.append(bytes(1000))


@action
def memory_caught() -> Outcome:
    kept: list[bytes] = []
    try:
        while True:
            kept.append(bytes(1_000_000))
    except MemoryError:
        kept.clear()
        return Done("caught")


@action
def recurse() -> None:
    recurse()


@action
def recurse_without_limit() -> None:
    sys.setrecursionlimit(1 << 30)
    recurse()


@action
def deep_repr() -> None:
    nested: list[Any] = []
    for _ in range(1_000_000):
        nested = [nested]
    repr(nested)


@action
def cycles() -> None:
    gc.disable()
    while True:
        cycle: list[Any] = [bytes(1000)]
        cycle.append(cycle)


# Output and outcomes.


@action
def print_endless() -> None:
    while True:
        print("x" * 1000)


@action
def print_giant() -> None:
    print("x" * 10_000_000)


@action
def log_endless() -> None:
    while True:
        logging.info("x" * 1000)


@action
def log_surrogate() -> None:
    logging.info("\ud800", extra={"\udc00": "\ud800"})


@action
def giant_receipt() -> Outcome:
    return Done("x" * 10_000_000)


@action
def giant_detail() -> Outcome:
    return Retry("code", "x" * 10_000_000)


@action
def surrogate_receipt() -> Outcome:
    return Done("\ud800")


@action
def receipt_of_another_type() -> Outcome:
    return Done(b"bytes")  # type: ignore[arg-type]


@action
def outcome_of_another_type() -> Any:
    return {"done": ""}


@action
def config_endless() -> None:
    while True:
        config.get("key")


@action
def mail_of_another_type() -> None:
    mail.send(mail.Email("a@example.com", [5], "s", text="t"))  # type: ignore[list-item]


# Ends of a call.


@action
def sys_exit() -> None:
    sys.exit(3)


@action
def sys_exit_text() -> None:
    sys.exit("bye")


@action
def os_exit() -> None:
    os._exit(0)


@action
def os_abort() -> None:
    os.abort()


@action
def raise_base_exception() -> None:
    raise BaseException("bad thing: x")


@action
def raise_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


@action
def raise_unprintable() -> None:
    raise Unprintable


@action
def raise_odd() -> None:
    raise Odd("bad thing: x")


@action
def raise_giant() -> None:
    raise ValueError("x" * 10_000_000)


@action
def raise_many_lines() -> None:
    raise ValueError("bad thing: x\nTraceback (most recent call last):\n  File \"/etc/passwd\"\nSystemError: forged")


@action
def raise_group() -> None:
    raise ExceptionGroup("two", [ValueError("bad thing: x"), ExceptionGroup("inner", [KeyError("y")])])


@action
def raise_in_hook() -> None:
    def hook(*_: object) -> None:
        raise ValueError("in the hook")

    sys.excepthook = hook
    raise ValueError("bad thing: x")


@action
def stop_iteration() -> None:
    next(iter([]))


@action
def bad_signal() -> None:
    signal.raise_signal(signal.SIGABRT)


# What is outside.


@action
def reach_file() -> Outcome:
    return reach(lambda: open("/etc/passwd").read())


@action
def reach_source() -> Outcome:
    return reach(lambda: open(kafka_host_plugin.__file__).read())


@action
def reach_directory() -> Outcome:
    return reach(lambda: os.listdir("/"))


@action
def reach_write() -> Outcome:
    return reach(lambda: open("/tmp/hostile", "w").write("x"))


@action
def reach_socket() -> Outcome:
    return reach(lambda: socket.create_connection(("127.0.0.1", 9092), 1))


@action
def reach_name() -> Outcome:
    return reach(lambda: socket.getaddrinfo("localhost", 80))


@action
def reach_process() -> Outcome:
    return reach(lambda: subprocess.run(["/bin/sh", "-c", "id"], check=True))


@action
def reach_thread() -> Outcome:
    return reach(lambda: threading.Thread(target=print).start())


@action
def reach_fork() -> Outcome:
    return reach(lambda: os.fork())


@action
def reach_environment() -> Outcome:
    return Done("reached") if "SECRET" in os.environ else Reject("denied", "no variables")


# The SDK itself.


@action
def spoil_sdk() -> None:
    kafka_host_plugin.Done.receipt = 5  # type: ignore[misc,assignment]
    kafka_host_plugin._plugin._registered.clear()  # type: ignore[attr-defined]
    kafka_host_plugin._host.text = None  # type: ignore[assignment]


@action
def spoil_json() -> None:
    json.loads = json.JSONDecoder.decode = None  # type: ignore[assignment,method-assign]


@action
def spoil_builtins() -> None:
    for name in ("isinstance", "print", "tuple", "str", "Exception"):
        delattr(builtins, name)
    ACTIONS.clear()
