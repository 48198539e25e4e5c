"""HTTP requests, without a host."""

import unittest
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from kafka_host_plugin import Reject, Retry, http
from kafka_host_plugin.testing import Host

URL = "https://api.example.com/v1/items"
PLACE = "GET https://api.example.com/v1/items"


@dataclass
class Item:
    sku: str
    count: int = 0


def failure(result: http.Response | http.HttpError, method: str = "GET", url: str = URL) -> Retry | Reject:
    """What a request raises that has this result."""
    with Host(http_results=[result]):
        try:
            http.request(method, url)
        except (Retry, Reject) as failed:
            return failed
    raise AssertionError(f"{result} is no failure")


class Requests(unittest.TestCase):
    def sent(self, method: str = "POST", url: str = URL, **options: Any) -> http.Request:
        with Host() as host:
            self.assertEqual(http.request(method, url, **options).json(), {})
        [request] = host.requests
        return request

    def test_a_request_arrives_as_it_was_given(self) -> None:
        second = timedelta(seconds=1)
        sent = self.sent("put", f"{URL}?a=1", headers={"X-A": "é"}, body=b"\xff", timeout=second)
        self.assertEqual(sent, http.Request("PUT", f"{URL}?a=1", (("X-A", "é"),), b"\xff", second))
        self.assertEqual(self.sent("GET"), http.Request("GET", URL))
        repeated = [("a", "1"), ("a", "2")]
        self.assertEqual(self.sent(headers=repeated).headers, tuple(repeated))

    def test_json_is_a_body_with_a_type(self) -> None:
        sent = self.sent(json=Item("한", 2))
        self.assertEqual(sent.body, '{"sku":"한","count":2}'.encode())
        self.assertEqual(sent.headers, (("content-type", "application/json"),))
        own = {"Content-Type": "application/merge-patch+json"}
        self.assertEqual(self.sent(json=[], headers=own).headers, tuple(own.items()))

    def test_a_wrong_url_is_not_sent(self) -> None:
        for url in (
            *("", "a.example.com", "ftp://a", "HTTPS://a", "https://", "https:///a", "https://a:b/"),
            *("https://a:123456/", "https://a/#x", "https://a b/", "https://a/é", "https://a\\b", "https://a/\\b"),
            *("https://a/\n", "https://u@a/", "https://u:p@a/", "https://a,b/", "https://[::1/", "https://a%62/"),
        ):
            with Host() as host, self.subTest(url), self.assertRaises(Reject) as raised:
                http.request("GET", url)
            self.assertEqual((raised.exception.code, host.requests), ("http-invalid", []))
            self.assertIn("the URL must be http(s)://host", raised.exception.detail)
        for url in ("http://a", "https://a?b", "http://127.0.0.1:80/?c=d@e", "http://[::1]:80/", "https://a/@b//;/%2f"):
            self.assertEqual(self.sent(url=url).url, url)

    def test_wrong_types_are_named(self) -> None:
        for options, error, text in (
            ({"body": "text"}, TypeError, "must be bytes or None, not str; see json"),
            ({"body": b"", "json": 1}, TypeError, "a body or json, not both"),
            ({"json": {1}}, TypeError, "a set has no form in JSON"),
            ({"headers": {"a": 1}}, TypeError, "a must be a text"),
            ({"timeout": 8}, TypeError, "timeout must be a timedelta, not int"),
            ({"timeout": timedelta()}, ValueError, "timeout must be above 0"),
        ):
            with Host() as host, self.assertRaisesRegex(error, text):
                http.request("POST", URL, **options)
            self.assertEqual(host.requests, [])

    def test_there_is_no_host_at_the_top_level(self) -> None:
        self.assertRaisesRegex(RuntimeError, "http.request was called outside of a call", http.request, "GET", URL)


