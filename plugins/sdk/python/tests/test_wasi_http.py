"""HTTP through a double of `wasi:http`, which insists on the order in which its resources are released."""

import unittest
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self
from unittest import mock

from kafka_host_plugin import _http, _wasi_http, http
from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, streams, types

URL = "https://api.example.com:8443/items?a=1"
#: Of each response that there is. One more has a value that is not UTF-8.
HEADERS = (("etag", "1"), ("x-a", "é"))


class Resource:
    """A handle, which ends by a release or when the host takes it. Its children must have ended before."""

    all: list["Resource"] = []

    def __init__(self, parent: "Resource | None" = None) -> None:
        self.parent, self.children, self.is_open = parent, 0, True
        if parent is not None:
            assert parent.is_open
            parent.children += 1
        self.all.append(self)

    def end(self) -> None:
        assert self.is_open and self.children == 0, f"{type(self).__name__}: {self.children} children"
        self.is_open = False
        if self.parent is not None:
            self.parent.children -= 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Fields(Resource):
    def __init__(self, parent: Resource | None = None) -> None:
        super().__init__(parent)
        self.pairs: list[tuple[str, bytes]] = []

    def append(self, name: str, value: bytes) -> None:
        if name == "host":
            raise Err(types.HeaderError_Forbidden())
        if b"\n" in value:
            raise Err(types.HeaderError_InvalidSyntax())
        self.pairs.append((name, value))

    def entries(self) -> list[tuple[str, bytes]]:
        return self.pairs


class Stream(Resource):
    """Both directions: what was written, or what is to be read."""

    def __init__(self, parent: Resource, chunks: list[bytes], end: object) -> None:
        super().__init__(parent)
        self.chunks, self.last = chunks, end

    def blocking_read(self, length: int) -> bytes:
        if not self.chunks:
            raise Err(self.last)
        assert len(self.chunks[0]) <= length
        return self.chunks.pop(0)

    def blocking_write_and_flush(self, content: bytes) -> None:
        if self.last is not None:
            raise Err(self.last)
        assert 0 < len(content) <= 4096
        self.chunks.append(content)


class Problem(Resource):
    def to_debug_string(self) -> str:
        return "reset by peer"


class OutgoingBody(Resource):
    refuses: object = None

    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[bytes] = []

    def write(self) -> Stream:
        return Stream(self, self.chunks, self.refuses)

    @classmethod
    def finish(cls, body: "OutgoingBody", trailers: None) -> None:
        body.end()


class OutgoingRequest(Resource):
    def __init__(self, headers: Fields) -> None:
        super().__init__()
        headers.end()
        self.headers, self.content, self.parts = headers.pairs, OutgoingBody(), dict[str, Any]()

    def body(self) -> OutgoingBody:
        return self.content

    def set_method(self, method: types.Method) -> None:
        if method == types.Method_Other("BAD METHOD"):
            raise Err(None)
        self.parts["method"] = method

    def set_scheme(self, scheme: types.Scheme) -> None:
        self.parts["scheme"] = scheme

    def set_authority(self, authority: str) -> None:
        if authority.endswith(":99999"):
            raise Err(None)
        self.parts["authority"] = authority

    def set_path_with_query(self, path: str) -> None:
        self.parts["path"] = path


class RequestOptions(Resource):
    def __init__(self) -> None:
        super().__init__()
        self.times: list[int] = []
        self.set_connect_timeout = self.set_first_byte_timeout = self.times.append

    def set_between_bytes_timeout(self, _: int) -> None:
        raise Err(None)


class Pollable(Resource):
    def block(self) -> None:
        assert isinstance(self.parent, Future)
        self.parent.is_ready = True


class IncomingBody(Resource):
    def stream(self) -> Stream:
        response = self.parent
        assert isinstance(response, IncomingResponse)
        return Stream(self, response.chunks, response.last)


class IncomingResponse(Resource):
    def __init__(self, chunks: list[bytes], end: object = streams.StreamError_Closed()) -> None:
        super().__init__()
        self.chunks, self.last = chunks, end

    def status(self) -> int:
        assert self.is_open
        return 201

    def headers(self) -> Fields:
        fields = Fields(self)
        fields.pairs = [("ETag", b"1"), ("x-bytes", b"\xff"), ("x-a", "é".encode())]
        return fields

    def consume(self) -> IncomingBody:
        if not self.chunks:
            raise Err(None)
        return IncomingBody(self)


class Future(Resource):
    is_ready = False

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result

    def subscribe(self) -> Pollable:
        return Pollable(self)

    def get(self) -> object:
        return self.result if self.is_ready else None


