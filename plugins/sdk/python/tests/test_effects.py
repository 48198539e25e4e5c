"""E-mail and records."""

import unittest

from kafka_host_plugin import Header, Reject, Retry, mail, produce
from kafka_host_plugin.testing import Host
from wit_world.imports import mail as wit_mail

EMAIL = mail.Email(sender="a@example.com", to=["b@example.com"], subject="s", text="t")
UNKNOWN = "mx.example.com answered 550 5.1.1 no such user"


def receipt(*refused: mail.Refusal) -> mail.Receipt:
    return mail.Receipt("<1>", "250 ok", list(refused))


class Mail(unittest.TestCase):
    def failure(self, *results: mail.Receipt | mail.MailError, email: mail.Email = EMAIL) -> Retry | Reject:
        with Host(mail_results=list(results)), self.assertRaises((Retry, Reject)) as raised:
            mail.send(email)
        assert isinstance(raised.exception, (Retry, Reject))
        return raised.exception

    def test_an_email_arrives_as_it_was_given(self) -> None:
        email = mail.Email(
            sender=mail.Address("a@example.com", "Ä"),
            to=["b@example.com"],
            cc=[mail.Address("c@example.com")],
            subject="제목",
            html="<p>",
            reply_to="r@example.com",
            headers=[("X-A", "1")],
            attachments=[mail.Attachment("a.csv", "text/csv", b"1")],
        )
        with Host() as host:
            self.assertEqual(mail.send(email).response, "captured, not sent")
        [sent] = host.emails
        self.assertEqual((sent.sender, sent.to), (email.sender, (mail.Address("b@example.com"),)))
        self.assertEqual((sent.subject, sent.text, sent.html, sent.bcc), ("제목", None, "<p>", ()))
        self.assertEqual((sent.reply_to, sent.attachments), (mail.Address("r@example.com"), tuple(email.attachments)))

    def test_errors_become_failures(self) -> None:
        cases: list[tuple[mail.MailError, Retry | Reject]] = [
            (mail.Transient("x answered 421 busy"), Retry("smtp-421", "x answered 421 busy")),
            (mail.Transient("no connection"), Retry("smtp-transient", "no connection")),
            (mail.Transient("x answered 4215 busy"), Retry("smtp-transient", "x answered 4215 busy")),
            (mail.Transient("x answered 550 busy"), Retry("smtp-transient", "x answered 550 busy")),
            (mail.Permanent(UNKNOWN), Reject("smtp-550", UNKNOWN)),
            (mail.Permanent("550-no"), Reject("smtp-550", "550-no")),
            (mail.Permanent("bad address"), Reject("smtp-permanent", "bad address")),
            (mail.Denied("not granted"), Reject("mail-denied", "not granted")),
        ]
        for error, failure in cases:
            self.assertEqual(self.failure(error), failure)

    def test_it_is_sent_again_only_to_those_refused_for_now(self) -> None:
        email = mail.Email("a@example.com", ["b@example.com", mail.Address("c@example.com", "C")], "s", text="t")
        busy = mail.Refusal("c@example.com", True, "450 busy")
        with Host(mail_results=[receipt(busy), receipt()]) as host:
            mail.send(email)
        self.assertEqual(host.emails[1].to, (mail.Address("c@example.com", "C"),))
        unknown = mail.Refusal("c@example.com", False, "550 unknown")
        self.assertEqual(self.failure(receipt(unknown), email=email), Reject("smtp-550", "c@example.com: 550 unknown"))
        self.assertEqual(
            self.failure(receipt(busy), receipt(busy), email=email),
            Retry("smtp-transient", "the server accepted no further recipient"),
        )
        # One for good, the other one later for good.
        three = mail.Email("a@example.com", ["a@example.com", "b@example.com", "c@example.com"], "s", text="t")
        unknown = mail.Refusal("b@example.com", False, "551 gone")
        self.assertEqual(
            self.failure(receipt(busy, unknown), mail.Permanent("550 no"), email=three),
            Reject("smtp-551", "b@example.com: 551 gone; 550 no"),
        )

    def test_a_host_that_returns_no_result(self) -> None:
        with Host():
            wit_mail.send = lambda emails: []
            self.assertRaises(Retry, mail.send, EMAIL)

    def test_wrong_types_are_named(self) -> None:
        wrong = mail.Attachment("a", "b", "c")  # type: ignore[arg-type]
        for email, text in [
            (mail.Email("a@example.com", "b@example.com", "s"), "to must be a list"),
            (mail.Email("a@example.com", [5], "s"), "to must be an address"),  # type: ignore[list-item]
            (mail.Email("a@example.com", ["b@example.com"], None), "subject must be a text"),  # type: ignore[arg-type]
            (mail.Email("a", ["b"], "s", attachments=[wrong]), "bytes"),
        ]:
            with Host(), self.assertRaisesRegex(TypeError, text):
                mail.send(email)


class Produce(unittest.TestCase):
    def test_records_are_published(self) -> None:
        with Host() as host:
            record = produce.Record.json("t", {"a": "é"}, key="k", headers=[Header("h", b"1")])
            self.assertEqual(produce.publish(record), [produce.Position(0, 0)])
        self.assertEqual(host.records, [produce.Record("t", '{"a":"é"}'.encode(), b"k", (Header("h", b"1"),))])

    def test_errors_become_failures(self) -> None:
        cases: list[tuple[produce.ProduceError, Retry | Reject]] = [
            (produce.Transient("a"), Retry("produce-transient", "a")),
            (produce.Permanent("b"), Reject("produce-permanent", "b")),
            (produce.Denied("c"), Reject("produce-denied", "c")),
        ]
        for error, failure in cases:
            with Host(produce_results=[produce.Position(0, 1), error]), self.assertRaises((Retry, Reject)) as raised:
                produce.publish(produce.Record("t", b"1"), produce.Record("t", None))
            self.assertEqual(raised.exception, failure)
            with Host(produce_results=[error]):
                self.assertEqual(produce.try_publish(produce.Record("t", b"1")), [error])

    def test_wrong_types_are_named(self) -> None:
        wrong = produce.Record("t", "text")  # type: ignore[arg-type]
        with Host():
            self.assertRaisesRegex(TypeError, "Record.json", produce.publish, wrong)


if __name__ == "__main__":
    unittest.main()
