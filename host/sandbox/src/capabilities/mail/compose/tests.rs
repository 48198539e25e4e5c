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

/// The e-mail as its reader sees it.
fn read(mail: &Composed) -> mail_parser::Message<'_> {
    MessageParser::default().parse(&mail.message).expect("an e-mail")
}

/// Every line ends with CR LF, has at most 998 bytes, and no control character but tabs.
fn assert_lines(wire: &str) {
    for line in wire.strip_suffix("\r\n").expect("a line end").split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
    }
}

#[test]
fn no_content_is_a_line_end_or_a_command() {
    for evil in [
        "a\r.\r\nMAIL FROM:<v@x>\r\n",
        "a\n.\nRCPT TO:<v@x>",
        "a\0.\0QUIT",
        "\r\n.\r\n",
        ".",
        "\r",
        "a\u{b}.\u{c}b\u{1b}\u{7f}",
        "a\r\r\n.\n\r.\r",
    ] {
        let text = || Some(evil.to_owned());
        let file =
            Attachment { filename: "a".into(), content_type: "text/plain".into(), content: evil.into() };
        for (text, html, attachments) in [
            (text(), None, vec![]),
            (None, text(), vec![]),
            (text(), text(), vec![]),
            (None, None, vec![file]),
        ] {
            let file = !attachments.is_empty();
            let mail = compose(&Email { text, html, attachments, ..email() }, "0").expect(evil);
            let wire = mail.content();
            assert_lines(&wire);
            assert_eq!(
                wire.match_indices("\r\n.\r\n").map(|(at, _)| at).collect::<Vec<_>>(),
                [wire.len() - 5]
            );
            let message = read(&mail);
            let part = if file { message.attachment(0) } else { message.parts.last() }.expect("a part");
            let found = String::from_utf8_lossy(part.contents());
            let lf = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
            match file {
                true => assert_eq!(found, evil),
                false => assert_eq!(lf(&found).trim_end(), lf(evil).trim_end()),
            }
        }
    }
}

#[test]
fn a_dot_at_the_beginning_of_a_line_is_doubled() {
    for (message, sent) in [
        ("", "\r\n.\r\n"),
        (".", "..\r\n.\r\n"),
        ("a.b\r\n", "a.b\r\n.\r\n"),
        ("a\r\n.\r\n..\r\n.b", "a\r\n..\r\n...\r\n..b\r\n.\r\n"),
    ] {
        let mail = Composed { message: message.to_owned(), ..compose(&email(), "0").expect("an e-mail") };
        assert_eq!(mail.content(), sent);
    }
}

#[test]
fn long_fields_are_folded_and_read_as_they_were() {
    let url = format!("<https://example.com/{}>", "a".repeat(800));
    for subject in
        ["x".repeat(1200), "word ".repeat(240), "가".repeat(400), "가 b ".repeat(200), " ".repeat(1200)]
    {
        let name = Some(subject.clone());
        let many =
            |count: usize| (0..count).map(|n| address(&format!("user{n}@example.com"))).collect::<Vec<_>>();
        let email = Email {
            sender: Address { name: name.clone(), email: "from@example.com".into() },
            to: many(200),
            cc: vec![Address { name, email: format!("{}@example.com", "c".repeat(64)) }],
            subject: subject.clone(),
            headers: vec![
                ("X-Long".into(), subject.clone()),
                ("List-Unsubscribe".into(), format!("{url}, <mailto:x@y>")),
            ],
            ..email()
        };
        let mail = compose(&email, "0").expect("an e-mail");
        assert_lines(&mail.message);
        let long = mail.message.split("\r\n").filter(|line| line.len() > 78);
        assert!(
            long.into_iter()
                .all(|line| line.contains("https:") || line.starts_with(" x") || line.len() < 120)
        );
        let read = read(&mail);
        assert_eq!(read.subject().unwrap_or_default().trim(), subject.trim());
        assert_eq!(
            read.from().and_then(|from| from.first()).and_then(|from| from.name()).unwrap_or_default(),
            subject.trim()
        );
        assert_eq!(read.to().map(|to| to.iter().count()), Some(200));
        assert!(mail.message.contains(&url), "a URL stays whole");
    }
}

#[test]
fn a_text_that_looks_encoded_is_not_decoded() {
    let subject = "=?utf-8?q?x?= \"<a@b>\"  two";
    let sender = Address { name: Some(subject.to_owned()), email: "from@example.com".to_owned() };
    let mail = compose(&Email { subject: subject.to_owned(), sender, ..email() }, "0").expect("an e-mail");
    let read = read(&mail);
    assert_eq!(read.subject(), Some(subject));
    assert_eq!(read.from().and_then(|from| from.first()).and_then(|from| from.name()), Some(subject));
}

#[test]
fn domains_are_sent_in_ascii() {
    let to = vec![address("b@bücher.de"), address("c@xn--bcher-kva.de")];
    let mail = compose(&Email { sender: address("a@BÜCHER.de"), to, ..email() }, "0").expect("an e-mail");
    let recipients: Vec<_> = mail.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(
        (mail.sender.to_string().as_str(), &*recipients.join(" ")),
        ("a@xn--bcher-kva.de", "b@xn--bcher-kva.de c@xn--bcher-kva.de")
    );
    assert!(!mail.international && mail.id == "<0@xn--bcher-kva.de>");
    assert!(mail.message.contains("To: b@xn--bcher-kva.de, c@xn--bcher-kva.de\r\n"), "{}", mail.message);
    let mail = compose(&Email { to: vec![address("뷁@bücher.de")], ..email() }, "0").expect("an e-mail");
    assert!(mail.international && mail.message.contains("To: 뷁@xn--bcher-kva.de\r\n"));
}

proptest! {
    /// Whatever people are called and write, it is accepted, arrives, and stays in its place.
    #[test]
    fn any_printable_text_survives(
        name in "\\PC{0,40}", subject in "\\PC{0,120}", text in "[\\PC\n\r\t\0\u{b}]{0,200}", filename in "\\PC{1,60}",
    ) {
        let email = Email {
            sender: Address { name: Some(name.clone()), email: "from@example.com".to_owned() },
            to: vec![Address { name: Some(name.clone()), email: "to@example.com".to_owned() }],
            subject: subject.clone(),
            text: Some(text.clone()),
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
        let lf = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
        let (found, text) = (lf(&parsed.body_text(0).unwrap_or_default()), lf(&text));
        prop_assert_eq!(found.trim_end(), text.trim_end());
        assert_lines(&mail.content());
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
