//! E-mail and SMS messages: the plugins accept every message that the producer accepts, and read the same
//! values.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use messages::{EmailSendMessage, Invalid, SmsSendMessage};
use serde_json::Value;

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
        // An e-mail is an SMS with a subject.
        assert_eq!(
            sms.as_ref().map(|sms| (&sms.from, &sms.to, &sms.body)),
            Ok((&email.from, &email.to, &email.body))
        );
        if let Ok(value) = serde_json::from_slice::<Value>(data) {
            for (name, text) in
                [("from", &email.from), ("to", &email.to), ("subject", &email.subject), ("body", &email.body)]
            {
                assert_eq!(value[name].as_str().unwrap_or_default(), text);
            }
        }
    }
    if let Ok(sms) = sms {
        let json = sms.to_json();
        let read = SmsSendMessage::from_json(&json).expect("the producer publishes valid messages");
        assert_eq!(read, sms);
        assert_eq!(read.to_json(), json);
    }
});

fn assert_refused<T: Debug>(message: &Result<T, Invalid>) {
    if let Err(invalid) = message {
        assert!(!invalid.to_string().is_empty());
        assert!(["invalid-message", "missing-from", "missing-to"].contains(&invalid.code()));
    }
}
