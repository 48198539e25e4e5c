//! Attempts to smuggle lines into e-mails and to send oversized ones.

use crate::contract::kafka_host::plugin::mail::{self, Address, Attachment, Email, MailError};
use crate::contract::exports::kafka_host::plugin::handler::Outcome;
use crate::{done, reject};

/// A separate line of the e-mail if the host does not check it.
const SMUGGLED: &str = "x\r\nX-Smuggled: yes\r\nBcc: victim@example.com\r\n\r\nsmuggled";

/// Done if the e-mail was sent.
pub fn attempt(action: &str) -> Outcome {
    let mut email = plain();
    match action {
        "subject" => email.subject = SMUGGLED.into(),
        "name" => email.sender.name = Some(SMUGGLED.into()),
        "recipient-name" => email.to[0].name = Some(SMUGGLED.into()),
        "address" => email.to[0].email = "a@example.com>\r\nRCPT TO:<victim@example.com".into(),
        "sender" => email.sender.email = "a@example.com\r\nRCPT TO:<victim@example.com>".into(),
        "header" => email.headers = vec![("X-Mine".into(), SMUGGLED.into())],
        "header-name" => email.headers = vec![("X-Mine: x\r\nX-Smuggled".into(), "yes".into())],
        "filename" => email.attachments = vec![file(SMUGGLED, "text/plain", 1)],
        "content-type" => email.attachments = vec![file("a", "text/plain\r\nX-Smuggled: yes", 1)],
        // The end of the data, and a second e-mail after it.
        "body" => email.text = Some("x\r\n.\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<victim@example.com>\r\n".into()),
        "large" => email.attachments = vec![file("a", "text/plain", 300 << 10)],
        "flood" => loop {
            let mut wrong = plain();
            wrong.to[0].email = "nobody".into();
            mail::send(&[wrong]);
        },
        action => panic!("unknown mail action {action}"),
    }
    match mail::send(&[email]).pop() {
        Some(Ok(_)) => done(),
        Some(Err(MailError::Permanent(detail))) => reject("refused", &detail),
        Some(Err(MailError::Transient(detail))) => reject("failed", &detail),
        Some(Err(MailError::Denied(detail))) => reject("denied", &detail),
        None => reject("failed", "no answer"),
    }
}

fn plain() -> Email {
    let address = |email: &str| Address { name: None, email: email.into() };
    Email {
        sender: address("from@example.com"),
        to: vec![address("to@example.com")],
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: "plain".into(),
        text: Some("text".into()),
        html: None,
        headers: vec![],
        attachments: vec![],
    }
}

fn file(filename: &str, content_type: &str, size: usize) -> Attachment {
    Attachment { filename: filename.into(), content_type: content_type.into(), content: vec![b'x'; size] }
}