class Sending(unittest.TestCase):
    def send(
        self, result: Callable[[], object], request: http.Request = http.Request("GET", URL)
    ) -> http.Response | http.HttpError:
        """Sends a request, which has this result."""
        Resource.all = []

        def handle(outgoing: OutgoingRequest, options: RequestOptions) -> Future:
            self.sent, self.times = outgoing, options.times
            # The host takes both.
            outgoing.end()
            options.end()
            return Future(result())

        target = _http.target(request.url)
        assert target is not None
        doubles: dict[str, Any] = {one.__name__: one for one in (Fields, OutgoingBody, OutgoingRequest, RequestOptions)}
        with mock.patch.multiple(types, **doubles), mock.patch.object(outgoing_handler, "handle", handle):
            return _wasi_http.send(request, target)

    def assert_released(self) -> None:
        kinds = (Stream, Pollable, Future, IncomingBody, IncomingResponse, Problem)
        self.assertEqual([one for one in Resource.all if one.is_open and isinstance(one, kinds)], [])

    def test_a_request_and_its_response_are_whole(self) -> None:
        body, chunks = b"0123456789" * 1000, [b"a" * 32768, b"b"]
        request = http.Request("POST", URL, (("x", "é"), ("x", "")), body, timeout=timedelta(seconds=7.5))
        response = self.send(lambda: Ok(Ok(IncomingResponse(list(chunks)))), request)
        self.assertEqual(response, http.Response(201, HEADERS, b"".join(chunks)))
        self.assertEqual(self.sent.headers, [("x", "é".encode()), ("x", b"")])
        self.assertEqual(b"".join(self.sent.content.chunks), body)
        self.assertEqual(
            list(self.sent.parts.values()),
            [types.Method_Post(), types.Scheme_Https(), "api.example.com:8443", "/items?a=1"],
        )
        self.assertEqual(sum(self.times), 7_500_000_000)
        self.assertEqual([one for one in Resource.all if one.is_open], [])

    def test_parts_that_the_host_refuses_are_invalid(self) -> None:
        for request, detail in (
            (http.Request("BAD METHOD", URL), "the method is invalid"),
            (http.Request("GET", "http://a:99999/"), "the URL is invalid"),
            (http.Request("GET", URL, [("host", "a")]), "the header 'host' is reserved to the host"),
            (http.Request("GET", URL, [("a", "1"), ("b", "secret\n")]), "the header 'b' is invalid"),
        ):
            self.assertEqual(self.send(lambda: None, request), http.Invalid(detail))

    def test_the_error_decides_whether_it_is_temporary(self) -> None:
        cases: list[tuple[types.ErrorCode, http.HttpError]] = [
            (types.ErrorCode_HttpRequestDenied(), http.Denied("http-request-denied")),
            (types.ErrorCode_DestinationIpProhibited(), http.Denied("destination-ip-prohibited")),
            (types.ErrorCode_HttpRequestUriInvalid(), http.Invalid("http-request-uri-invalid")),
            (types.ErrorCode_HttpRequestMethodInvalid(), http.Invalid("http-request-method-invalid")),
            (types.ErrorCode_ConnectionRefused(), http.Transient("connection-refused")),
            (types.ErrorCode_DnsError(types.DnsErrorPayload(None, None)), http.Transient("dns-error")),
            (types.ErrorCode_InternalError("why"), http.Transient("internal-error: why")),
            (types.ErrorCode_InternalError(None), http.Transient("internal-error")),
        ]
        for code, error in cases:
            self.assertEqual(self.send(lambda: Ok(Err(code))), error)
            self.assert_released()

            # The host may know before it sends anything.
            def refused() -> object:
                raise Err(code)

            self.assertEqual(self.send(refused), error)

    def test_a_response_that_breaks_off_is_no_response(self) -> None:
        def broken() -> object:
            problem: Any = Problem()
            return Ok(Ok(IncomingResponse([b"a"], streams.StreamError_LastOperationFailed(problem))))

        self.assertEqual(self.send(broken), http.Transient("the response broke off: reset by peer"))
        self.assert_released()
        self.assertEqual(self.send(lambda: Ok(Ok(IncomingResponse([])))), http.Transient("the response has no body"))
        self.assert_released()

    def test_a_server_may_answer_before_it_has_read_the_body(self) -> None:
        request = http.Request("POST", URL, body=b"a" * 10_000)
        with mock.patch.object(OutgoingBody, "refuses", streams.StreamError_Closed()):
            early = self.send(lambda: Ok(Ok(IncomingResponse([b"a"]))), request)
            self.assertEqual(early, http.Response(201, HEADERS, b"a"))
            self.assert_released()
            self.assertEqual(self.send(lambda: None, request), http.Transient("the request could not be written"))
        self.assertEqual(self.send(lambda: None, request), http.Transient("no response"))
        self.assert_released()


if __name__ == "__main__":
    unittest.main()