class Responses(unittest.TestCase):
    def test_the_status_decides(self) -> None:
        for status in (200, 201, 204, 299):
            with Host(http_results=[http.Response(status)]):
                self.assertEqual(http.request("GET", URL).status, status)
        for status in (408, 425, 429, 500, 501, 503, 599):
            self.assertEqual(failure(http.Response(status)), Retry(f"http-{status}", f"{PLACE} answered {status}"))
        for status in (300, 302, 304, 400, 401, 404, 409, 410, 422):
            self.assertEqual(failure(http.Response(status)), Reject(f"http-{status}", f"{PLACE} answered {status}"))

    def test_without_a_response_the_error_decides(self) -> None:
        cases: list[tuple[http.HttpError, Retry | Reject]] = [
            (http.Transient("no response"), Retry("http-transient", f"{PLACE}: no response")),
            (http.Invalid("a header is invalid"), Reject("http-invalid", f"{PLACE}: a header is invalid")),
            (http.Denied("not granted"), Reject("http-denied", f"{PLACE}: not granted")),
        ]
        for error, failed in cases:
            self.assertEqual(failure(error), failed)

    def test_errors_and_statuses_can_be_values(self) -> None:
        with Host(http_results=[http.Response(404, body=b"no"), http.Denied("not granted")]):
            missing, denied = http.try_request("GET", URL), http.try_request("GET", URL)
        self.assertEqual((missing, denied), (http.Response(404, body=b"no"), http.Denied(f"{PLACE}: not granted")))
        with self.assertRaises(Reject) as raised:
            http.check(missing)
        self.assertEqual(raised.exception, Reject("http-404", f"{PLACE} answered 404: no"))

    def test_headers_are_found_in_capital_and_small_letters(self) -> None:
        response = http.Response(200, [("x-a", "1"), ("X-A", "2")])
        self.assertEqual((response.header("X-a"), response.header("x-b")), ("1", None))

    def test_a_body_has_a_type(self) -> None:
        right, wrong = b'{"sku":"a","count":1}', b"<html>"
        with Host(http_results=[http.Response(200, body=right), http.Response(200, body=wrong)]):
            self.assertEqual(http.request("GET", URL).json(Item), Item("a", 1))
            response = http.request("GET", URL)
        for expected in (Item, object):
            with self.assertRaises(Retry) as raised:
                response.json(expected)
            self.assertEqual(raised.exception.code, "http-body")
            self.assertIn(f"{PLACE}: the response is not as expected: is not JSON", raised.exception.detail)
        with self.assertRaisesRegex(Retry, "count: expected an integer, found a text"):
            http.Response(200, body=b'{"sku":"a","count":"1"}').json(Item)


class RetryAfter(unittest.TestCase):
    def after(self, value: str, *more: tuple[str, str], status: int = 503) -> timedelta | None:
        failed = failure(http.Response(status, [("retry-after", value), *more]))
        assert isinstance(failed, Retry)
        return failed.after

    def test_it_is_seconds(self) -> None:
        for status in (408, 429, 503):
            self.assertEqual(self.after("120", status=status), timedelta(minutes=2))
        self.assertEqual((self.after(" 7 "), self.after("0")), (timedelta(seconds=7), timedelta()))

    def test_it_is_a_date_by_the_clock_of_the_server(self) -> None:
        now = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
        for date in ("Sun, 06 Nov 1994 08:49:57 GMT", "Sunday, 06-Nov-94 08:49:57 GMT", "Sun Nov  6 08:49:57 1994"):
            self.assertEqual(self.after(date, now), timedelta(seconds=20), date)
        self.assertEqual(self.after("Sun, 06 Nov 1994 08:49:00 GMT", now), timedelta())

    def test_it_is_a_date_by_this_clock_if_the_server_tells_no_time(self) -> None:
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        for more in ([], [("date", "now")]):
            after = self.after(later.strftime("%a, %d %b %Y %H:%M:%S GMT"), *more)
            assert after is not None
            self.assertTrue(timedelta(minutes=59) < after <= timedelta(hours=1), after)

    def test_all_else_is_no_delay(self) -> None:
        for value in ("", "soon", "-1", "1.5", "٣", "9" * 13, "9" * 5000, "06 Nov 94", "Sun, 31 Feb 1994 08:49:37 GMT"):
            self.assertIsNone(self.after(value), value)
        self.assertFalse(hasattr(failure(http.Response(404, [("retry-after", "7")])), "after"))


class Details(unittest.TestCase):
    def test_they_have_neither_query_nor_password(self) -> None:
        for result in (http.Response(404), http.Response(503), http.Transient("late"), http.Denied("no")):
            failed = failure(result, "POST", f"{URL}/@a?token=secret")
            self.assertTrue(failed.detail.startswith("POST https://api.example.com/v1/items/@a"), failed)
            self.assertNotIn("secret", failed.detail)
        for url in (
            *("https://me:secret@a/b", "https://secret@a", "https://me:s/secret@a/", "https://me:?secret@a/"),
            *("me:secret@a", "https://a b/?to=x@y&token=secret", "https://a/b c?secret", "https://a/#secret"),
            *("https://me:\n\nsecret@a/", "https://a b?\nsecret"),
        ):
            self.assertNotIn("secret", failure(http.Response(200), url=url).detail)
        response = http.Response(200, body=b"<html>")
        with Host(http_results=[response]), self.assertRaises(Retry) as raised:
            http.request("GET", f"{URL}?token=secret").json()
        self.assertNotIn("secret", raised.exception.detail)

    def test_a_large_body_is_cut_off(self) -> None:
        for body, text in (
            (b"x" * 1_000_000, "x" * 200),
            (" 한\n".encode() + "한".encode() * 100_000, "한\n" + "한" * 198),
            ("😀".encode() * 201, "😀" * 200),
            (b"\xff" * 1000, "\ufffd" * 200),
            (b" short \n", "short"),
        ):
            self.assertEqual(failure(http.Response(400, body=body)).detail, f"{PLACE} answered 400: {text}")
        self.assertEqual(failure(http.Response(400, body=b" \n")).detail, f"{PLACE} answered 400")

    def test_a_long_url_is_cut_off(self) -> None:
        failed = failure(http.Response(400), url="https://a/" + "b" * 100_000)
        self.assertEqual(failed.detail, f"GET https://a/{'b' * 290} answered 400")


if __name__ == "__main__":
    unittest.main()
