"""What a handler returns or raises."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Union


@dataclass(frozen=True)
class Done:
    """The message is handled."""

    #: A provider's receipt, if there is one.
    receipt: str = ""


@dataclass(frozen=True)
class Skipped:
    """There was nothing to do."""

    reason: str = ""


class _Failure(Exception):
    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code

    def _values(self) -> tuple[object, ...]:
        return (type(self), self.code, self.detail)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Failure) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())


class Retry(_Failure):
    """A transient failure: the message is delivered again. Returned or raised.

    `code` is a short, stable name with few values, of lower-case words joined by `-`. `detail` is for people, without
    secrets. Without `after`, the delay is the retry policy's next one, which uses an attempt. With it, the delay is
    what the provider asked for, and no attempt is used.
    """

    def __init__(self, code: str, detail: str = "", after: timedelta | None = None) -> None:
        super().__init__(code, detail)
        if after is not None and after < timedelta():
            raise ValueError(f"after must not be negative, but is {after}")
        self.after = after

    def __repr__(self) -> str:
        return f"Retry({self.code!r}, {self.detail!r}, after={self.after!r})"

    def _values(self) -> tuple[object, ...]:
        return (*super()._values(), self.after)


class Reject(_Failure):
    """A permanent failure: the message becomes a dead letter without a retry. Returned or raised.

    `code` and `detail` are as in `Retry`.
    """


Outcome = Union[Done, Skipped, Retry, Reject]
