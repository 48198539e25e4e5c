//! Sends the messages of `email.send`.

use kafka_host_plugin::mail::{self, Address, Email};
use kafka_host_plugin::{Failure, Message, Outcome, Result, debug, plugin, reject};
use messages::{EmailSendMessage, Invalid, Mailbox};

plugin! {
    topic: "email.send",
    group: "email-send-group",
    handler: deliver,
}

fn deliver(message: &Message) -> Result {
    let value = message.value.as_deref().ok_or_else(|| reject("tombstone", "the message has no value"))?;
    let message = EmailSendMessage::from_json(value).map_err(invalid)?;
    let sender = message.sender().map_err(invalid)?;
    let to = message.recipients().map_err(invalid)?;
    // Personal data: it is not logged unless somebody asks for it (`RUST_LOG=info,plugin=debug`).
    debug!("이메일 발송: from={}, to={}, subject={}", message.from, message.to, message.subject);
    let email = Email {
        sender: address(sender),
        to: to.into_iter().map(address).collect(),
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: message.subject.into_owned(),
        text: Some(message.body.into_owned()),
        html: None,
        headers: vec![],
        attachments: vec![],
    };
    Ok(Outcome::done(mail::send(&email)?.response))
}

fn invalid(invalid: Invalid) -> Failure {
    reject(invalid.code(), invalid.to_string())
}

fn address(mailbox: Mailbox) -> Address {
    Address { name: mailbox.name, email: mailbox.address.to_string() }
}

#[cfg(test)]
mod tests;
