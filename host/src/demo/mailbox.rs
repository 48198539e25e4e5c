//! The demo's mailbox: an SMTP server that keeps e-mails in memory, and a page that shows them.

mod page;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;

use base::clock;
use mail_parser::{Addr, DateTime, MessageParser, MimeHeaders};
use mailin_embedded::{Action, Handler, Response, Server, response};
use parking_lot::Mutex;
use serde::Serialize;

pub use self::page::router;

/// Maximum number of SMTP connections, with a thread each. Further clients wait for the greeting.
const MAX_CONNECTIONS: u32 = 32;

/// The user without a mailbox, so that an e-mail can fail.
const NOBODY: &str = "nobody";

/// Limits of the mailbox. The oldest e-mails are deleted first.
#[derive(Debug, Clone, Copy)]
struct Limits {
    mails: usize,
    /// Size of all e-mails together, in bytes.
    bytes: usize,
    /// Size of an e-mail, in bytes. Larger ones are rejected with 552.
    mail_bytes: usize,
}

const LIMITS: Limits = Limits { mails: 200, bytes: 16 << 20, mail_bytes: 4 << 20 };

/// A running mailbox. Clones share it.
#[derive(Clone)]
pub struct Mailbox {
    smtp: SocketAddr,
    /// Time of the start: part of the page's version.
    started_ms: i64,
    limits: Limits,
    stored: Arc<Mutex<Stored>>,
}

#[derive(Default)]
struct Stored {
    received: u64,
    bytes: usize,
    /// Newest first.
    mails: VecDeque<Arc<Mail>>,
}

/// A received e-mail.
#[derive(Debug, Default, Serialize)]
pub struct Mail {
    /// 1 for the first e-mail of this run.
    pub id: u64,
    /// The `From` header as `Name <address>`; the envelope's sender without one.
    pub from: String,
    /// The `To` header.
    pub to: Vec<String>,
    /// The `Cc` header.
    pub cc: Vec<String>,
    /// The envelope's recipients, including blind copies.
    pub recipients: Vec<String>,
    /// The decoded subject.
    pub subject: String,
    /// The text body; derived from the HTML body without one.
    pub text: String,
    /// The HTML body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The attachments, without their content.
    pub attachments: Vec<File>,
    /// Time of receipt: RFC 3339, UTC.
    pub received: String,
    /// All headers in order, undecoded.
    pub headers: Vec<(String, String)>,
    /// Size in bytes.
    pub size: usize,
}

/// An attachment, without its content.
#[derive(Debug, Serialize)]
pub struct File {
    /// The name, or empty.
    pub filename: String,
    /// The media type.
    pub content_type: String,
    /// Size in bytes.
    pub size: usize,
}

impl Mailbox {
    /// Starts the SMTP server; port 0 selects a free port. Returns the server's address.
    ///
    /// The server cannot be stopped: it runs until the process ends, on a thread of its own and one for each
    /// connection (at most 32, with a timeout of five minutes). It supports neither TLS nor authentication: use it on
    /// loopback addresses only.
    ///
    /// # Errors
    /// The address is in use, or not of this machine.
    pub fn start(addr: impl ToSocketAddrs) -> io::Result<(Self, SocketAddr)> {
        Self::start_with(addr, LIMITS)
    }

    fn start_with(addr: impl ToSocketAddrs, limits: Limits) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(addr)?;
        let smtp = listener.local_addr()?;
        let mailbox = Self { smtp, started_ms: clock::now_ms(), limits, stored: Arc::default() };
        let connection = Connection { mailbox: mailbox.clone(), envelope: Envelope::default() };
        let mut server = Server::new(connection);
        server.with_name("mailbox").with_num_threads(MAX_CONNECTIONS).with_tcp_listener(listener);
        std::thread::Builder::new().name("mailbox".to_owned()).spawn(move || {
            if let Err(error) = server.serve() {
                tracing::error!("the mailbox on {smtp} has stopped: {error}");
            }
        })?;
        Ok((mailbox, smtp))
    }

    /// The stored e-mails, newest first.
    pub fn mails(&self) -> Vec<Arc<Mail>> {
        self.stored.lock().mails.iter().cloned().collect()
    }

    /// A number that changes with every e-mail.
    fn revision(&self) -> u64 {
        self.stored.lock().received
    }

    fn store(&self, envelope: &Envelope) {
        let mut mail = read(envelope);
        let mut stored = self.stored.lock();
        stored.received += 1;
        mail.id = stored.received;
        stored.bytes += mail.size;
        stored.mails.push_front(Arc::new(mail));
        while stored.mails.len() > self.limits.mails || stored.bytes > self.limits.bytes {
            let Some(oldest) = stored.mails.pop_back() else { break };
            stored.bytes -= oldest.size;
        }
    }
}

