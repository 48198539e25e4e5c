"""Sends e-mails as plugins/email does."""

import logging
import re
from dataclasses import dataclass, field

from kafka_host_plugin import Done, Reject, mail, plugin

MAILBOX = re.compile(r'\s*(?:"?([^"<>@,]*?)"?\s*<([^<>\s]+)>|([^<>\s,]+))\s*')


@dataclass
class EmailMessage:
    to: str
    sender: str = field(metadata={"json": "from"})
    subject: str = ""
    body: str = ""


@plugin(name="mailer-py", version="0.1.0", summary="Sends e-mails", topic="mailer-py")
def handle(message: EmailMessage) -> Done:
    for name, text in (("from", message.sender), ("to", message.to)):
        if not text.strip():
            raise Reject(f"missing-{name}", f"{name} is empty")
    logging.debug("e-mail: from=%s, to=%s, subject=%s", message.sender, message.to, message.subject)
    email = mail.Email(
        sender=address(message.sender, "from"),
        to=[address(to, "to") for to in message.to.split(",")],
        subject=message.subject,
        text=message.body,
    )
    return Done(mail.send(email).response)


def address(text: str, field: str) -> mail.Address:
    match = MAILBOX.fullmatch(text)
    if match is None:
        raise Reject(f"invalid-{field}", "expected user@example.com or Name <user@example.com>")
    name, named, alone = match.groups()
    return mail.Address(named or alone, name or None)
