//! Delivery of e-mail over SMTP. The types mirror the interface `mail` of the contract.

#[cfg(test)]
pub(super) mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::error::UserError;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::Rset;
use lettre::transport::smtp::extension::Extension;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{timeout, timeout_at};

use super::compose::{self, Composed};
use super::server::Server;
use super::transaction::{self, Answer};

/// The maximum number of connections to the server. Further e-mails wait for one.
const MAX_CONNECTIONS: usize = 10;
/// The maximum number of reservations: one per connection in use, and the same number that wait.
const MAX_RESERVATIONS: usize = 2 * MAX_CONNECTIONS;
/// The time after which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(60);
/// The time within which an idle connection must answer before it is used.
const PROBE: Duration = Duration::from_secs(2);
/// The time for one e-mail: reservation, connection, login, transmission and response. It is shorter than the time of a
/// call, so that the plugin receives the error.
const SEND_BOUND: Duration = Duration::from_secs(8);
/// The maximum length of a server's answer, in characters.
const MAX_ANSWER: usize = 300;

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

/// Sends e-mail through one SMTP server over a pool of at most ten connections.
///
/// A connection belongs to the tokio runtime on which it was opened. Therefore [`Mailer::send`] must always be called on
/// the same runtime: that of the services, not that of a worker.
///
/// `Display` and `Debug` show `smtp://host:port`, without credentials.
pub struct Mailer {
    server: Server,
    bound: Duration,
    reservations: Arc<Semaphore>,
    slots: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

/// The reservation of a place among the next e-mails.
pub struct Reservation {
    _permit: OwnedSemaphorePermit,
    until: tokio::time::Instant,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Mailer {
    /// Reads `smtp://[user:password@]host[:port][/ehlo-name][?tls=required|opportunistic]` or
    /// `smtps://…`. The default port is 25 without TLS, 587 with `tls=…`, 465 for `smtps`. `ca` is a file of further
    /// certificate authorities in PEM. Does not connect.
    ///
    /// # Errors
    /// The URL or the file is invalid. The error does not repeat the URL.
    pub fn from_url(url: &str, ca: Option<&Path>) -> Result<Self, UserError> {
        Ok(Self {
            server: Server::from_url(url, ca)?,
            bound: SEND_BOUND,
            reservations: Arc::new(Semaphore::new(MAX_RESERVATIONS)),
            slots: Semaphore::new(MAX_CONNECTIONS),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Changes the time for one e-mail, from the reservation to the server's answer. Default: 8 s.
    #[must_use]
    pub fn with_bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Sends one e-mail and waits for the server's answer. `name` is the first part of its `Message-ID`. It identifies
    /// the e-mail, so that recipients can recognise a duplicate.
    ///
    /// When the time runs out, or the future is dropped, the connection is closed.
    ///
    /// # Errors
    /// The server accepted it for no recipient, or [`MailError::Unknown`].
    pub async fn send(&self, email: &Email, name: &str) -> Result<Receipt, MailError> {
        self.send_until(tokio::time::Instant::now() + self.bound, email, name).await
    }

    /// Waits for one of 20 reservations; on any runtime.
    ///
    /// # Errors
    /// [`MailError::Transient`]: the time ran out.
    pub async fn reserve(&self) -> Result<Reservation, MailError> {
        let until = tokio::time::Instant::now() + self.bound;
        match timeout_at(until, Arc::clone(&self.reservations).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Reservation { _permit: permit, until }),
            Ok(Err(_)) => Err(self.closed()),
            Err(_) => Err(MailError::Transient(self.too_late())),
        }
    }

    /// [`Mailer::send`] with a reservation. The time began when it was requested.
    ///
    /// # Errors
    /// Those of [`Mailer::send`].
    pub async fn send_reserved(
        &self,
        reservation: Reservation,
        email: &Email,
        name: &str,
    ) -> Result<Receipt, MailError> {
        self.send_until(reservation.until, email, name).await
    }

    async fn send_until(
        &self,
        until: tokio::time::Instant,
        email: &Email,
        name: &str,
    ) -> Result<Receipt, MailError> {
        let mail = compose::compose(email, name).map_err(MailError::Permanent)?;
        let begun = AtomicBool::new(false);
        let sent = timeout_at(until, self.deliver(&mail, &begun)).await.unwrap_or_else(|_| {
            Err(if begun.load(Ordering::Relaxed) {
                MailError::Unknown(self.too_late())
            } else {
                MailError::Transient(self.too_late())
            })
        })?;
        match sent {
            Answer::Accepted(response, refused) => {
                let answer = format!("{} {}", response.code(), response.first_line().unwrap_or_default());
                Ok(Receipt { id: mail.id, response: one_line(&answer), refused })
            }
            Answer::NoRecipient(refused) => Err(self.no_recipient(&refused)),
        }
    }

    async fn deliver(&self, mail: &Composed, begun: &AtomicBool) -> Result<Answer, MailError> {
        let _slot = self.slots.acquire().await.map_err(|_| self.closed())?;
        // This future owns the connection, and returns it only after a complete transaction. When the time runs out,
        // the connection closes with the future. (lettre's pool would keep it, and the next e-mail would read the
        // answers to the previous one.)
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.server.connect(self.bound).await.map_err(MailError::Transient)?,
        };
        if mail.international && !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            self.keep(connection);
            return Err(MailError::Permanent(format!(
                "an address is not ASCII, and {self} does not support such addresses (SMTPUTF8)"
            )));
        }
        let result = transaction::perform(&mut connection, mail, begun).await;
        if result.as_ref().err().is_none_or(transaction::is_usable_after) {
            self.keep(connection);
        }
        result.map_err(|error| self.classify(&error, begun.load(Ordering::Relaxed)))
    }

    fn too_late(&self) -> String {
        format!("{self} did not accept the e-mail within {} s", self.bound.as_secs_f64())
    }

    fn closed(&self) -> MailError {
        MailError::Transient(format!("{self}: the mailer is closed"))
    }

    /// An idle connection that still answers. RSET also ends a transaction that the server refused.
    async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let Idle { mut connection, since } = self.idle.lock().pop()?;
            if since.elapsed() < IDLE
                && let Ok(Ok(_)) = timeout(PROBE, connection.command(Rset)).await
            {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        self.idle.lock().push(Idle { connection, since: Instant::now() });
    }

    fn classify(&self, error: &SmtpError, begun: bool) -> MailError {
        if error.status().is_some() {
            let text = one_line(&format!("{self} answered {}", transaction::answer(error)));
            return if error.is_permanent() {
                MailError::Permanent(text)
            } else {
                MailError::Transient(text)
            };
        }
        let text = one_line(&format!("the connection to {self} broke: {error}"));
        if begun { MailError::Unknown(text) } else { MailError::Transient(text) }
    }

    /// The server accepted no recipient. It may accept those with a 4xx answer later.
    fn no_recipient(&self, refused: &[Refusal]) -> MailError {
        let transient = refused.iter().any(|refusal| refusal.transient);
        let of_kind = refused.iter().find(|refusal| refusal.transient == transient);
        let answer = of_kind.map_or("nothing", |refusal| &refusal.response);
        let text = match refused.len() {
            1 => one_line(&format!("{self} answered {answer}")),
            all => one_line(&format!("{self} accepted none of {all} recipients; it answered {answer}")),
        };
        if transient { MailError::Transient(text) } else { MailError::Permanent(text) }
    }
}

/// A server's answer for one line of a log or a header.
pub(super) fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).take(MAX_ANSWER).collect()
}

impl fmt::Display for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailer({self})")
    }
}
