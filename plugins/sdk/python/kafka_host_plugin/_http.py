"""The values of HTTP: requests, responses and errors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, Union

from ._decode import Invalid as _NotAsExpected
from ._decode import decode
from ._outcomes import Retry

#: The maximum length of a URL in a detail, in characters.
_MAX_URL = 300
_URL = re.compile(r"http(s?)://((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{1,5})?)((?:[/?][!-~]*)?)")
#: The forms of a date in HTTP, the usual one first (RFC 9110, section 5.6.7).
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
# The first call of `strptime` imports a module, and a component finds none.
datetime.strptime("1970", "%Y")


@dataclass(frozen=True)
class Request:
    """A request."""

    #: In capital letters.
    method: str
    #: `http(s)://host[:port][/path][?query]`.
    url: str
    #: Names and values, in order.
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    #: The maximum time until the response begins.
    timeout: timedelta = timedelta(seconds=8)


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int
    #: Names and values, in order. Values that are not UTF-8 are left out.
    headers: Sequence[tuple[str, str]] = ()
    #: The whole body. The host bounds it: `limits.http-response`.
    body: bytes = b""
    #: The request, for details: method and URL, without user and query.
    request: str = field(default="the server", compare=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The first header with this name, or None."""
        wanted = name.lower()
        return next((value for found, value in self.headers if found.lower() == wanted), None)

    def json(self, expected: Any = object) -> Any:
        """The body, decoded from JSON into a type, as the value of a message is: a dataclass, or what JSON has.

        Raises `Retry("http-body")` if it is not as expected, because a server that is broken can be mended.
        """
        try:
            return decode(expected, self.body)
        except _NotAsExpected as problem:
            raise Retry("http-body", f"{self.request}: the response is not as expected: {problem}") from None

    def retry_after(self) -> timedelta | None:
        """The delay that the server asks for: seconds, or a date (RFC 9110, section 10.2.3)."""
        value = (self.header("retry-after") or "").strip()
        # A timedelta has no more digits.
        if re.fullmatch("[0-9]{1,12}", value):
            return timedelta(seconds=int(value))
        until = _date(value)
        if until is None:
            return None
        # By the server's clock, if it has told its time.
        now = _date(self.header("date") or "") or datetime.now(timezone.utc)
        return max(until - now, timedelta())


@dataclass(frozen=True)
class Transient:
    """No connection, or no response in time."""

    detail: str


@dataclass(frozen=True)
class Invalid:
    """The URL, the method or a header is invalid."""

    detail: str


@dataclass(frozen=True)
class Denied:
    """The host does not allow the request."""

    detail: str


HttpError = Union[Transient, Invalid, Denied]


class Target(NamedTuple):
    """The parts of a URL."""

    is_https: bool
    #: Host and port.
    authority: str
    #: Path and query.
    path: str


def target(url: str) -> Target | None:
    """The parts of a URL, or None if it is invalid. One with a user is: credentials are in the host's configuration."""
    found = _URL.fullmatch(url)
    if found is None or "#" in url or "\\" in url:
        return None
    return Target(found[1] == "s", found[2], found[3] if found[3].startswith("/") else f"/{found[3]}")


def shown(method: str, url: str) -> str:
    """Method and URL for a detail, without query, user and password, which may be secrets."""
    # Where the password ends, and the query begins, cannot be told in an invalid URL.
    is_secret = "@" in url and target(url) is None
    return f"{method} {'…' if is_secret else re.split('[?#]', url)[0][:_MAX_URL]}"


def _date(text: str) -> datetime | None:
    for form in _DATES:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=timezone.utc)
        except ValueError:
            pass
    return None
