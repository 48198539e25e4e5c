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

/// What the server says before it hangs up.
const CLOSING: u16 = 421;

/// How a transaction ended that the server answered to the end.
pub(super) enum Answer {
    /// The e-mail is the server's, for all but these.
    Taken(Response, Vec<Refusal>),
    /// It took no recipient.
    Nobody(Vec<Refusal>),
}

/// Holds a transaction. lettre's own `send` gives the e-mail up with the first recipient that is
/// refused, and says QUIT and waits for the answer before it hands over a refusal: a server that
/// stays silent there would turn a 5xx into a time-out.
///
/// `begun` is set once the server may have the e-mail: when its content begins.
///
/// # Errors
/// The server refused the whole e-mail, or the connection broke.
pub(super) async fn hold(
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
            Err(error) if goes_on(&error) => refused.push(Refusal {
                recipient: recipient.to_string(),
                transient: !error.is_permanent(),
                response: words(&error),
            }),
            Err(error) => return Err(error),
        }
    }
    if refused.len() == mail.recipients.len() {
        return Ok(Answer::Nobody(refused));
    }
    connection.command(Data).await?;
    begun.store(true, Ordering::Relaxed);
    connection.command(content(&mail.message)).await.map(|response| Answer::Taken(response, refused))
}

/// The content and its end, as they go over the wire: a point at the beginning of a line is doubled.
///
/// In one piece. lettre's `message` writes the end by itself, and TCP keeps such a small segment back
/// until the one before is acknowledged, for which the server takes its time: 40 ms an e-mail.
fn content(message: &str) -> String {
    let point = if message.starts_with('.') { "." } else { "" };
    format!("{point}{}\r\n.\r\n", message.replace("\r\n.", "\r\n.."))
}

/// Whether the server answered, and listens to what comes next.
pub(super) fn goes_on(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| u16::from(code) != CLOSING)
}

/// The server's code and words.
pub(super) fn words(error: &SmtpError) -> String {
    let code = error.status().map(|code| code.to_string()).unwrap_or_default();
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    one_line(&format!("{code} {text}"))
}

#[cfg(test)]
mod tests {
    use super::content;

    #[test]
    fn points_that_begin_a_line_are_doubled() {
        for (message, sent) in [
            ("", "\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            ("a.b\r\n", "a.b\r\n\r\n.\r\n"),
            ("a\r\n.\r\n..\r\n.b", "a\r\n..\r\n...\r\n..b\r\n.\r\n"),
        ] {
            assert_eq!(content(message), sent);
        }
    }
}
