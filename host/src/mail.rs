//! Delivery of e-mail over SMTP. The types mirror the contract's `mail` interface.

mod compose;
mod server;
#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::fmt;
use std::time::{Duration, Instant};

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::compose::Composed;
use self::server::Server;
use crate::error::Failure;

/// How many connections are open to the server at once; further e-mails wait for one.
const CONNECTIONS: usize = 10;
/// Longest a connection waits unused before it is given up.
const IDLE: Duration = Duration::from_secs(60);
/// Bound on asking a kept connection whether it still lives, and on saying goodbye.
const COURTESY: Duration = Duration::from_secs(2);
/// Bound on one e-mail: waiting for a connection, connecting, login, sending, the server's answer.
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

/// The server took the e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The e-mail's `Message-ID`, angle brackets included.
    pub id: String,
    /// The first line of the server's answer with its code, at most 300 characters.
    pub response: String,
}

/// Why an e-mail was not sent. The text is for a person and holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Worth another try: a 4xx answer, no connection, a refused login, no answer in time.
    #[error("{0}")]
    Transient(String),
    /// Not worth one: a 5xx answer to this e-mail, not an address, a header that is not allowed.
    #[error("{0}")]
    Permanent(String),
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
    slots: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Mailer {
    /// Reads `smtp://[user:password@]host[:port][/ehlo-name][?tls=required|opportunistic]` or
    /// `smtps://…`. The port is 25 without TLS, 587 with `tls=…`, 465 for `smtps`. Does not connect.
    ///
    /// # Errors
    /// A usage failure (exit code 2) that says what is wrong with the URL without repeating it.
    pub fn from_url(url: &str) -> Result<Self, Failure> {
        Ok(Self {
            server: Server::from_url(url)?,
            bound: SEND_BOUND,
            slots: Semaphore::new(CONNECTIONS),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Replaces the bound on one e-mail, from waiting for a connection to the server's answer; 8 s.
    #[must_use]
    pub fn with_bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Sends one e-mail and waits for the server to take it.
    ///
    /// After the bound, or when the returned future is dropped, the connection is closed. The server
    /// may have taken the e-mail by then: another try can deliver it twice, never not at all.
    ///
    /// # Errors
    /// [`MailError::Transient`] where another try may succeed, else [`MailError::Permanent`].
    pub async fn send(&self, email: &Email) -> Result<Receipt, MailError> {
        let mail = compose::compose(email).map_err(MailError::Permanent)?;
        let response = timeout(self.bound, self.deliver(&mail)).await.unwrap_or_else(|_| {
            let bound = self.bound.as_secs_f64();
            Err(MailError::Transient(format!("{self} did not take the e-mail within {bound} s")))
        })?;
        let answer = format!("{} {}", response.code(), response.first_line().unwrap_or_default());
        Ok(Receipt { id: mail.id, response: one_line(&answer) })
    }

    async fn deliver(&self, mail: &Composed) -> Result<Response, MailError> {
        let closed = |_| MailError::Transient(format!("{self}: the mailer is closed"));
        let _slot = self.slots.acquire().await.map_err(closed)?;
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
        match converse(&mut connection, mail).await {
            Ok(response) => {
                self.keep(connection);
                Ok(response)
            }
            Err(error) => {
                dismiss(connection, &error);
                Err(self.classify(&error))
            }
        }
    }

    /// A kept connection that still answers.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let Idle { mut connection, since } = self.idle.lock().pop()?;
            if since.elapsed() < IDLE && timeout(COURTESY, connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        self.idle.lock().push(Idle { connection, since: Instant::now() });
    }

    fn classify(&self, error: &SmtpError) -> MailError {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let text = match error.status() {
            Some(code) => one_line(&format!("{self} answered {code} {cause}")),
            None => one_line(&format!("the connection to {self} broke: {error}")),
        };
        if error.is_permanent() { MailError::Permanent(text) } else { MailError::Transient(text) }
    }
}

/// One mail transaction. lettre's own `send` says QUIT and waits for the answer before it hands over
/// a refusal; a server that stays silent there would turn a 5xx into a time-out.
async fn converse(connection: &mut AsyncSmtpConnection, mail: &Composed) -> Result<Response, SmtpError> {
    let parameters = match mail.international {
        true => vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)],
        false => Vec::new(),
    };
    connection.command(Mail::new(Some(mail.sender.clone()), parameters)).await?;
    for recipient in &mail.recipients {
        connection.command(Rcpt::new(recipient.clone(), Vec::new())).await?;
    }
    connection.command(Data).await?;
    connection.message(&mail.message).await
}

/// Says goodbye to a server that refused something, beside the caller; others are hung up on.
fn dismiss(mut connection: AsyncSmtpConnection, error: &SmtpError) {
    if error.status().is_some() {
        tokio::spawn(async move { timeout(COURTESY, connection.quit()).await });
    }
}

/// A server's words, fit for one line of a log or a header.
fn one_line(text: &str) -> String {
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
