"""Sends e-mail. Needs `allow = ["mail"]`.

A plugin that imports this module has the import `mail`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Union

from . import _host
from ._outcomes import Reject, Retry
from componentize_py_types import Ok
from wit_world.imports import mail as _mail


@dataclass(frozen=True)
class Address:
    """An address, with a name or without."""

    email: str
    name: str | None = None


@dataclass(frozen=True)
class Attachment:
    """A file in an e-mail."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Email:
    """An e-mail. An address may be a text, without a name."""

    sender: Address | str
    to: Sequence[Address | str]
    subject: str
    text: str | None = None
    html: str | None = None
    cc: Sequence[Address | str] = ()
    bcc: Sequence[Address | str] = ()
    reply_to: Address | str | None = None
    headers: Sequence[tuple[str, str]] = ()
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True)
class Refusal:
    """A recipient that the server refused."""

    recipient: str
    #: Whether the refusal is temporary.
    transient: bool
    #: The server's response.
    response: str


@dataclass(frozen=True)
class Receipt:
    """The server accepted the e-mail for at least one recipient."""

    id: str
    #: The server's response.
    response: str
    #: The recipients that it refused. To retry, send an e-mail to these alone.
    refused: Sequence[Refusal] = ()


@dataclass(frozen=True)
class Transient:
    """A temporary failure: no connection, or no recipient was accepted and one was refused with 4xx."""

    detail: str


@dataclass(frozen=True)
class Permanent:
    """A permanent failure: an invalid address, or every recipient was refused with 5xx."""

    detail: str


@dataclass(frozen=True)
class Denied:
    """The capability is not granted."""

    detail: str


MailError = Union[Transient, Permanent, Denied]


def send(email: Email) -> Receipt:
    """Sends an e-mail to all of its recipients.

    It is sent again to those that were refused for now while others were accepted. Raises `Retry` with `smtp-4xx` or
    `smtp-transient`, and `Reject` with `smtp-5xx`, `smtp-permanent` or `mail-denied`, by the server's reply. The next
    delivery does not send again what was sent: the host answers from its ledger.
    """
    refused: list[str] = []
    code = ""
    while True:
        match _one(try_send(email)):
            case Transient(detail):
                raise Retry(_code(detail, "4", "smtp-transient"), detail)
            case Denied(detail):
                raise Reject("mail-denied", detail)
            case Permanent(detail):
                raise Reject(code or _code(detail, "5", "smtp-permanent"), "; ".join([*refused, detail]))
            case receipt:
                pass
        for refusal in receipt.refused:
            if not refusal.transient:
                code = code or _code(refusal.response, "5", "smtp-permanent")
                refused.append(f"{refusal.recipient}: {refusal.response}")
        again = {refusal.recipient for refusal in receipt.refused if refusal.transient}
        if not again:
            if refused:
                raise Reject(code, "; ".join(refused))
            return receipt
        # At least one recipient was accepted, so that this ends.
        if len(again) >= _count(email):
            raise Retry("smtp-transient", "the server accepted no further recipient")
        email = _only(email, again)


def try_send(*emails: Email) -> list[Receipt | MailError]:
    """Sends e-mails, and returns one result for each, in order."""
    _host.require("mail.send")
    return [_result(result) for result in _mail.send([_wire(email) for email in emails])]


def _one(results: list[Receipt | MailError]) -> Receipt | MailError:
    return results[0] if len(results) == 1 else Transient("the host returned no result for the e-mail")


def _count(email: Email) -> int:
    return len(email.to) + len(email.cc) + len(email.bcc)


def _only(email: Email, recipients: set[str]) -> Email:
    """The e-mail to these alone.

    The host writes an international domain in ASCII; such a recipient has no name then.
    """
    lists = [
        [one for one in given if (one if isinstance(one, str) else one.email) in recipients]
        for given in (email.to, email.cc, email.bcc)
    ]
    known = {one if isinstance(one, str) else one.email for given in lists for one in given}
    lists[0] += sorted(recipients - known)
    return replace(email, to=lists[0], cc=lists[1], bcc=lists[2])


def _code(detail: str, kind: str, other: str) -> str:
    """The code of the server's reply in a detail: `… answered 550 no such user`, or the reply alone."""
    reply = detail.partition(" answered ")[2] or detail
    found = re.match(r"([0-9]{3})(?![^\W_])", reply)
    return f"smtp-{found[1]}" if found and found[1].startswith(kind) else other


def _address(value: Address | str, what: str) -> _mail.Address:
    if isinstance(value, str):
        return _mail.Address(None, _host.text(value, what))
    if not isinstance(value, Address):
        raise TypeError(f"{what} must be an address, a text or mail.Address, not {type(value).__name__}")
    name = None if value.name is None else _host.text(value.name, f"the name of {what}")
    return _mail.Address(name, _host.text(value.email, what))


def _addresses(values: Iterable[Address | str], what: str) -> list[_mail.Address]:
    if isinstance(values, str):
        raise TypeError(f"{what} must be a list of addresses, not one text")
    return [_address(value, what) for value in values]


def _optional(value: str | None, what: str) -> str | None:
    return None if value is None else _host.text(value, what)


def _wire(email: Email) -> _mail.Email:
    return _mail.Email(
        sender=_address(email.sender, "sender"),
        to=_addresses(email.to, "to"),
        cc=_addresses(email.cc, "cc"),
        bcc=_addresses(email.bcc, "bcc"),
        reply_to=None if email.reply_to is None else _address(email.reply_to, "reply_to"),
        subject=_host.text(email.subject, "subject"),
        text=_optional(email.text, "text"),
        html=_optional(email.html, "html"),
        headers=[(_host.text(name, "the name of a header"), _host.text(value, name)) for name, value in email.headers],
        attachments=[_attachment(attachment) for attachment in email.attachments],
    )


def _attachment(attachment: Attachment) -> _mail.Attachment:
    if not isinstance(attachment.content, bytes):
        raise TypeError(f"the content of an attachment must be bytes, not {type(attachment.content).__name__}")
    return _mail.Attachment(
        _host.text(attachment.filename, "filename"),
        _host.text(attachment.content_type, "content_type"),
        attachment.content,
    )


def _result(result: object) -> Receipt | MailError:
    if isinstance(result, Ok):
        receipt = result.value
        refused = [Refusal(one.recipient, one.transient, one.response) for one in receipt.refused]
        return Receipt(receipt.id, receipt.response, refused)
    error = getattr(result, "value", None)
    match error:
        case _mail.MailError_Transient(detail):
            return Transient(detail)
        case _mail.MailError_Denied(detail):
            return Denied(detail)
        case _mail.MailError_Permanent(detail):
            return Permanent(detail)
    raise TypeError(f"the host returned {result!r} for an e-mail")
