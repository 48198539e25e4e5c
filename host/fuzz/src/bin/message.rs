//! E-mail and SMS messages: the plugins accept every message that the producer accepts, and read the same
//! values, addresses and numbers. The host accepts the e-mail.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use messages::{EmailSendMessage, Invalid, Mailbox, PhoneNumber, SmsSendMessage, SmsSender};
use sandbox::capabilities::mail::compose::compose;
use sandbox::capabilities::mail::mailer::{Address, Email};
use serde_json::Value;

const CODES: [&str; 6] =
    ["invalid-message", "missing-from", "missing-to", "invalid-from", "invalid-to", "invalid-subject"];

fuzz_target!(|data: &[u8]| {
    let email = EmailSendMessage::from_json(data);
    let sms = SmsSendMessage::from_json(data);
    assert_refused(&email);
    assert_refused(&sms);
    if let Ok(email) = email {
        let json = email.to_json();
        let read = EmailSendMessage::from_json(&json).expect("the producer publishes valid messages");
        assert_eq!(read, email);
        assert_eq!(read.to_json(), json);
        assert_eq!((read.sender(), read.recipients()), (email.sender(), email.recipients()));
        if let Ok(value) = serde_json::from_slice::<Value>(data) {
            for (name, text) in
                [("from", &email.from), ("to", &email.to), ("subject", &email.subject), ("body", &email.body)]
            {
                assert_eq!(value[name].as_str().unwrap_or_default(), text);
            }
        }
        sendable(&read);
    }
    if let Ok(sms) = sms {
        let json = sms.to_json();
        let read = SmsSendMessage::from_json(&json).expect("the producer publishes valid messages");
        assert_eq!(read, sms);
        assert_eq!(read.to_json(), json);
        let (sender, to) = (read.sender().expect("a sender"), read.recipient().expect("a recipient"));
        assert_eq!((Ok(&sender), Ok(&to)), (sms.sender().as_ref(), sms.recipient().as_ref()));
        assert_number(&to);
        match sender {
            SmsSender::Number(number) => assert_number(&number),
            SmsSender::Name(text) | SmsSender::Service(text) => assert!(text.is_ascii() && text.len() <= 34),
        }
    }
});

fn assert_refused<T: Debug>(message: &Result<T, Invalid>) {
    if let Err(invalid) = message {
        assert!(!invalid.to_string().is_empty());
        assert!(CODES.contains(&invalid.code()));
    }
}

/// The host composes the e-mail that the plugin makes of a message.
fn sendable(message: &EmailSendMessage<'_>) {
    let address = |mailbox: Mailbox| Address { name: mailbox.name, email: mailbox.address.to_string() };
    let to: Vec<_> = message.recipients().expect("recipients").into_iter().map(address).collect();
    let email = Email {
        sender: address(message.sender().expect("a sender")),
        to: to.clone(),
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: None,
        subject: message.subject.to_string(),
        text: Some(message.body.to_string()),
        html: None,
        headers: Vec::new(),
        attachments: Vec::new(),
    };
    let composed = compose(&email, "0").expect("an e-mail that can be sent");
    let sent: Vec<_> = composed.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(sent, to.into_iter().map(|to| to.email).collect::<Vec<_>>());
}

fn assert_number(number: &PhoneNumber) {
    let text = number.to_string();
    assert!(text.strip_prefix('+').unwrap_or(&text).bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(PhoneNumber::parse(&text).as_ref(), Ok(number));
}
