//! Delivery of e-mail over SMTP. The types mirror the interface `mail` of the contract.

mod check;
#[cfg(test)]
pub(super) mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::error::UserError;
use destinations::{Destination, Options, Reservation, Room};
use serde::{Deserialize, Serialize};
use settings::MailServer;
use tokio::time::{sleep, timeout};

use super::compose::{self, Composed};
use super::idle::IdleConnections;
use super::server;
use super::smtp::connection::Endpoint;
use super::smtp::reply::MAX_TEXT;
use super::smtp::transaction::{self, Accepted, Mail, Refused};
use super::smtp::{Connection, Kind, NotConnected, Reply, Timeouts};
use crate::shortage;

/// The default of `mail.connections`.
const CONNECTIONS: usize = 10;
/// The default of `mail.breaker`.
const BREAKER: u32 = 5;
/// The time after which a connection is closed, so that others get a turn at a server that allows few.
const MAX_AGE: Duration = Duration::from_secs(30);
/// The time for which such a server is left one connection more than it allows this host.
const TURN: Duration = Duration::from_secs(1);
/// The time for an e-mail of the host itself, all waiting included.
const OWN_BOUND: Duration = Duration::from_secs(60);

/// A mailbox with a display name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The display name.
    pub name: Option<String>,
    /// `user@domain`.
    pub email: String,
}

/// An attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The file name.
    pub filename: String,
    /// A media type such as `application/pdf`.
    pub content_type: String,
    /// The file's bytes.
    pub content: Vec<u8>,
}

/// An e-mail to send. Text and HTML together become alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// `From`, and the sender of the envelope.
    pub sender: Address,
    /// `To`.
    pub to: Vec<Address>,
    /// `Cc`.
    pub cc: Vec<Address>,
    /// Hidden recipients.
    pub bcc: Vec<Address>,
    /// `Reply-To`.
    pub reply_to: Option<Address>,
    /// One line.
    pub subject: String,
    /// The plain text body.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// Further headers. Headers that the host writes itself are refused.
    pub headers: Vec<(String, String)>,
    /// Attachments.
    pub attachments: Vec<Attachment>,
}

/// The server accepted the e-mail for at least one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The e-mail's `Message-ID`, angle brackets included.
    pub id: String,
    /// The first line of the server's answer with its code, at most 300 characters.
    pub response: String,
    /// Refused recipients.
    pub refused: Vec<Refusal>,
}

/// A recipient that the server refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `user@domain`.
    pub recipient: String,
    /// Whether a retry may help: a 4xx answer.
    pub transient: bool,
    /// The server's answer with its code, at most 300 characters.
    pub response: String,
}

/// The reason why an e-mail was not sent, or may not have been sent. The text contains no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Not sent, and a retry may help: a 4xx answer, no connection, a refused login, or no answer in time before the
    /// transmission of the content.
    #[error("{0}")]
    Transient(String),
    /// Not sent, and a retry cannot help: a 5xx answer to the e-mail or to all recipients, an invalid address, a
    /// header that is not allowed.
    #[error("{0}")]
    Permanent(String),
    /// In doubt: the connection broke, or the time ran out, after the transmission of the content had begun.
    #[error("{0}; it may have been sent")]
    Unknown(String),
}

/// Checks an e-mail without a server, and returns its `Message-ID`, which begins with `name`.
///
/// # Errors
/// [`MailError::Permanent`]: a part of the e-mail is invalid; the error names it.
pub fn check(email: &Email, name: &str) -> Result<String, MailError> {
    compose::compose(email, name).map(|composed| composed.id).map_err(MailError::Permanent)
}

/// Sends e-mail through one SMTP server over a pool of connections.
///
/// A connection belongs to the tokio runtime on which it was opened. Therefore [`Mailer::attempt`] must always be called
/// on the same runtime: that of the services, not that of a worker.
///
/// `Display` and `Debug` show `smtp://host:port`, without credentials.
pub struct Mailer {
    endpoint: Endpoint,
    timeouts: Timeouts,
    destination: Arc<Destination>,
    idle: IdleConnections,
}

/// The reason why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSent {
    /// It concerns the e-mail, or the e-mail is in doubt.
    Mail(MailError),
    /// It concerns the server. The e-mail was not sent.
    Server(ServerTrouble),
}

/// A reason that concerns the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTrouble {
    /// The reason.
    pub reason: String,
    /// Whether the server knew a part of the e-mail, so that the e-mail may be the reason all the same.
    pub is_suspect: bool,
}

