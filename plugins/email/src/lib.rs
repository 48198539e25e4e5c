//! Sends the messages of `email.send`.

use contract::exports::kafka_host::plugin::handler::{self, Message, Outcome};
use contract::exports::kafka_host::plugin::lifecycle::{self, Description, RetryPolicy, Subscription};
use contract::kafka_host::plugin::log::{self, Level};
use contract::kafka_host::plugin::mail::{self, Address, Email, Receipt};
use contract::kafka_host::plugin::messages::{Failure, RetryLater};
use messages::EmailSendMessage;

#[allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated, and values cross the component's boundary as raw pointers"
)]
mod contract {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: false },
    });

    use super::Plugin;
    export!(Plugin);
}

/// A display name and an address.
type Recipient = (Option<String>, String);

struct Plugin;

impl handler::Guest for Plugin {
    fn handle(batch: Vec<Message>) -> Vec<Outcome> {
        batch.iter().map(|message| deliver(message, write_log, send)).collect()
    }
}

impl lifecycle::Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: "email".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Sends the messages of email.send".into(),
            subscription: Subscription {
                topic: "email.send".into(),
                group: "email-send-group".into(),
                dead_letter_topic: "email.send.dlt".into(),
                retry: RetryPolicy {
                    retries: 5,
                    delay_ms: 1000,
                    multiplier: 2.0,
                    max_delay_ms: 3_600_000,
                    jitter: 0.0,
                    max_age_ms: 86_400_000,
                },
            },
            attributes: vec![],
        }
    }
}

/// The line has personal data: it is not logged unless somebody asks for it (`RUST_LOG=info,plugin=debug`).
fn write_log(line: &str) {
    log::write(Level::Debug, line, &[]);
}

fn send(email: Email<'_>) -> Option<Result<Receipt, mail::MailError>> {
    mail::send(&[email]).pop()
}

fn deliver(
    message: &Message,
    log: impl FnOnce(&str),
    mut send: impl FnMut(Email<'_>) -> Option<Result<Receipt, mail::MailError>>,
) -> Outcome {
    let Some(value) = &message.value else {
        return reject("tombstone", "the message has no value".into());
    };
    let message = match EmailSendMessage::from_json(value) {
        Ok(message) => message,
        Err(invalid) => return reject(invalid.code(), invalid.to_string()),
    };
    let (sender, to) = match (message.sender(), message.recipients()) {
        (Ok(sender), Ok(to)) => (sender, to),
        (Err(invalid), _) | (_, Err(invalid)) => return reject(invalid.code(), invalid.to_string()),
    };
    log(&format!("이메일 발송: from={}, to={}, subject={}", message.from, message.to, message.subject));
    let to = to.into_iter().map(|to| (to.name, to.address.to_string())).collect();
    send_to_all(to, |to| {
        send(Email {
            sender: Address { name: sender.name.as_deref(), email: sender.address.as_str() },
            to,
            cc: &[],
            bcc: &[],
            reply_to: None,
            subject: &message.subject,
            text: Some(&message.body),
            html: None,
            headers: &[],
            attachments: &[],
        })
    })
}

/// Sends to all recipients, and again to those that were refused for now while others were accepted. A retry repeats
/// these calls: the host answers those that succeeded from its ledger.
fn send_to_all(
    mut to: Vec<Recipient>,
    mut send: impl FnMut(&[Address<'_>]) -> Option<Result<Receipt, mail::MailError>>,
) -> Outcome {
    let (mut refused, mut code) = (Vec::new(), String::new());
    loop {
        let addresses: Vec<_> =
            to.iter().map(|(name, email)| Address { name: name.as_deref(), email }).collect();
        let receipt = match send(&addresses) {
            Some(Ok(receipt)) => receipt,
            Some(Err(mail::MailError::Permanent(detail))) if !refused.is_empty() => {
                refused.push(detail);
                return reject(&code, refused.join("; "));
            }
            failed => return failure(failed),
        };
        for refusal in receipt.refused.iter().filter(|refusal| !refusal.transient) {
            if refused.is_empty() {
                code = permanent(&refusal.response);
            }
            refused.push(format!("{}: {}", refusal.recipient, refusal.response));
        }
        let again: Vec<_> = receipt.refused.into_iter().filter(|refusal| refusal.transient).collect();
        if again.is_empty() {
            return match refused.is_empty() {
                true => Outcome::Done(receipt.response),
                false => reject(&code, refused.join("; ")),
            };
        }
        // At least one recipient was accepted, so that this ends.
        if again.len() >= to.len() {
            return retry("the server accepted no further recipient".into());
        }
        to = again.into_iter().map(|refusal| named(&to, refusal.recipient)).collect();
    }
}

/// The recipient of a refusal with its name. The host writes an international domain in ASCII; such a recipient has
/// no name then.
fn named(to: &[Recipient], email: String) -> Recipient {
    let name = to.iter().find(|(_, given)| *given == email).and_then(|(name, _)| name.clone());
    (name, email)
}

fn failure(failed: Option<Result<Receipt, mail::MailError>>) -> Outcome {
    match failed {
        Some(Ok(receipt)) => Outcome::Done(receipt.response),
        Some(Err(mail::MailError::Transient(detail))) => retry(detail),
        Some(Err(mail::MailError::Permanent(detail))) => reject(&permanent(&detail), detail),
        Some(Err(mail::MailError::Denied(detail))) => reject("mail-denied", detail),
        None => retry("the host returned no result for the e-mail".into()),
    }
}

/// The failure code of a refusal: `smtp-550`, by the server's reply; `smtp-permanent` if there is none.
fn permanent(detail: &str) -> String {
    let reply = reply_code(detail).filter(|code| code.starts_with('5'));
    reply.map_or_else(|| "smtp-permanent".into(), |code| format!("smtp-{code}"))
}

/// The code of the server's reply in a detail: `… answered 550 no such user`, or the reply alone.
fn reply_code(detail: &str) -> Option<&str> {
    let reply = detail.split_once(" answered ").map_or(detail, |(_, reply)| reply);
    let (code, rest) = reply.split_at_checked(3)?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit());
    (is_code && !rest.starts_with(|c: char| c.is_alphanumeric())).then_some(code)
}

fn retry(detail: String) -> Outcome {
    let reply = reply_code(&detail).filter(|code| code.starts_with('4'));
    let code = reply.map_or_else(|| "smtp-transient".into(), |code| format!("smtp-{code}"));
    let failure = Failure { code, detail };
    Outcome::Retry(RetryLater { failure, after_ms: None })
}

fn reject(code: &str, detail: String) -> Outcome {
    Outcome::Reject(Failure { code: code.into(), detail })
}

#[cfg(test)]
mod tests;
