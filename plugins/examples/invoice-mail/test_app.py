"""The plugin without a host."""

import csv
import io
import unittest
from typing import Any

from app import send_invoice
from kafka_host_plugin import Done, Outcome, Reject, Retry, mail
from kafka_host_plugin.testing import Host, LogLine

ORDER: dict[str, Any] = {
    "number": "2026-0001",
    "ordered": "2026-11-30T05:00:00Z",
    "customer": {"name": "김민지", "email": "kim@example.com"},
    "items": [
        {"name": "Coffee <beans> & filter", "quantity": 3, "unit_price": "1250.10"},
        {"name": "=HYPERLINK(1)", "quantity": 1, "unit_price": 0.1},
    ],
}


def host(**more: Any) -> Host:
    return Host(config={"sender": "shop@example.com", "shop": "Caffè & Co"}, **more)


def deliver(order: object) -> Outcome:
    with host() as one:
        return one.deliver(send_invoice, order)


class Sending(unittest.TestCase):
    def test_an_invoice_is_sent(self) -> None:
        with host() as one:
            self.assertEqual(one.deliver(send_invoice, ORDER), Done("captured, not sent"))
        [email] = one.emails
        self.assertEqual(email.sender, mail.Address("shop@example.com", "Caffè & Co"))
        self.assertEqual(email.to, (mail.Address("kim@example.com", "김민지"),))
        self.assertEqual(email.subject, "Invoice 2026-0001 of Caffè & Co")
        assert email.text is not None and email.html is not None
        self.assertIn("Dear 김민지,", email.text)
        self.assertIn("    3 x Coffee <beans> & filter: 3,750.30 EUR\n", email.text)
        self.assertIn("Total: 3,750.40 EUR", email.text)
        self.assertIn("<td>Coffee &lt;beans&gt; &amp; filter</td><td>3,750.30 EUR</td>", email.html)
        self.assertIn("<p>Caffè &amp; Co</p>", email.html)
        self.assertEqual(one.log, [LogLine("info", "invoice sent", {"order": "2026-0001"})])

    def test_the_file_has_all_lines_and_no_formulas(self) -> None:
        with host() as one:
            one.deliver(send_invoice, ORDER)
        [file] = one.emails[0].attachments
        self.assertEqual((file.filename, file.content_type), ("invoice-2026-0001.csv", "text/csv; charset=utf-8"))
        rows = list(csv.reader(io.StringIO(file.content.decode("utf-8-sig"))))
        self.assertEqual(
            rows[1:],
            [
                ["3", "Coffee <beans> & filter", "1250.10", "3750.30", "EUR"],
                ["1", "'=HYPERLINK(1)", "0.10", "0.10", "EUR"],
                ["", "total", "", "3750.40", "EUR"],
            ],
        )

    def test_failures_of_the_mail_server(self) -> None:
        for error, outcome in (
            (mail.Transient("mx answered 421 busy"), Retry("smtp-421", "mx answered 421 busy")),
            (mail.Permanent("mx answered 550 unknown"), Reject("smtp-550", "mx answered 550 unknown")),
        ):
            with host(mail_results=[error]) as one:
                self.assertEqual(one.deliver(send_invoice, ORDER), outcome)

    def test_orders_that_are_not_valid_are_rejected(self) -> None:
        item: dict[str, Any] = {"name": "a", "quantity": 1, "unit_price": "1"}
        cases: list[tuple[dict[str, Any], str]] = [
            ({"number": "../x"}, "number must be 1 to 32 letters, digits and hyphens"),
            ({"number": "1\r\nBcc: a@example.com"}, "number must be 1 to 32 letters, digits and hyphens"),
            ({"ordered": 5}, "ordered: expected a date and time (ISO 8601), found an integer"),
            (
                {"customer": {"name": "a\r\nBcc: b@example.com", "email": "a@example.com"}},
                "customer: name must be one line of printable characters",
            ),
            (
                {"customer": {"name": "\u202egnp.exe", "email": "a"}},
                "customer: name must be one line of printable characters",
            ),
            (
                {"customer": {"name": "a", "email": ["a@example.com"]}},
                "customer.email: expected a text, found a list",
            ),
            ({"items": []}, "an order has 1 to 500 items, but this one has 0"),
            ({"items": [item] * 501}, "an order has 1 to 500 items, but this one has 501"),
            ({"items": [item, {**item, "quantity": -1}]}, "items[1]: quantity must be from 1 to 10000"),
            ({"items": [{**item, "unit_price": "1.001"}]}, "items[0]: unit_price must have at most two decimals"),
            ({"items": [{**item, "unit_price": "1e999"}]}, "items[0]: unit_price must be from 0 to 1000000"),
            (
                {"items": [{**item, "unit_price": "NaN"}]},
                "items[0].unit_price: expected a decimal number, found another text",
            ),
            ({"items": [{**item, "name": " "}]}, "items[0]: name is empty"),
            ({"currency": "XXX"}, 'currency: expected one of "EUR", "USD", "KRW"'),
        ]
        for change, detail in cases:
            self.assertEqual(deliver({**ORDER, **change}), Reject("invalid-message", detail))

    def test_without_a_sender_it_is_said_what_is_missing(self) -> None:
        with Host() as one, self.assertRaisesRegex(LookupError, "'sender'"):
            one.deliver(send_invoice, ORDER)


if __name__ == "__main__":
    unittest.main()
