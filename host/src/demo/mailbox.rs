//! The demo's mail catcher: an SMTP server that keeps what it is sent in memory and shows it.

mod page;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mail_parser::{Addr, DateTime, MessageParser, MimeHeaders};
use mailin_embedded::{Action, Handler, Response, Server, response};
use parking_lot::Mutex;
use serde::Serialize;

pub use self::page::router;

/// SMTP sessions at once, a thread each; a further client waits for its greeting.
const SESSIONS: u32 = 32;

/// What the mailbox holds at most; the oldest e-mails go first.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    mails: usize,
    /// Of all e-mails together, as they came over the wire.
    bytes: usize,
    /// Of one; a larger one is refused with 552.
    mail_bytes: usize,
}

const BOUNDS: Bounds = Bounds { mails: 200, bytes: 16 << 20, mail_bytes: 4 << 20 };

/// A running mail catcher. Clones share it.
#[derive(Clone)]
pub struct Mailbox {
    smtp: SocketAddr,
    /// When it started: tells the e-mails of this run from those of an earlier one.
    started_ms: u64,
    bounds: Bounds,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    received: u64,
    bytes: usize,
    /// Newest first.
    mails: VecDeque<Arc<Mail>>,
}

/// A caught e-mail.
#[derive(Debug, Default, Serialize)]
pub struct Mail {
    /// 1 for the first e-mail of this run.
    pub id: u64,
    /// The `From` header as `Name <address>`, or the envelope's sender where there is none.
    pub from: String,
    /// The `To` header.
    pub to: Vec<String>,
    /// The `Cc` header.
    pub cc: Vec<String>,
    /// Everyone it was delivered to, blind copies included.
    pub recipients: Vec<String>,
    /// Decoded.
    pub subject: String,
    /// The text body; taken from the HTML where there is no other.
    pub text: String,
    /// The HTML body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Files that came with it.
    pub attachments: Vec<File>,
    /// When it came: RFC 3339, UTC.
    pub received: String,
    /// All headers in order, as they came over the wire.
    pub headers: Vec<(String, String)>,
    /// Bytes on the wire.
    pub size: usize,
}

/// An attachment, without its content.
#[derive(Debug, Serialize)]
pub struct File {
    /// Empty where it has no name.
    pub filename: String,
    /// Its media type.
    pub content_type: String,
    /// Bytes.
    pub size: usize,
}

impl Mailbox {
    /// Starts the SMTP server on `addr`, port 0 for a free one, and says where it listens.
    ///
    /// The server has no stop: it accepts for as long as the process lives, on a thread of its own
    /// and one more for each session (at most 32, given up after five silent minutes). None of them
    /// keeps the process from ending. No TLS and no login: for loopback addresses only.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(addr: impl ToSocketAddrs) -> io::Result<(Self, SocketAddr)> {
        Self::start_within(addr, BOUNDS)
    }

    fn start_within(addr: impl ToSocketAddrs, bounds: Bounds) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(addr)?;
        let smtp = listener.local_addr()?;
        let mailbox = Self { smtp, started_ms: now_ms(), bounds, kept: Arc::default() };
        let session = Session { mailbox: mailbox.clone(), envelope: Envelope::default() };
        let mut server = Server::new(session);
        server.with_name("mailbox").with_num_threads(SESSIONS).with_tcp_listener(listener);
        std::thread::Builder::new().name("mailbox".to_owned()).spawn(move || {
            if let Err(error) = server.serve() {
                tracing::error!("the mail catcher on {smtp} stopped: {error}");
            }
        })?;
        Ok((mailbox, smtp))
    }

    /// The e-mails held, newest first.
    pub fn mails(&self) -> Vec<Arc<Mail>> {
        self.kept.lock().mails.iter().cloned().collect()
    }

    /// How many e-mails ever came: changes with every one.
    fn revision(&self) -> u64 {
        self.kept.lock().received
    }

    fn keep(&self, envelope: &Envelope) {
        let mut mail = read(envelope);
        let mut kept = self.kept.lock();
        kept.received += 1;
        mail.id = kept.received;
        kept.bytes += mail.size;
        kept.mails.push_front(Arc::new(mail));
        while kept.mails.len() > self.bounds.mails || kept.bytes > self.bounds.bytes {
            let Some(oldest) = kept.mails.pop_back() else { break };
            kept.bytes -= oldest.size;
        }
    }
}

/// One e-mail on its way in.
#[derive(Clone, Default)]
struct Envelope {
    from: String,
    to: Vec<String>,
    data: Vec<u8>,
    too_large: bool,
}

/// The server clones this for every connection.
#[derive(Clone)]
struct Session {
    mailbox: Mailbox,
    envelope: Envelope,
}

impl Handler for Session {
    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        self.envelope = Envelope::default();
        response::OK
    }

    fn data_start(&mut self, _: &str, from: &str, _: bool, to: &[String]) -> Response {
        self.envelope = Envelope { from: from.to_owned(), to: to.to_vec(), ..Envelope::default() };
        response::START_DATA
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        let envelope = &mut self.envelope;
        envelope.too_large |= envelope.data.len() + line.len() > self.mailbox.bounds.mail_bytes;
        if !envelope.too_large {
            envelope.data.extend_from_slice(line);
        }
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let envelope = std::mem::take(&mut self.envelope);
        if envelope.too_large {
            // The server's state machine stays inside DATA after an error here, so hang up.
            let mut refusal = Response::custom(552, "the e-mail is too large for the demo".to_owned());
            refusal.action = Action::Close;
            return refusal;
        }
        self.mailbox.keep(&envelope);
        response::OK
    }
}

/// Takes an e-mail apart. Whatever the bytes are, an e-mail comes out.
fn read(envelope: &Envelope) -> Mail {
    let mail = Mail {
        from: envelope.from.clone(),
        recipients: envelope.to.clone(),
        received: DateTime::from_timestamp((now_ms() / 1000).try_into().unwrap_or(0)).to_rfc3339(),
        size: envelope.data.len(),
        ..Mail::default()
    };
    let Some(message) = MessageParser::default().parse(&envelope.data) else { return mail };
    let list = |addresses: Option<&mail_parser::Address<'_>>| -> Vec<String> {
        addresses.into_iter().flat_map(|addresses| addresses.iter()).map(shown).collect()
    };
    // The parser also offers the text body as HTML; only a part that is HTML counts.
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

fn shown(address: &Addr<'_>) -> String {
    match (address.name(), address.address()) {
        (Some(name), Some(email)) => format!("{name} <{email}>"),
        (name, email) => email.or(name).unwrap_or_default().to_owned(),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