impl Mailer {
    /// Reads `smtp://[user:password@]host[:port][/ehlo-name][?tls=required|opportunistic]` or
    /// `smtps://…`. The default port is 25 without TLS, 587 with `tls=…`, 465 for `smtps`. Does not connect.
    ///
    /// # Errors
    /// The URL or a setting is invalid. The error does not repeat the URL.
    pub fn new(url: &str, settings: &MailServer) -> Result<Self, UserError> {
        settings.check()?;
        let endpoint = server::endpoint("mail", url, settings.ca.as_deref())?;
        let name = endpoint.to_string();
        Ok(Self::to(endpoint, name, settings))
    }

    /// As [`Mailer::new`], for `[mail.server.NAME]`. Two of them may be accounts at the same server.
    ///
    /// # Errors
    /// The URL or a setting is invalid. The error does not repeat the URL.
    pub fn named(name: &str, url: &str, settings: &MailServer) -> Result<Self, UserError> {
        let endpoint = server::endpoint(&format!("mail.server.{name}"), url, settings.ca.as_deref())?;
        let name = format!("{name} ({endpoint})");
        Ok(Self::to(endpoint, name, settings))
    }

    fn to(endpoint: Endpoint, name: String, settings: &MailServer) -> Self {
        let timeouts = server::timeouts(settings);
        let options = Options {
            max: settings.connections.map_or(CONNECTIONS, |count| count.get() as usize),
            per_minute: settings.per_minute,
            breaker: Some(settings.breaker.unwrap_or(BREAKER)).filter(|failures| *failures > 0),
        };
        let destination = Destination::new(name, options);
        Self { endpoint, timeouts, destination, idle: IdleConnections::default() }
    }

    /// The server as a destination.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }

    /// Sends an e-mail of the host itself within 60 s. `name` is the first part of its `Message-ID`.
    ///
    /// # Errors
    /// The server accepted it for no recipient, does not work, or [`MailError::Unknown`].
    pub async fn send(&self, email: &Email, name: &str) -> Result<Receipt, MailError> {
        send_own(email, name, async { (self, self.destination.reserve(1).await) }).await
    }

    /// Sends one e-mail and waits for the server's answer. When the future is dropped, the connection is closed.
    ///
    /// # Errors
    /// The server accepted it for no recipient, does not work, or the e-mail is in doubt.
    pub async fn attempt(&self, mut room: Room, mail: &Composed) -> Result<Receipt, NotSent> {
        let idle = self.idle.take().await;
        let mut is_fresh = idle.is_none();
        let mut connection = match idle {
            Some(connection) => connection,
            None => match Connection::open(&self.endpoint, self.timeouts).await {
                Ok(connection) => connection,
                Err(error) => return Err(self.not_connected(room, error).await),
            },
        };
        room.accepted();
        if mail.international && !connection.extensions().smtputf8 {
            self.finish(connection, room);
            let text = "an address is not ASCII, and";
            let text = format!("{text} {self} does not support such addresses (SMTPUTF8)");
            return Err(NotSent::Mail(MailError::Permanent(text)));
        }
        let content = mail.content();
        let recipients: Vec<_> = mail.recipients.iter().map(ToString::to_string).collect();
        let sender = mail.sender.to_string();
        let (recipients, content) = (recipients.as_slice(), content.as_ref());
        let transaction = Mail { sender: &sender, recipients, content, international: mail.international };
        loop {
            let refused = match transaction::perform(&mut connection, &transaction).await {
                Ok(accepted) => {
                    self.finish(connection, room);
                    return Ok(receipt(mail, accepted));
                }
                Err(refused) => refused,
            };
            // A server may end a connection at any time, and allow a number of e-mails on each.
            if !is_fresh && matches!(refused, Refused::Server(_) | Refused::Broken(_)) {
                is_fresh = true;
                drop(connection);
                connection = match Connection::open(&self.endpoint, self.timeouts).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(self.not_connected(room, error).await),
                };
                continue;
            }
            if refused.keeps_connection() {
                self.idle.keep(connection, true, max_idle(&room));
            }
            return Err(self.refused(room, mail, refused));
        }
    }

    async fn not_connected(&self, room: Room, error: NotConnected) -> NotSent {
        let reason = match error {
            // Nothing is known about the server.
            NotConnected::Shortage(reason) => {
                drop(room);
                shortage::report(&format!("no connection to {self}: {reason}"));
                sleep(shortage::PAUSE).await;
                reason
            }
            NotConnected::Refused(reason) => {
                room.refused(&reason);
                reason
            }
            NotConnected::Unusable(reason) => {
                room.failed(&reason);
                reason
            }
        };
        let reason = one_line(&format!("no connection to {self}: {reason}"));
        NotSent::Server(ServerTrouble { reason, is_suspect: false })
    }

    fn refused(&self, room: Room, mail: &Composed, refused: Refused) -> NotSent {
        let text = |text: &str| one_line(&format!("{self} answered {text}"));
        match refused {
            Refused::Email(reply) => {
                room.succeeded();
                NotSent::Mail(of_reply(reply.kind(), text(&reply.to_string())))
            }
            Refused::Recipients(refused) => {
                room.succeeded();
                NotSent::Mail(self.no_recipient(mail, refused))
            }
            Refused::Server(reply) => {
                let reason = text(&reply.to_string());
                room.refused(&reason);
                NotSent::Server(ServerTrouble { reason, is_suspect: true })
            }
            Refused::Broken(broken) => {
                let reason = one_line(&format!("the connection to {self} broke: {broken}"));
                room.failed(&reason);
                NotSent::Server(ServerTrouble { reason, is_suspect: true })
            }
            Refused::InDoubt(broken) => {
                let reason = one_line(&format!("the connection to {self} broke: {broken}"));
                room.failed(&reason);
                NotSent::Mail(MailError::Unknown(reason))
            }
        }
    }

    /// The server accepted no recipient. It may accept those with a 4xx answer later.
    fn no_recipient(&self, mail: &Composed, refused: Vec<(usize, Reply)>) -> MailError {
        let refused = refusals(mail, refused);
        let transient = refused.iter().any(|refusal| refusal.transient);
        let of_kind = refused.iter().find(|refusal| refusal.transient == transient);
        let answer = of_kind.map_or("nothing", |refusal| &refusal.response);
        let text = match refused.len() {
            1 => one_line(&format!("{self} answered {answer}")),
            all => one_line(&format!("{self} accepted none of {all} recipients; it answered {answer}")),
        };
        of_reply(if transient { Kind::Transient } else { Kind::Permanent }, text)
    }

    /// Ends a use that succeeded. The connection is kept for the next e-mail, unless it is old.
    fn finish(&self, connection: Connection, room: Room) {
        if connection.age() < MAX_AGE {
            self.idle.keep(connection, false, max_idle(&room));
            return room.succeeded();
        }
        let has_learned = self.destination.status().learned.is_some();
        // The room is taken until the connection is closed, so that the next one is not one too many.
        tokio::spawn(async move {
            connection.closed().await;
            if has_learned { room.succeeded_and_stays(TURN) } else { room.succeeded() }
        });
    }
}

