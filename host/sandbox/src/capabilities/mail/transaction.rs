//! One mail transaction on a connection, recipient by recipient.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;

use super::compose::Composed;
use super::mailer::{Refusal, one_line};

/// The code of a server that closes the connection.
const CLOSING: u16 = 421;

/// The server's answer to a complete transaction.
pub(super) enum Answer {
    /// The server accepted the e-mail, but refused these recipients.
    Accepted(Response, Vec<Refusal>),
    /// The server accepted no recipient.
    NoRecipient(Vec<Refusal>),
}

/// Performs a transaction. lettre's own `send` aborts at the first refused recipient. Then it sends QUIT and waits for
/// the response before it returns the refusal, so that a 5xx becomes a timeout if the server does not respond.
///
/// `begun` is set when the transmission of the content begins; after that, the server may have the e-mail.
///
/// # Errors
/// The server refused the whole e-mail, or the connection broke.
pub(super) async fn perform(
    connection: &mut AsyncSmtpConnection,
    mail: &Composed,
    begun: &AtomicBool,
) -> Result<Answer, SmtpError> {
    let parameters = match mail.international {
        true => vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)],
        false => Vec::new(),
    };
    connection.command(Mail::new(Some(mail.sender.clone()), parameters)).await?;
    let mut refused = Vec::new();
    for recipient in &mail.recipients {
        match connection.command(Rcpt::new(recipient.clone(), Vec::new())).await {
            Ok(_) => {}
            Err(error) if is_usable_after(&error) => refused.push(Refusal {
                recipient: recipient.to_string(),
                transient: !error.is_permanent(),
                response: answer(&error),
            }),
            Err(error) => return Err(error),
        }
    }
    if refused.len() == mail.recipients.len() {
        return Ok(Answer::NoRecipient(refused));
    }
    connection.command(Data).await?;
    begun.store(true, Ordering::Relaxed);
    connection.command(mail.content()).await.map(|response| Answer::Accepted(response, refused))
}

/// Whether the connection can be used after this error: the server answered and does not close it.
pub(super) fn is_usable_after(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| u16::from(code) != CLOSING)
}

/// The server's answer with its code.
pub(super) fn answer(error: &SmtpError) -> String {
    let code = error.status().map(|code| code.to_string()).unwrap_or_default();
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    one_line(&format!("{code} {text}"))
}
