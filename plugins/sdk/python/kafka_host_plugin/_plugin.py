"""The declaration of a plugin, and the way of a message to its handler."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, ParamSpec

from ._decode import Decoder, Invalid, decoder, parse
from ._message import Message
from ._outcomes import Done, Outcome, Reject, Retry, Skipped

P = ParamSpec("P")

_DAY = timedelta(hours=24)


@dataclass(frozen=True)
class RetryPolicy:
    """The delays between the deliveries of a message that fails. The defaults suit most plugins."""

    #: The number of deliveries after the first one.
    retries: int = 5
    #: The delay before the first retry.
    delay: timedelta = timedelta(seconds=1)
    #: The factor of each further delay; 1 or more.
    multiplier: float = 2.0
    #: The maximum delay.
    max_delay: timedelta = timedelta(hours=1)
    #: The maximum random extension of a delay, as a fraction of it from 0 to 1.
    jitter: float = 0.0
    #: The maximum time between a message's first failure and its last retry; at most 24 h.
    max_age: timedelta = _DAY

    def __post_init__(self) -> None:
        _check(self.retries >= 0, "retries must not be negative")
        _check(self.delay >= timedelta(), "delay must not be negative")
        _check(self.multiplier >= 1, "multiplier must be 1 or more")
        _check(self.max_delay >= timedelta(), "max_delay must not be negative")
        _check(0 <= self.jitter <= 1, "jitter must be from 0 to 1")
        _check(timedelta() <= self.max_age <= _DAY, "max_age must be from 0 to 24 hours")


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


class Plugin(Generic[P]):
    """A plugin. Calling it calls its handler, as in a unit test."""

    def __init__(
        self,
        handler: Callable[P, Outcome | None],
        *,
        name: str,
        version: str,
        summary: str,
        topic: str,
        group: str | None,
        dead_letter_topic: str | None,
        retry: RetryPolicy,
        max_batch: int,
    ) -> None:
        for what, value in (("name", name), ("version", version), ("topic", topic)):
            _check(value != "", f"{what} must not be empty")
        _check(1 <= max_batch <= 1000, "max_batch must be from 1 to 1000")
        self.handler = handler
        self._handle: Callable[..., Outcome | None] = handler
        self.name = name
        self.version = version
        self.summary = summary
        self.topic = topic
        self.group = f"{name}-group" if group is None else group
        self.dead_letter_topic = f"{topic}.dlt" if dead_letter_topic is None else dead_letter_topic
        self.retry = retry
        self.max_batch = max_batch
        #: The type of the value; None if the handler gets the message alone.
        self.value_type, self._has_message = _asked(handler)
        self._decoder: Decoder = (lambda value: value) if self.value_type is None else decoder(self.value_type)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Outcome | None:
        return self.handler(*args, **kwargs)

    def decode(self, message: Message) -> Any:
        """The value of a message in the type of the handler. Raises `Reject` if it has another."""
        if message.value is None:
            raise Reject("tombstone", "the message has no value")
        try:
            return self._decoder(parse(message.value))
        except Invalid as invalid:
            raise Reject("invalid-message", str(invalid)) from None
        except RecursionError:
            raise Reject("invalid-message", "the value is nested too deeply") from None

    def deliver(self, message: Message) -> Outcome:
        """Handles a message as the host has it: decodes its value, calls the handler, and returns the outcome.

        Exceptions other than `Retry` and `Reject` are those of the handler.
        """
        try:
            if self.value_type is None:
                outcome = self._handle(message)
            elif self._has_message:
                outcome = self._handle(self.decode(message), message)
            else:
                outcome = self._handle(self.decode(message))
        except (Retry, Reject) as failure:
            return failure
        if outcome is None:
            return Done()
        if isinstance(outcome, (Done, Skipped, Retry, Reject)):
            return outcome
        raise TypeError(
            f"the handler returned a {type(outcome).__name__}; it must return Done, Skipped, Retry, Reject or None"
        )


def _asked(handler: Callable[..., Outcome | None]) -> tuple[Any, bool]:
    """The type of the value for which a handler asks, and whether it asks for the message."""
    name = getattr(handler, "__qualname__", "the handler")
    if inspect.iscoroutinefunction(handler):
        raise TypeError(f"{name} is async; a handler is a plain function")
    hints = typing.get_type_hints(handler, include_extras=True)
    types = [hints.get(parameter) for parameter in inspect.signature(handler).parameters]
    match types:
        case [first] if first is Message:
            return (None, True)
        case [first, *others] if first is not None and others in ([], [Message]):
            return (first, bool(others))
    raise TypeError(
        f"{name} must have one parameter with a type, of the value or Message, and may have a second one of the type"
        " Message: def handle(order: Order, message: Message)"
    )


_registered: list[Plugin[Any]] = []


def plugin(
    *,
    name: str,
    version: str,
    summary: str,
    topic: str,
    group: str | None = None,
    dead_letter_topic: str | None = None,
    retry: RetryPolicy = RetryPolicy(),
    max_batch: int = 1,
) -> Callable[[Callable[P, Outcome | None]], Plugin[P]]:
    """Declares a plugin; decorates its handler.

    The type of the handler's first parameter is that of the value: a dataclass, or what JSON has. A second parameter of
    the type `Message` gets the whole message. `group` is `NAME-group` by default, `dead_letter_topic` `TOPIC.dlt`.
    """

    def decorate(handler: Callable[P, Outcome | None]) -> Plugin[P]:
        declared = Plugin(
            handler,
            name=name,
            version=version,
            summary=summary,
            topic=topic,
            group=group,
            dead_letter_topic=dead_letter_topic,
            retry=retry,
            max_batch=max_batch,
        )
        _registered.append(declared)
        return declared

    return decorate


def registered() -> Plugin[Any]:
    """The one plugin that was declared."""
    match _registered:
        case [one]:
            return one
        case []:
            raise LookupError("no plugin is declared: decorate its handler with @plugin(name=…, …)")
    names = ", ".join(declared.name for declared in _registered)
    raise LookupError(f"a component has one plugin, but several are declared: {names}")
