"""HTTP through `wasi:http`.

Each resource is released before the one that it comes from: otherwise the host ends the call.
"""

import re
from collections.abc import Sequence
from datetime import timedelta

from ._http import Denied, HttpError, Invalid, Request, Response, Target, Transient
from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, streams, types

#: The size of a write, in bytes: the most that a stream takes at once.
_WRITE = 4 << 10
#: The size of a read, in bytes.
_READ = 32 << 10
_METHODS: dict[str, types.Method] = {
    "GET": types.Method_Get(),
    "HEAD": types.Method_Head(),
    "POST": types.Method_Post(),
    "PUT": types.Method_Put(),
    "DELETE": types.Method_Delete(),
    "OPTIONS": types.Method_Options(),
    "PATCH": types.Method_Patch(),
}


class _Refused(Exception):
    """The host refuses a part of a request."""


def send(request: Request, target: Target) -> Response | HttpError:
    """Sends a request to its URL, and reads the whole response."""
    try:
        outgoing = _outgoing(request, target)
        body = outgoing.body()
        future = outgoing_handler.handle(outgoing, _options(request.timeout))
    except _Refused as refused:
        return Invalid(str(refused))
    except Err as error:
        return _error(error.value)
    # A server may refuse a request before it has read the body, so that the response matters even if writing failed.
    is_written = _write(body, request.body)
    with future:
        with future.subscribe() as ready:
            ready.block()
        match future.get():
            case Ok(Ok(response)):
                with response:
                    return _read(response)
            case Ok(Err(code)):
                return _error(code)
    return Transient("no response" if is_written else "the request could not be written")


def _outgoing(request: Request, target: Target) -> types.OutgoingRequest:
    outgoing = types.OutgoingRequest(_fields(request.headers))
    part = "method"
    try:
        outgoing.set_method(_METHODS.get(request.method) or types.Method_Other(request.method))
        part = "URL"
        outgoing.set_scheme(types.Scheme_Https() if target.is_https else types.Scheme_Http())
        outgoing.set_authority(target.authority)
        outgoing.set_path_with_query(target.path)
    except Err:
        raise _Refused(f"the {part} is invalid") from None
    return outgoing


def _fields(headers: Sequence[tuple[str, str]]) -> types.Fields:
    fields = types.Fields()
    for name, value in headers:
        try:
            fields.append(name, value.encode())
        except Err as error:
            is_reserved = isinstance(error.value, types.HeaderError_Forbidden)
            # The value may be a secret.
            problem = "is reserved to the host" if is_reserved else "is invalid"
            raise _Refused(f"the header {name!r} {problem}") from None
    return fields


def _options(timeout: timedelta) -> types.RequestOptions:
    options = types.RequestOptions()
    # The connection and the head of the response share the sum of both in this host.
    connect = timeout / 2
    for set_timeout, time in (
        (options.set_connect_timeout, connect),
        (options.set_first_byte_timeout, timeout - connect),
        (options.set_between_bytes_timeout, timeout),
    ):
        try:
            set_timeout(time // timedelta(microseconds=1) * 1000)
        except Err:
            # A host that does not support a timeout uses its own.
            pass
    return options


def _write(body: types.OutgoingBody, content: bytes) -> bool:
    try:
        with body.write() as stream:
            for start in range(0, len(content), _WRITE):
                stream.blocking_write_and_flush(content[start : start + _WRITE])
        types.OutgoingBody.finish(body, None)
    except Err:
        return False
    return True


def _read(response: types.IncomingResponse) -> Response | HttpError:
    headers = []
    with response.headers() as fields:
        for name, value in fields.entries():
            try:
                headers.append((name.lower(), value.decode()))
            except UnicodeDecodeError:
                pass
    content = bytearray()
    try:
        with response.consume() as body, body.stream() as stream:
            while True:
                content += stream.blocking_read(_READ)
    except Err as error:
        match error.value:
            case streams.StreamError_Closed():
                return Response(response.status(), tuple(headers), bytes(content))
            case streams.StreamError_LastOperationFailed(problem):
                with problem:
                    return Transient(f"the response broke off: {problem.to_debug_string()}")
    return Transient("the response has no body")


def _error(code: types.ErrorCode) -> HttpError:
    # WIT's `HTTP-request-denied` is `ErrorCode_HttpRequestDenied`.
    name = type(code).__name__.partition("_")[2]
    detail = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
    match code:
        case types.ErrorCode_HttpRequestDenied() | types.ErrorCode_DestinationIpProhibited():
            return Denied(detail)
        case types.ErrorCode_HttpRequestUriInvalid() | types.ErrorCode_HttpRequestMethodInvalid():
            return Invalid(detail)
        case types.ErrorCode_InternalError(str(text)):
            return Transient(f"{detail}: {text}")
    return Transient(detail)