/// The number of idle connections besides those in use, of which this is one.
fn max_idle(room: &Room) -> usize {
    (room.limit() + 1).saturating_sub(room.in_use())
}

/// Sends an e-mail of the host itself through the server that is reserved.
pub(super) async fn send_own<'a>(
    email: &Email,
    name: &str,
    reserving: impl Future<Output = (&'a Mailer, Reservation)>,
) -> Result<Receipt, MailError> {
    let mail = compose::compose(email, name).map_err(MailError::Permanent)?;
    let sending = async {
        let (mailer, reservation) = reserving.await;
        let room = reservation.enter().await.map_err(|outage| MailError::Transient(outage.0))?;
        mailer.attempt(room, &mail).await.map_err(|not_sent| match not_sent {
            NotSent::Mail(error) => error,
            NotSent::Server(trouble) => MailError::Transient(trouble.reason),
        })
    };
    let late =
        || MailError::Unknown(format!("no mail server accepted the e-mail within {} s", OWN_BOUND.as_secs()));
    timeout(OWN_BOUND, sending).await.unwrap_or_else(|_| Err(late()))
}

fn of_reply(kind: Kind, text: String) -> MailError {
    if kind == Kind::Transient { MailError::Transient(text) } else { MailError::Permanent(text) }
}

fn receipt(mail: &Composed, accepted: Accepted) -> Receipt {
    let response = one_line(&accepted.reply.to_string());
    Receipt { id: mail.id.clone(), response, refused: refusals(mail, accepted.refused) }
}

fn refusals(mail: &Composed, refused: Vec<(usize, Reply)>) -> Vec<Refusal> {
    let refusal = |(index, reply): (usize, Reply)| Refusal {
        recipient: mail.recipients.get(index).map(ToString::to_string).unwrap_or_default(),
        transient: reply.kind() == Kind::Transient,
        response: one_line(&reply.to_string()),
    };
    refused.into_iter().map(refusal).collect()
}

/// A server's answer for one line of a log or a header.
fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).take(MAX_TEXT).collect()
}

impl fmt::Display for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailer({self})")
    }
}
