//! Delivery of e-mail over SMTP. The types mirror the contract's `mail` interface.

#[cfg(test)]
#[path = "mailer_tests.rs"]
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

/// How many connections are open to the server at once; further e-mails wait for one.
const CONNECTIONS: usize = 10;
/// How many e-mails have a turn at once: one on each connection, and as many that come next.
const TURNS: usize = 2 * CONNECTIONS;
/// Longest a connection waits unused before it is given up.
const IDLE: Duration = Duration::from_secs(60);
/// Bound on asking a kept connection whether it still lives.
const COURTESY: Duration = Duration::from_secs(2);
/// Bound on one e-mail: waiting for its turn or a connection, connecting, login, sending, the server's answer.
/// Below the bound on a call, so that the plugin hears of it.
const SEND_BOUND: Duration = Duration::from_secs(8);
/// Characters kept of a server's words.
const ANSWER_CHARS: usize = 300;

/// A mailbox, with the name shown beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Shown to people.
    pub name: Option<String>,
    /// `user@domain`.
    pub email: String,
}

/// A file that travels with an e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The name it is offered under.
    pub filename: String,
    /// A media type such as `application/pdf`.
    pub content_type: String,
    /// The file's bytes.
    pub content: Vec<u8>,
}

/// An e-mail to send. Text and HTML together become alternatives of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// `From`, and the envelope's sender.
    pub sender: Address,
    /// `To`.
    pub to: Vec<Address>,
    /// `Cc`.
    pub cc: Vec<Address>,
    /// Recipients the others do not see.
    pub bcc: Vec<Address>,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<Address>,
    /// One line.
    pub subject: String,
    /// The plain text body.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// Further headers; those that the host writes itself are refused.
    pub headers: Vec<(String, String)>,
    /// Files.
    pub attachments: Vec<Attachment>,
}

/// The server took the e-mail, for one recipient at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The e-mail's `Message-ID`, angle brackets included.
    pub id: String,
    /// The first line of the server's answer with its code, at most 300 characters.
    pub response: String,
    /// Those it did not take it for.
    pub refused: Vec<Refusal>,
}

/// A recipient that the server did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `user@domain`.
    pub recipient: String,
    /// Whether another try is worth it: a 4xx answer.
    pub transient: bool,
    /// The server's answer with its code, at most 300 characters.
    pub response: String,
}

/// Why an e-mail was not sent, or may not have been. The text is for a person and holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Not sent, and worth another try: a 4xx answer, no connection, a refused login, no answer in
    /// time before the content began.
    #[error("{0}")]
    Transient(String),
    /// Not sent, and not worth one: a 5xx answer to this e-mail or to all of its recipients, not an
    /// address, a header that is not allowed.
    #[error("{0}")]
    Permanent(String),
    /// Nobody knows whether the server took it: the connection broke, or the time was over, after the
    /// content began.
    #[error("{0}; it may have been sent")]
    Unknown(String),
}

/// The `Message-ID` of an e-mail that can be sent as far as can be said without a server. `name` is its
/// first part.
///
/// # Errors
/// [`MailError::Permanent`]: which part of it is wrong, and why.
pub fn check(email: &Email, name: &str) -> Result<String, MailError> {
    compose::compose(email, name).map(|composed| composed.id).map_err(MailError::Permanent)
}

