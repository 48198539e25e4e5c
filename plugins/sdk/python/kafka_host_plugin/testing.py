"""Unit tests of a plugin without a host.

    with Host(config={"sender": "shop@example.com"}) as host:
        outcome = host.deliver(handle, {"number": "1"})
    assert outcome == Done("captured, not sent")
    assert host.emails[0].subject == "Order 1"
"""

import json

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from . import _http, _host, _wasi_http, _wire, http, mail, produce
from ._message import Header, Message
from ._outcomes import Outcome
from ._plugin import Plugin
from componentize_py_types import Err, Ok
from wit_world.imports import config as _config, effects as _effects, log as _log
from wit_world.imports import mail as _mail, messages as _messages, produce as _produce


@dataclass(frozen=True)
class LogLine:
    """A line in the host's log."""

    #: `trace`, `debug`, `info`, `warn` or `error`.
    level: str
    text: str
    fields: dict[str, str]


def message(
    value: object,
    *,
    key: str | bytes | None = None,
    headers: Mapping[str, str | bytes | None] | None = None,
    topic: str = "test",
    offset: int = 0,
    timestamp_ms: int = 0,
    attempt: int = 1,
    max_attempts: int = 6,
) -> Message:
    """A message. The value is bytes, None for a tombstone, or what becomes JSON; a text becomes a JSON string."""
    return Message(
        id=f"{topic}/0/{offset}",
        topic=topic,
        partition=0,
        offset=offset,
        timestamp_ms=timestamp_ms,
        key=_bytes(key),
        value=value if value is None or isinstance(value, bytes) else json.dumps(value).encode(),
        headers=tuple(Header(name, _bytes(text)) for name, text in (headers or {}).items()),
        attempt=attempt,
        max_attempts=max_attempts,
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


@dataclass
class Host:
    """A host that captures what a plugin does, as `host plugin invoke` does. A context manager."""

    #: The plugin's configuration.
    config: dict[str, str] = field(default_factory=dict)
    #: The results of the next e-mails; further ones are accepted.
    mail_results: list[mail.Receipt | mail.MailError] = field(default_factory=list)
    #: The results of the next records; further ones are published.
    produce_results: list[produce.Position | produce.ProduceError] = field(default_factory=list)
    #: The results of the next HTTP requests; further ones are answered with 200 and `{}`.
    http_results: list[http.Response | http.HttpError] = field(default_factory=list)

    #: The lines in the log.
    log: list[LogLine] = field(default_factory=list, init=False)
    #: The e-mails, those that failed too.
    emails: list[mail.Email] = field(default_factory=list, init=False)
    #: The records, those that failed too.
    records: list[produce.Record] = field(default_factory=list, init=False)
    #: The HTTP requests, those that failed too.
    requests: list[http.Request] = field(default_factory=list, init=False)
    #: The number of calls of `effects.keep`.
    kept: int = field(default=0, init=False)
    _originals: list[tuple[Any, str, Any]] = field(default_factory=list, init=False, repr=False)

    def deliver(self, plugin: Plugin[...], value: object, **fields: Any) -> Outcome:
        """Delivers a message to a plugin, and returns its outcome. The parameters are those of `message`.

        What an exception in the handler would be in production, a trap, is here the exception.
        """
        received = value if isinstance(value, Message) else message(value, **{"topic": plugin.topic, **fields})
        outcome = plugin.deliver(received)
        # Raises what the host would not be given.
        _wire.wire(outcome)
        return outcome

    def __enter__(self) -> Self:
        """From here on, the functions of the host are those of this one."""
        self._put(_config, "get", self.config.get)
        self._put(_effects, "keep", self._keep)
        self._put(_log, "write", self._write)
        self._put(_mail, "send", lambda emails: [self._send(email) for email in emails])
        self._put(_produce, "publish", lambda records: [self._publish(record) for record in records])
        self._put(_wasi_http, "send", self._request)
        _host.set_reachable(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """There is no host any more."""
        _host.set_reachable(False)
        for module, name, original in reversed(self._originals):
            setattr(module, name, original)
        self._originals.clear()

    def _put(self, module: Any, name: str, function: Callable[..., Any]) -> None:
        self._originals.append((module, name, getattr(module, name)))
        setattr(module, name, function)

    def _keep(self) -> None:
        self.kept += 1

    def _write(self, level: _log.Level, text: str, fields: list[tuple[str, str]]) -> None:
        self.log.append(LogLine(level.name.lower(), text, dict(fields)))

    def _send(self, email: _mail.Email) -> Any:
        self.emails.append(_email(email))
        accepted = mail.Receipt(f"<{len(self.emails)}@test>", "captured, not sent")
        match self.mail_results.pop(0) if self.mail_results else accepted:
            case mail.Receipt() as receipt:
                refused = [_mail.Refusal(one.recipient, one.transient, one.response) for one in receipt.refused]
                return Ok(_mail.Receipt(receipt.id, receipt.response, refused))
            case mail.Transient(detail):
                return Err(_mail.MailError_Transient(detail))
            case mail.Permanent(detail):
                return Err(_mail.MailError_Permanent(detail))
            case mail.Denied(detail):
                return Err(_mail.MailError_Denied(detail))

    def _publish(self, record: _produce.NewRecord) -> Any:
        headers = tuple(Header(header.key, header.value) for header in record.headers)
        self.records.append(produce.Record(record.topic, record.value, record.key, headers))
        published = produce.Position(0, len(self.records) - 1)
        match self.produce_results.pop(0) if self.produce_results else published:
            case produce.Position(partition, offset):
                return Ok(_produce.Position(partition, offset))
            case produce.Transient(detail):
                return Err(_produce.ProduceError_Transient(detail))
            case produce.Permanent(detail):
                return Err(_produce.ProduceError_Permanent(detail))
            case produce.Denied(detail):
                return Err(_produce.ProduceError_Denied(detail))

    def _request(self, request: http.Request, _: _http.Target) -> http.Response | http.HttpError:
        self.requests.append(request)
        answered = http.Response(200, (("content-type", "application/json"),), b"{}")
        return self.http_results.pop(0) if self.http_results else answered


def _email(email: _mail.Email) -> mail.Email:
    def address(one: _mail.Address) -> mail.Address:
        return mail.Address(one.email, one.name)

    return mail.Email(
        sender=address(email.sender),
        to=tuple(map(address, email.to)),
        cc=tuple(map(address, email.cc)),
        bcc=tuple(map(address, email.bcc)),
        reply_to=None if email.reply_to is None else address(email.reply_to),
        subject=email.subject,
        text=email.text,
        html=email.html,
        headers=tuple(email.headers),
        attachments=tuple(mail.Attachment(one.filename, one.content_type, one.content) for one in email.attachments),
    )
