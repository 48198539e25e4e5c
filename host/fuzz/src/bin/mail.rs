//! An e-mail of a plugin: its granted recipients, and the bytes sent to the mail server.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use fuzz::{Input, email};
use libfuzzer_sys::fuzz_target;
use mail_parser::MessageParser;
use sandbox::capabilities::mail::compose::compose;
use sandbox::capabilities::mail::mailer::Email;
use sandbox::capabilities::mail::{MailGrant, MailSettings};
use serde::Deserialize as _;
use serde_json::json;
use url::Host;

/// The headers of the host.
const OWN: [&str; 10] = [
    "cc",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "message-id",
    "mime-version",
    "reply-to",
    "subject",
];

static GRANT: LazyLock<MailGrant> = LazyLock::new(|| {
    let settings = json!({ "senders": ["*@example.com"], "recipients": ["b@example.com", "*.example.org"] });
    MailGrant::new(&MailSettings::deserialize(settings).expect("settings"), None)
});
static STAGING: LazyLock<MailGrant> = LazyLock::new(|| {
    let settings = json!({ "redirect-all": "staging@example.net" });
    MailGrant::new(&MailSettings::deserialize(settings).expect("settings"), None)
});

fuzz_target!(|data: &[u8]| {
    let email = email(&mut Input::new(data));
    let granted = GRANT.check(&email).is_ok();
    let redirected = STAGING.redirected(email.clone());
    if let Ok(composed) = compose(&email, "0123456789abcdef0123456789abcdef") {
        assert_eq!(composed.recipients.len(), email.to.len() + email.cc.len() + email.bcc.len());
        assert_eq!(
            composed.international,
            !composed.message.is_ascii() || !all_ascii(&composed.recipients, &composed.sender)
        );
        if granted {
            assert_eq!(domain(&composed.sender), "example.com");
            for recipient in &composed.recipients {
                let domain = domain(recipient);
                let is_b = recipient.user() == "b" && domain == "example.com";
                assert!(is_b || domain.ends_with(".example.org"), "{recipient}");
            }
        }
        check(composed.message.as_bytes(), &email);
    }
    if let Ok(composed) = compose(&redirected, "0") {
        let everybody: BTreeSet<_> = composed.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(everybody, BTreeSet::from(["staging@example.net".to_owned()]));
    }
});

fn all_ascii(recipients: &[lettre::Address], sender: &lettre::Address) -> bool {
    recipients.iter().chain([sender]).all(|address| address.to_string().is_ascii())
}

/// The domain in the form of DNS queries. ASCII is unchanged.
fn domain(address: &lettre::Address) -> String {
    let domain = address.domain();
    match Host::parse(domain) {
        Ok(host) if !domain.is_ascii() => host.to_string(),
        _ => domain.to_ascii_lowercase(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// No part of the e-mail becomes an additional header or line.
fn check(message: &[u8], email: &Email) {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").expect("an end of the headers");
    let mut names = Vec::new();
    for line in lines(&message[..end]) {
        assert!(line.len() <= 998 && !line.contains(&0), "{}", text(line));
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let colon = line.iter().position(|byte| *byte == b':').expect("a header has a name");
            names.push(text(&line[..colon]).to_ascii_lowercase());
        }
    }
    let given: Vec<_> = email.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    for name in &names {
        assert!(name == "to" || OWN.contains(&name.as_str()) || given.contains(name), "{name}");
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
    }
    let read = MessageParser::default().parse(message).expect("an e-mail");
    assert_eq!(read.to().map_or(0, |to| to.iter().count()), email.to.len());
    assert_eq!(read.attachment_count(), email.attachments.len());
}

/// Every line break is CRLF.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = bytes.split(|byte| *byte == b'\n');
    let count = bytes.iter().filter(|byte| **byte == b'\n').count();
    text.enumerate().map(move |(index, line)| {
        let line = if index < count { line.strip_suffix(b"\r").expect("no bare line feed") } else { line };
        assert!(!line.contains(&b'\r'), "no bare carriage return");
        line
    })
}