/// An e-mail that is being received.
#[derive(Clone, Default)]
struct Envelope {
    from: String,
    to: Vec<String>,
    data: Vec<u8>,
    too_large: bool,
}

/// The handler of a connection; the server clones it.
#[derive(Clone)]
struct Connection {
    mailbox: Mailbox,
    envelope: Envelope,
}

impl Handler for Connection {
    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        self.envelope = Envelope::default();
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        match to.split_once('@') {
            Some((NOBODY, _)) => {
                Response::custom(550, "5.1.1 there is no such mailbox in the demo".to_owned())
            }
            _ => response::OK,
        }
    }

    fn data_start(&mut self, _: &str, from: &str, _: bool, to: &[String]) -> Response {
        self.envelope = Envelope { from: from.to_owned(), to: to.to_vec(), ..Envelope::default() };
        response::START_DATA
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        let envelope = &mut self.envelope;
        envelope.too_large |= envelope.data.len() + line.len() > self.mailbox.limits.mail_bytes;
        if !envelope.too_large {
            envelope.data.extend_from_slice(line);
        }
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let envelope = std::mem::take(&mut self.envelope);
        if envelope.too_large {
            // The server's state machine remains in DATA after an error, so the connection is closed.
            let mut refusal = Response::custom(552, "the e-mail is too large for the demo".to_owned());
            refusal.action = Action::Close;
            return refusal;
        }
        self.mailbox.store(&envelope);
        response::OK
    }
}

/// Parses an e-mail. Any bytes are accepted.
fn read(envelope: &Envelope) -> Mail {
    let mail = Mail {
        from: envelope.from.clone(),
        recipients: envelope.to.clone(),
        received: DateTime::from_timestamp(clock::now_ms() / 1000).to_rfc3339(),
        size: envelope.data.len(),
        ..Mail::default()
    };
    let Some(message) = MessageParser::default().parse(&envelope.data) else { return mail };
    let list = |addresses: Option<&mail_parser::Address<'_>>| -> Vec<String> {
        addresses.into_iter().flat_map(|addresses| addresses.iter()).map(format_address).collect()
    };
    // The parser converts the text body if there is no HTML part.
    let has_html = message.html_bodies().any(|part| part.is_text_html());
    let html = if has_html { message.body_html(0).map(|html| html.into_owned()) } else { None };
    let headers = message.headers_raw();
    Mail {
        from: list(message.from()).into_iter().next().unwrap_or(mail.from),
        to: list(message.to()),
        cc: list(message.cc()),
        subject: message.subject().unwrap_or_default().to_owned(),
        text: message.body_text(0).unwrap_or_default().trim_end().to_owned(),
        html,
        attachments: message.attachments().map(file).collect(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
        ..mail
    }
}

fn file(part: &mail_parser::MessagePart<'_>) -> File {
    let content_type = part.content_type().map_or_else(
        || "application/octet-stream".to_owned(),
        |kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        },
    );
    let filename = part.attachment_name().unwrap_or_default().to_owned();
    File { filename, content_type, size: part.contents().len() }
}

fn format_address(address: &Addr<'_>) -> String {
    match (address.name(), address.address()) {
        (Some(name), Some(email)) => format!("{name} <{email}>"),
        (name, email) => email.or(name).unwrap_or_default().to_owned(),
    }
}
