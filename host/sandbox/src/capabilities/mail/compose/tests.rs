//! What is refused, and that the rest arrives unchanged.

use mail_parser::MessageParser;
use proptest::prelude::*;

use super::*;

fn address(email: &str) -> Address {
    Address { name: None, email: email.to_owned() }
}

fn email() -> Email {
    Email {
        sender: address("from@example.com"),
        to: vec![address("to@example.com")],
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: String::new(),
        text: None,
        html: None,
        headers: vec![],
        attachments: vec![],
    }
}

fn refused(change: impl FnOnce(&mut Email)) -> String {
    let mut email = email();
    change(&mut email);
    match compose(&email, "0") {
        Ok(mail) => panic!("accepted: {}", mail.message),
        Err(text) => text,
    }
}

#[test]
fn headers_cannot_be_injected() {
    let evil = "x\r\nBcc: victim@example.com";
    let named = |name: &str| Address { name: Some(name.to_owned()), email: "a@example.com".to_owned() };
    assert!(refused(|mail| mail.subject = evil.to_owned()).contains("subject"));
    refused(|mail| mail.subject = "x\ny".to_owned());
    refused(|mail| mail.subject = "x\0y".to_owned());
    refused(|mail| mail.sender = named(evil));
    refused(|mail| mail.to = vec![named(evil)]);
    refused(|mail| mail.cc = vec![named(evil)]);
    refused(|mail| mail.bcc = vec![named(evil)]);
    refused(|mail| mail.reply_to = Some(named(evil)));
    refused(|mail| mail.to = vec![address("a@example.com\r\nRCPT TO:<victim@example.com>")]);
    refused(|mail| mail.to = vec![address("a@example.com>\r\nDATA")]);
    refused(|mail| mail.to = vec![address("a@example.com> SIZE=1")]);
    refused(|mail| mail.headers = vec![("X-A".to_owned(), evil.to_owned())]);
    refused(|mail| mail.headers = vec![("X-A\r\nBcc".to_owned(), "v@example.com".to_owned())]);
    for name in ["", "X A", "X:A", "X-é", "X-\u{7f}", "X\tA", &"x".repeat(77)] {
        refused(|mail| mail.headers = vec![(name.to_owned(), "v".to_owned())]);
    }
    for name in ["Bcc", "FROM", "content-type", "Content-Transfer-Encoding", "Message-ID", "ARC-Seal"] {
        assert!(refused(|mail| mail.headers = vec![(name.to_owned(), "v".to_owned())]).contains(name));
    }
    let file = |filename: &str, content_type: &str| Attachment {
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        content: vec![],
    };
    for (filename, content_type) in [
        (evil, "text/plain"),
        ("a", "text/plain\r\nBcc: v@example.com"),
        ("a", "nonsense"),
        ("a", "multipart/mixed"),
    ] {
        refused(|mail| mail.attachments = vec![file(filename, content_type)]);
    }
}

#[test]
fn what_is_no_address_is_refused_in_clear_words() {
    assert!(refused(|mail| mail.to.clear()).contains("no recipient"));
    let text = refused(|mail| mail.to = vec![address("010-1234-5678")]);
    assert!(text.contains("to: \"010-1234-5678\" is not an e-mail address"), "{text}");
    assert!(refused(|mail| mail.sender = address(" ")).contains("the sender"));
    let text = refused(|mail| mail.headers = vec![("X".into(), "1".into()), ("x".into(), "2".into())]);
    assert!(text.contains("twice"), "{text}");
}

proptest! {
    /// Whatever people are called and write, it is accepted, arrives, and stays in its place.
    #[test]
    fn any_printable_text_survives(
        name in "\\PC{0,40}", subject in "\\PC{0,120}", text in "[\\PC\n]{0,200}", filename in "\\PC{1,60}",
    ) {
        let email = Email {
            sender: Address { name: Some(name.clone()), email: "from@example.com".to_owned() },
            to: vec![Address { name: Some(name.clone()), email: "to@example.com".to_owned() }],
            subject: subject.clone(),
            text: Some(text),
            attachments: vec![Attachment {
                filename, content_type: "text/plain".to_owned(), content: b"x".to_vec(),
            }],
            ..email()
        };
        let mail = compose(&email, "0").map_err(TestCaseError::fail)?;
        prop_assert!(!mail.international);
        let parsed = MessageParser::default().parse(&mail.message).ok_or_else(|| TestCaseError::fail("empty"))?;
        prop_assert_eq!(parsed.from().and_then(|from| from.first()).and_then(|a| a.address()), Some("from@example.com"));
        prop_assert_eq!(parsed.to().map(|to| to.iter().count()), Some(1));
        prop_assert_eq!(parsed.attachment_count(), 1);
        let squeezed = |text: &str| text.split_whitespace().collect::<String>();
        prop_assert_eq!(squeezed(parsed.subject().unwrap_or_default()), squeezed(&subject));
        for (header, _) in parsed.headers_raw() {
            prop_assert!(
                ["From", "To", "Subject", "Message-ID", "Date", "MIME-Version", "Content-Type"].contains(&header),
                "{}", header
            );
        }
    }
}
