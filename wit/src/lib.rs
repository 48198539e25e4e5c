//! The messages that the producer publishes and the plugins read.
//!
//! Both sides use the same definition and the same validation, so that plugins accept all messages that the
//! producer accepts. A message is a JSON object with string fields. `from` and `to` are required. Other
//! fields are empty if they are missing or null. Unknown fields are ignored, and a duplicate known field is
//! an error.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

/// An e-mail to send: the value of a record in `email.send`.
///
/// Borrows from the parsed JSON: strings without escapes are not copied.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct EmailSendMessage<'a> {
    /// The sender's address; not blank.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub from: Cow<'a, str>,
    /// The recipient's address; not blank.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub to: Cow<'a, str>,
    /// May be empty.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub subject: Cow<'a, str>,
    /// Plain text; may be empty.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub body: Cow<'a, str>,
}

/// An SMS to send: the value of a record in `sms.send`.
///
/// Borrows from the parsed JSON: strings without escapes are not copied.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SmsSendMessage<'a> {
    /// The sender's number; not blank.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub from: Cow<'a, str>,
    /// The recipient's number; not blank.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub to: Cow<'a, str>,
    /// Plain text; may be empty.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub body: Cow<'a, str>,
}

/// The reason why bytes are not a valid message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// Not UTF-8, not JSON, not an object, or a field that is not a string or is duplicated. The text
    /// describes the problem and its position.
    #[error("{0}")]
    Malformed(String),
    /// A required field is missing, null or blank: its name, and the message for the caller.
    #[error("{1}")]
    Missing(&'static str, &'static str),
}

impl Invalid {
    /// The failure code: `invalid-message`, `missing-from` or `missing-to`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "invalid-message",
            Self::Missing("from", _) => "missing-from",
            Self::Missing(..) => "missing-to",
        }
    }
}

impl<'a> EmailSendMessage<'a> {
    /// Parses and validates an HTTP body or a record's value.
    ///
    /// # Errors
    /// The bytes are not a valid message.
    pub fn from_json(json: &'a [u8]) -> Result<Self, Invalid> {
        let message: Self = parse(json)?;
        require(&message.from, &message.to)?;
        Ok(message)
    }

    /// The record's value; fields in the order `from`, `to`, `subject`, `body`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        write(self)
    }
}

impl<'a> SmsSendMessage<'a> {
    /// Parses and validates an HTTP body or a record's value.
    ///
    /// # Errors
    /// The bytes are not a valid message.
    pub fn from_json(json: &'a [u8]) -> Result<Self, Invalid> {
        let message: Self = parse(json)?;
        require(&message.from, &message.to)?;
        Ok(message)
    }

    /// The record's value; fields in the order `from`, `to`, `body`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        write(self)
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Invalid> {
    let malformed = |error: &dyn std::fmt::Display| Invalid::Malformed(error.to_string());
    // Checks the complete text, including ignored fields, so that serde_json does not have to.
    let text = std::str::from_utf8(json).map_err(|error| malformed(&error))?;
    // serde_json would accept an array as the fields in order, and repeat a complete string in its error.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(malformed(&"expected a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| malformed(&error))
}

fn write(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("strings always serialise to a Vec")
}

fn require(from: &str, to: &str) -> Result<(), Invalid> {
    if is_blank(from) {
        return Err(Invalid::Missing("from", "발신자는 필수입니다"));
    }
    if is_blank(to) {
        return Err(Invalid::Missing("to", "수신자는 필수입니다"));
    }
    Ok(())
}

/// Java's `String.isBlank`, on which existing clients rely: `Character.isWhitespace` includes the separators
/// U+001C to U+001F, but neither U+0085 nor the non-breaking spaces.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\u{1c}'..='\u{1f}' => true,
        '\u{85}' | '\u{a0}' | '\u{2007}' | '\u{202f}' => false,
        c => c.is_whitespace(),
    })
}

fn text_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    // serde borrows into a Cow only as a field, not inside an Option.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    Ok(Option::<Text<'de>>::deserialize(deserializer)?.map(|text| text.0).unwrap_or_default())
}

#[cfg(test)]
mod tests {
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
        let want = SmsSendMessage { from: want.from, to: want.to, body: want.body };
        assert_eq!(sms(json).unwrap(), want);
    }

    #[test]
    fn a_string_without_escapes_is_borrowed() {
        let message = email(r#"{"from":"a","to":"b","subject":"두\n줄","body":"본문"}"#).unwrap();
        assert!(matches!(message.from, Cow::Borrowed("a")));
        assert!(matches!(message.body, Cow::Borrowed("본문")));
        assert!(matches!(message.subject, Cow::Owned(text) if text == "두\n줄"));
    }

    #[test]
    fn fields_are_written_in_their_order() {
        let json = r#"{"x":1,"body":"d\"","subject":"c","to":"b","from":"a"}"#;
        assert_eq!(email(json).unwrap().to_json(), br#"{"from":"a","to":"b","subject":"c","body":"d\""}"#);
        assert_eq!(sms(json).unwrap().to_json(), br#"{"from":"a","to":"b","body":"d\""}"#);
    }

    #[test]
    fn optional_fields_are_empty_if_missing_or_null() {
        for json in [r#"{"from":"a","to":"b"}"#, r#"{"from":"a","to":"b","subject":null,"body":null}"#] {
            let message = email(json).unwrap();
            assert_eq!((&*message.subject, &*message.body), ("", ""));
            assert_eq!(sms(json).unwrap().body, "");
        }
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
        let json = r#"{"from":"a","to":"b","id":7,"id":{},"more":{"from":[null]},"From":1}"#;
        assert_eq!(email(json).unwrap().from, "a");
        // An SMS has no subject, so that its type does not matter.
        assert_eq!(sms(r#"{"from":"a","to":"b","subject":5}"#).unwrap().to, "b");
        assert!(email(r#"{"from":"a","to":"b","subject":5}"#).is_err());
    }

    proptest! {
        #[test]
        fn messages_round_trip(
            from in any::<String>(), to in any::<String>(), subject in any::<String>(), body in any::<String>(),
        ) {
            // The prefix keeps the required fields from being blank.
            let (from, to) = (format!("a{from}"), format!("b{to}"));
            let sms = SmsSendMessage { from: (&*from).into(), to: (&*to).into(), body: (&*body).into() };
            let json = sms.to_json();
            prop_assert_eq!(SmsSendMessage::from_json(&json)?, sms.clone());
            let email = EmailSendMessage { from: sms.from, to: sms.to, subject: subject.into(), body: sms.body };
            let json = email.to_json();
            prop_assert_eq!(EmailSendMessage::from_json(&json)?, email.clone());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in any::<Vec<u8>>()) {
            let _ = EmailSendMessage::from_json(&bytes);
            let _ = SmsSendMessage::from_json(&bytes);
        }
    }
}
