use proptest::prelude::*;

use super::*;

fn email(json: &str) -> Result<EmailSendMessage<'_>, Invalid> {
    EmailSendMessage::from_json(json.as_bytes())
}

fn sms(json: &str) -> Result<SmsSendMessage<'_>, Invalid> {
    SmsSendMessage::from_json(json.as_bytes())
}

fn assert_malformed(json: &[u8], says: &str) {
    for error in [
        EmailSendMessage::from_json(json).expect_err("no e-mail"),
        SmsSendMessage::from_json(json).expect_err("no SMS"),
    ] {
        assert!(matches!(error, Invalid::Malformed(_)), "{error:?}");
        assert_eq!(error.code(), "invalid-message");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn all_fields_are_read() {
    let json = r#"{"body":"본문","subject":"제목","to":"b@example.com","from":"a@example.com"}"#;
    let message = email(json).unwrap();
    let want = EmailSendMessage {
        from: "a@example.com".into(),
        to: "b@example.com".into(),
        subject: "제목".into(),
        body: "본문".into(),
    };
    assert_eq!(message, want);
    let json = r#"{"body":"본문","subject":"제목","to":"010-1234-5678","from":"MY SHOP"}"#;
    let want = SmsSendMessage { from: "MY SHOP".into(), to: "010-1234-5678".into(), body: want.body };
    assert_eq!(sms(json).unwrap(), want);
}

#[test]
fn a_string_without_escapes_is_borrowed() {
    let message = email(r#"{"from":"a@b","to":"c@d","subject":"본문","body":"두\n줄"}"#).unwrap();
    assert!(matches!(message.from, Cow::Borrowed("a@b")));
    assert!(matches!(message.subject, Cow::Borrowed("본문")));
    assert!(matches!(message.body, Cow::Owned(text) if text == "두\n줄"));
}

#[test]
fn fields_are_written_in_their_order() {
    let json = r#"{"x":1,"body":"d\"","subject":"c","to":"b@x","from":"a@x"}"#;
    assert_eq!(email(json).unwrap().to_json(), br#"{"from":"a@x","to":"b@x","subject":"c","body":"d\""}"#);
    let json = r#"{"x":1,"body":"d\"","subject":"c","to":"114","from":"a"}"#;
    assert_eq!(sms(json).unwrap().to_json(), br#"{"from":"a","to":"114","body":"d\""}"#);
}

#[test]
fn optional_fields_are_empty_if_missing_or_null() {
    for more in ["", r#","subject":null,"body":null"#] {
        let json = format!(r#"{{"from":"a@b","to":"c@d"{more}}}"#);
        let message = email(&json).unwrap();
        assert_eq!((&*message.subject, &*message.body), ("", ""));
        assert_eq!(sms(&format!(r#"{{"from":"a","to":"114"{more}}}"#)).unwrap().body, "");
    }
}

#[test]
fn fields_that_cannot_be_sent_are_refused() {
    for (from, to, subject, code) in [
        ("Shop, a@b", "c@d", "", "invalid-from"),
        ("a@b, c@d", "c@d", "", "invalid-from"),
        ("a@b", "nobody", "", "invalid-to"),
        ("a@b", "c@d", r"two\nlines", "invalid-subject"),
        ("a@b", "c@d", r"\u0000", "invalid-subject"),
    ] {
        let json = format!(r#"{{"from":"{from}","to":"{to}","subject":"{subject}"}}"#);
        let error = email(&json).unwrap_err();
        assert_eq!(error.code(), code, "{json}");
        assert!(error.to_string().starts_with(code.strip_prefix("invalid-").unwrap()), "{error}");
    }
    for (from, to, code) in
        [("상점", "114", "invalid-from"), ("a", "a", "invalid-to"), ("a", "MG", "invalid-to")]
    {
        assert_eq!(sms(&format!(r#"{{"from":"{from}","to":"{to}"}}"#)).unwrap_err().code(), code);
    }
}

#[test]
fn addresses_and_numbers_are_read_from_the_text() {
    let json = r#"{"from":"\"Shop\" <a@bücher.de>","to":"b@x, \"Kim, Lee\" <c@d>"}"#;
    let domain = if cfg!(feature = "idna") { "a@xn--bcher-kva.de" } else { "a@bücher.de" };
    let message = email(json).unwrap();
    let sender = message.sender().unwrap();
    assert_eq!((sender.name.as_deref(), sender.address.as_str()), (Some("Shop"), domain));
    let to: Vec<_> = message.recipients().unwrap().into_iter().map(|to| to.address.to_string()).collect();
    assert_eq!(to, ["b@x", "c@d"]);
    assert_eq!(message.from, "\"Shop\" <a@bücher.de>", "what is published is what was requested");
    let message = sms(r#"{"from":"MY SHOP","to":"tel:+82\u00a010-1234-5678"}"#).unwrap();
    assert_eq!(message.sender(), Ok(SmsSender::Name("MY SHOP".into())));
    assert_eq!(message.recipient().map(|to| to.to_string()), Ok("+821012345678".into()));
}

#[test]
fn from_then_to_are_required() {
    let from = Invalid::Missing("from", "발신자는 필수입니다");
    let to = Invalid::Missing("to", "수신자는 필수입니다");
    for (json, want) in [
        (r#"{}"#, &from),
        (r#"{"from":null,"to":"b"}"#, &from),
        (r#"{"from":"","to":""}"#, &from),
        (r#"{"from":" \t\n","to":"b"}"#, &from),
        (r#"{"from":"a"}"#, &to),
        (r#"{"from":"a","to":null}"#, &to),
        (r#"{"from":"a","to":"\u3000\u2028\u001c"}"#, &to),
    ] {
        assert_eq!(&email(json).unwrap_err(), want, "{json}");
        assert_eq!(&sms(json).unwrap_err(), want, "{json}");
    }
    assert_eq!((from.code(), from.to_string()), ("missing-from", "발신자는 필수입니다".into()));
    assert_eq!((to.code(), to.to_string()), ("missing-to", "수신자는 필수입니다".into()));
}

#[test]
fn blank_is_defined_as_in_java() {
    // Character.isWhitespace of every code point, from the Java documentation.
    let java = |c: char| {
        matches!(c, '\t'..='\r' | '\u{1c}'..='\u{20}' | '\u{1680}' | '\u{2000}'..='\u{2006}')
            || matches!(c, '\u{2008}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{205f}' | '\u{3000}')
    };
    for c in '\0'..=char::MAX {
        assert_eq!(is_blank(c.encode_utf8(&mut [0; 4])), java(c), "U+{:04X}", c as u32);
    }
    assert!(is_blank(""));
    assert!(!is_blank(" a "));
}

#[test]
fn other_json_is_malformed() {
    for (json, says) in [
        (&b""[..], "expected a JSON object"),
        (b"not json", "expected a JSON object"),
        (b"null", "expected a JSON object"),
        (b"\"text\"", "expected a JSON object"),
        (br#" ["a","b","c","d"]"#, "expected a JSON object"),
        (b" {", "EOF while parsing an object at line 1 column 2"),
        (b"{from:1}", "key must be a string"),
        (br#"{"from":1,"to":"b"}"#, "invalid type: integer `1`, expected a string"),
        (br#"{"from":"a","to":["b"]}"#, "invalid type: sequence"),
        (br#"{"from":"a","to":"b","body":true}"#, "invalid type: boolean"),
        (br#"{"from":"a","to":"b"} x"#, "trailing characters"),
        (br#"{"from":"a","to":"b","body":"\ud800"}"#, "hex escape"),
        (br#"{"from":"a","from":"c","to":"b"}"#, "duplicate field `from`"),
        (br#"{"from":"a","to":"b","body":"","body":null}"#, "duplicate field `body`"),
        (b"{\"from\":\"a\",\"to\":\"\xff\"}", "utf-8"),
        (b"{\"from\":\"a\",\"to\":\"b\",\"other\":\"\xff\"}", "utf-8"),
    ] {
        assert_malformed(json, says);
    }
}

#[test]
fn other_fields_are_ignored() {
    let json = r#"{"from":"a@b","to":"c@d","id":7,"id":{},"more":{"from":[null]},"From":1}"#;
    assert_eq!(email(json).unwrap().from, "a@b");
    // An SMS has no subject, so that its type does not matter.
    assert_eq!(sms(r#"{"from":"a","to":"114","subject":5}"#).unwrap().to, "114");
    assert!(email(r#"{"from":"a@b","to":"c@d","subject":5}"#).is_err());
}

proptest! {
    #[test]
    fn messages_round_trip(
        name in "[\\PC--[\"\\\\]]{0,20}", to in "[+]?[0-9 -]{0,20}", subject in "\\PC{0,40}", body in any::<String>(),
    ) {
        let sms = SmsSendMessage { from: "a".into(), to: to.into(), body: (&*body).into() };
        if sms.recipient().is_ok() {
            let json = sms.to_json();
            prop_assert_eq!(SmsSendMessage::from_json(&json)?, sms);
        }
        let to = format!("\"{name}\" <b@x>, c@bücher.de");
        let email = EmailSendMessage { from: "a@b".into(), to: to.into(), subject: subject.into(), body: body.into() };
        let json = email.to_json();
        let read = EmailSendMessage::from_json(&json)?;
        prop_assert_eq!(read.recipients(), email.recipients());
        prop_assert_eq!(read, email);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in any::<Vec<u8>>()) {
        let _ = EmailSendMessage::from_json(&bytes);
        let _ = SmsSendMessage::from_json(&bytes);
    }
}
