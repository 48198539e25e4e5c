"""Sends HTTP requests. Needs a URL that covers them: `allow = ["https://api.example.com/stock"]`.

    item = http.request("GET", f"https://api.example.com/stock/{quote(sku, safe='')}").json(Item)

A plugin that imports this module has the import `wasi:http`. GET, HEAD and OPTIONS are sent in every attempt. A request
with another method is sent once per message, if its response is 2xx and the message is done: see `effects.keep`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from . import _host, _wasi_http
from ._encode import to_json
from ._http import Denied as Denied
from ._http import HttpError as HttpError
from ._http import Invalid as Invalid
from ._http import Request as Request
from ._http import Response as Response
from ._http import Transient as Transient
from ._http import shown as _shown
from ._http import target as _target
from ._outcomes import Reject, Retry

#: Names and values.
Headers = Mapping[str, str] | Iterable[tuple[str, str]]

#: The maximum length of a body in a detail, in characters.
_MAX_BODY = 200
#: The statuses below 500 after which the same request may succeed.
_TEMPORARY = (408, 425, 429)
#: Less than the time of a call, which is 10 s (`call-time`) unless the configuration gives it more.
_TIMEOUT = timedelta(seconds=8)


def request(
    method: str,
    url: str,
    *,
    headers: Headers = (),
    body: bytes | None = None,
    json: object = None,
    timeout: timedelta = _TIMEOUT,
) -> Response:
    """Sends a request, and returns its response, whose status is 2xx.

    Raises `Retry` with `http-503` and so on for 408, 425, 429 and 5xx, after the delay of `Retry-After` if there is
    one, and `Reject` with `http-404` and so on for all other statuses. Redirects are not followed. Without a response,
    it raises `Retry` with `http-transient`, or `Reject` with `http-invalid` or `http-denied`.

    `json` is a body in JSON, of a dataclass too. `timeout` is the maximum time until the response begins.
    """
    return check(try_request(method, url, headers=headers, body=body, json=json, timeout=timeout))


def try_request(
    method: str,
    url: str,
    *,
    headers: Headers = (),
    body: bytes | None = None,
    json: object = None,
    timeout: timedelta = _TIMEOUT,
) -> Response | HttpError:
    """Sends a request as `request` does, and returns the response, whatever its status, or an error."""
    _host.require("http.request")
    made = _made(method, url, headers, body, json, timeout)
    place = _shown(made.method, made.url)
    target = _target(made.url)
    if target is None:
        return Invalid(f"{place}: the URL must be http(s)://host[:port][/path][?query], in ASCII, without a user")
    match _wasi_http.send(made, target):
        case Response() as response:
            return replace(response, request=place)
        case error:
            return replace(error, detail=f"{place}: {error.detail}")


def check(result: Response | HttpError) -> Response:
    """Returns a response whose status is 2xx. Raises `Retry` or `Reject` for everything else, as `request` does."""
    match result:
        case Transient(detail):
            raise Retry("http-transient", detail)
        case Invalid(detail):
            raise Reject("http-invalid", detail)
        case Denied(detail):
            raise Reject("http-denied", detail)
        case response:
            pass
    if response.is_success:
        return response
    code, detail = f"http-{response.status}", f"{response.request} answered {response.status}"
    # A character has at most 4 bytes.
    text = response.body.strip()[: 4 * _MAX_BODY].decode("utf-8", "replace")[:_MAX_BODY]
    if text:
        detail += f": {text}"
    if response.status >= 500 or response.status in _TEMPORARY:
        raise Retry(code, detail, response.retry_after())
    raise Reject(code, detail)


def _made(method: str, url: str, headers: Headers, body: bytes | None, json: object, timeout: timedelta) -> Request:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    named = [(_host.text(name, "the name of a header"), _host.text(value, name)) for name, value in pairs]
    if not isinstance(body, bytes | None):
        raise TypeError(f"the body of a request must be bytes or None, not {type(body).__name__}; see json")
    if not isinstance(timeout, timedelta):
        raise TypeError(f"timeout must be a timedelta, not {type(timeout).__name__}")
    if timeout <= timedelta():
        raise ValueError(f"timeout must be above 0, but is {timeout}")
    if json is not None:
        if body is not None:
            raise TypeError("a request has a body or json, not both")
        body = to_json(json)
        if all(name.lower() != "content-type" for name, _ in named):
            named.append(("content-type", "application/json"))
    method = _host.text(method, "the method").upper()
    return Request(method, _host.text(url, "the URL"), tuple(named), body or b"", timeout)