/// Sends e-mail through one SMTP server over at most ten kept connections.
///
/// A connection belongs to the tokio runtime it was made on, so [`Mailer::send`] must always be
/// called on the same one: the service's runtime, not a sandbox worker's own.
///
/// `Display` and `Debug` show `smtp://host:port`, never the credentials.
pub struct Mailer {
    server: Server,
    bound: Duration,
    turns: Arc<Semaphore>,
    slots: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

/// Leave to send one e-mail soon, for those of whom not many may be about to.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    until: tokio::time::Instant,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Mailer {
    /// Reads `smtp://[user:password@]host[:port][/ehlo-name][?tls=required|opportunistic]` or
    /// `smtps://…`. The port is 25 without TLS, 587 with `tls=…`, 465 for `smtps`. `ca`
    /// holds further authorities, in PEM. Does not connect.
    ///
    /// # Errors
    /// A usage failure (exit code 2) that says what is wrong with the URL without repeating it.
    pub fn from_url(url: &str, ca: Option<&Path>) -> Result<Self, UserError> {
        Ok(Self {
            server: Server::from_url(url, ca)?,
            bound: SEND_BOUND,
            turns: Arc::new(Semaphore::new(TURNS)),
            slots: Semaphore::new(CONNECTIONS),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Replaces the bound on one e-mail, from waiting for its turn or a connection to the server's answer; 8 s.
    #[must_use]
    pub fn with_bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Sends one e-mail and waits for the server to take it. `name` is the first part of
    /// its `Message-ID`, the same for the same e-mail, so that one which arrives twice can be recognised.
    ///
    /// After the bound, or when the returned future is dropped, the connection is closed.
    ///
    /// # Errors
    /// It was not taken for anybody; [`MailError::Unknown`] where nobody can say.
    pub async fn send(&self, email: &Email, name: &str) -> Result<Receipt, MailError> {
        self.send_until(tokio::time::Instant::now() + self.bound, email, name).await
    }

    /// Waits until fewer than 20 others have a turn; on any runtime.
    ///
    /// # Errors
    /// [`MailError::Transient`]: not within the bound.
    pub async fn turn(&self) -> Result<Turn, MailError> {
        let until = tokio::time::Instant::now() + self.bound;
        match timeout_at(until, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit, until }),
            Ok(Err(_)) => Err(self.closed()),
            Err(_) => Err(MailError::Transient(self.too_late())),
        }
    }

    /// [`Mailer::send`] for whoever has waited for the turn; the bound began with that.
    ///
    /// # Errors
    /// Those of [`Mailer::send`].
    pub async fn send_in(&self, turn: Turn, email: &Email, name: &str) -> Result<Receipt, MailError> {
        self.send_until(turn.until, email, name).await
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
            Answer::Taken(response, refused) => {
                let answer = format!("{} {}", response.code(), response.first_line().unwrap_or_default());
                Ok(Receipt { id: mail.id, response: one_line(&answer), refused })
            }
            Answer::Nobody(refused) => Err(self.nobody(&refused)),
        }
    }

    async fn deliver(&self, mail: &Composed, begun: &AtomicBool) -> Result<Answer, MailError> {
        let _slot = self.slots.acquire().await.map_err(|_| self.closed())?;
        // The connection is owned here and goes back only after a whole conversation: one that is cut
        // off by the bound closes with this future. (lettre's pool keeps such a connection, and the
        // next e-mail on it would read the answers meant for the last one.)
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.server.connect(self.bound).await.map_err(MailError::Transient)?,
        };
        if mail.international && !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            self.keep(connection);
            return Err(MailError::Permanent(format!(
                "an address is not ASCII, and {self} does not take those (SMTPUTF8)"
            )));
        }
        let held = transaction::hold(&mut connection, mail, begun).await;
        if held.as_ref().err().is_none_or(transaction::goes_on) {
            self.keep(connection);
        }
        held.map_err(|error| self.classify(&error, begun.load(Ordering::Relaxed)))
    }

    fn too_late(&self) -> String {
        format!("{self} did not take the e-mail within {} s", self.bound.as_secs_f64())
    }

    fn closed(&self) -> MailError {
        MailError::Transient(format!("{self}: the mailer is closed"))
    }

    /// A kept connection that still answers; a transaction that was refused on it ends here, beside
    /// the answer to whoever asked for it.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let Idle { mut connection, since } = self.idle.lock().pop()?;
            if since.elapsed() < IDLE
                && let Ok(Ok(_)) = timeout(COURTESY, connection.command(Rset)).await
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
            let text = one_line(&format!("{self} answered {}", transaction::words(error)));
            return if error.is_permanent() {
                MailError::Permanent(text)
            } else {
                MailError::Transient(text)
            };
        }
        let text = one_line(&format!("the connection to {self} broke: {error}"));
        if begun { MailError::Unknown(text) } else { MailError::Transient(text) }
    }

    /// Where the server took no recipient. It can take those of 4xx another time.
    fn nobody(&self, refused: &[Refusal]) -> MailError {
        let transient = refused.iter().any(|refusal| refusal.transient);
        let of_kind = refused.iter().find(|refusal| refusal.transient == transient);
        let words = of_kind.map_or("nothing", |refusal| &refusal.response);
        let text = match refused.len() {
            1 => one_line(&format!("{self} answered {words}")),
            all => one_line(&format!("{self} took none of {all} recipients; it answered {words}")),
        };
        if transient { MailError::Transient(text) } else { MailError::Permanent(text) }
    }
}

/// A server's words, fit for one line of a log or a header.
pub(super) fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).take(ANSWER_CHARS).collect()
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
