use kafka_host_plugin::log::Level;
use kafka_host_plugin::mail::{MailError, Receipt};
use kafka_host_plugin::retry;
use kafka_host_plugin::testing::{Host, message};

use super::*;

const JSON: &str = r#"{"from":"a@example.com","to":"b@example.com","subject":"제목","body":"본문"}"#;

fn with_value(value: Option<&str>) -> Message {
    Message { value: value.map(|text| text.as_bytes().to_vec()), ..message("") }
}

#[test]
fn a_message_is_logged_and_then_sent() {
    let mut host = Host::new()
        .on_mail(|_| Ok(Receipt { id: "x".into(), response: "250 queued".into(), refused: vec![] }));
    assert_eq!(host.handle(deliver, &with_value(Some(JSON))), Ok(Outcome::done("250 queued")));
    let [email] = &host.emails[..] else { panic!("{:?}", host.emails) };
    assert_eq!((&email.sender, &email.to[..]), (&"a@example.com".into(), &["b@example.com".into()][..]));
    assert_eq!((&*email.subject, email.text.as_deref(), &email.html), ("제목", Some("본문"), &None));
    let [line] = &host.log[..] else { panic!("{:?}", host.log) };
    assert_eq!(line.level, Level::Debug);
    assert_eq!(line.text, "이메일 발송: from=a@example.com, to=b@example.com, subject=제목");
}

#[test]
fn names_and_international_domains_are_kept() {
    let json = r#"{"from":"\"Shop\" <s@bücher.de>","to":"a@x, B <b@x>"}"#;
    let mut host = Host::new();
    assert!(host.handle(deliver, &with_value(Some(json))).is_ok());
    let email = &host.emails[0];
    assert_eq!(email.sender, Address::named("Shop", "s@bücher.de"));
    assert_eq!(email.to, ["a@x".into(), Address::named("B", "b@x")]);
}

#[test]
fn invalid_messages_are_rejected_unsent() {
    for (value, code, detail) in [
        (None, "tombstone", "the message has no value"),
        (Some("hello"), "invalid-message", "expected a JSON object"),
        (Some(r#"{"to":"b"}"#), "missing-from", "발신자는 필수입니다"),
        (Some(r#"{"from":"a","to":" "}"#), "missing-to", "수신자는 필수입니다"),
        (
            Some(r#"{"from":"a@b","to":"nobody"}"#),
            "invalid-to",
            "to: \"nobody\" is not an e-mail address: expected `user@example.com`",
        ),
    ] {
        let mut host = Host::new();
        assert_eq!(host.handle(deliver, &with_value(value)), Err(reject(code, detail)));
        assert!(host.emails.is_empty() && host.log.is_empty());
    }
}

#[test]
fn the_servers_reply_decides_about_the_message() {
    for (error, failure) in [
        (MailError::Transient("451 busy".into()), retry("smtp-451", "451 busy")),
        (MailError::Permanent("550 no such user".into()), reject("smtp-550", "550 no such user")),
        (MailError::Denied("mail is not granted".into()), reject("mail-denied", "mail is not granted")),
    ] {
        let mut host = Host::new().on_mail(move |_| Err(error.clone()));
        assert_eq!(host.handle(deliver, &with_value(Some(JSON))), Err(failure));
    }
}
