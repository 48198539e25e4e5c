//! The messages that the producer publishes and the plugins read.
//!
//! Both sides use the same definition and the same validation, so that plugins accept all messages that the
//! producer accepts. A message is a JSON object with string fields. `from` and `to` are required. Other
//! fields are empty if they are missing or null. Unknown fields are ignored, and a duplicate known field is
//! an error.
//!
//! A text that is published is the text of the request. Both sides read addresses and numbers from it: see [`Mailbox`],
//! [`PhoneNumber`] and [`SmsSender`].

mod mailbox;
mod phone;
mod text;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::mailbox::{Address, MAX_RECIPIENTS, Mailbox, ascii_domain};
pub use self::phone::{PhoneNumber, SmsSender};
pub use self::text::{one_line, quoted};

/// An e-mail to send: the value of a record in `email.send`.
///
/// Borrows from the parsed JSON: strings without escapes are not copied.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct EmailSendMessage<'a> {
    /// The sender: one [`Mailbox`].
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub from: Cow<'a, str>,
    /// The recipients: one [`Mailbox`] or several, separated by commas.
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub to: Cow<'a, str>,
    /// One line; may be empty.
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
    /// The sender: an [`SmsSender`].
    #[serde(borrow, default, deserialize_with = "text_or_null")]
    pub from: Cow<'a, str>,
    /// The recipient: a [`PhoneNumber`].
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
    /// A field has a value that cannot be sent: its name, and the reason.
    #[error("{0}: {1}")]
    Field(&'static str, String),
}

impl Invalid {
    /// The failure code: `invalid-message`, `missing-from`, `missing-to`, `invalid-from`, `invalid-to` or
    /// `invalid-subject`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "invalid-message",
            Self::Missing("from", _) => "missing-from",
            Self::Missing(..) => "missing-to",
            Self::Field("from", _) => "invalid-from",
            Self::Field("to", _) => "invalid-to",
            Self::Field(..) => "invalid-subject",
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
        message.sender()?;
        message.recipients()?;
        one_line(&message.subject).map_err(|reason| Invalid::Field("subject", reason))?;
        Ok(message)
    }

    /// The sender.
    ///
    /// # Errors
    /// [`Invalid::Field`]: `from` is not one mailbox.
    pub fn sender(&self) -> Result<Mailbox, Invalid> {
        Mailbox::parse(&self.from).map_err(|reason| Invalid::Field("from", reason))
    }

    /// The recipients; at least one.
    ///
    /// # Errors
    /// [`Invalid::Field`]: `to` is not a list of mailboxes.
    pub fn recipients(&self) -> Result<Vec<Mailbox>, Invalid> {
        Mailbox::parse_list(&self.to).map_err(|reason| Invalid::Field("to", reason))
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
        message.sender()?;
        message.recipient()?;
        Ok(message)
    }

    /// The sender.
    ///
    /// # Errors
    /// [`Invalid::Field`]: `from` is neither a number nor a name nor a service.
    pub fn sender(&self) -> Result<SmsSender, Invalid> {
        SmsSender::parse(&self.from).map_err(|reason| Invalid::Field("from", reason))
    }

    /// The recipient.
    ///
    /// # Errors
    /// [`Invalid::Field`]: `to` is not a phone number.
    pub fn recipient(&self) -> Result<PhoneNumber, Invalid> {
        PhoneNumber::parse(&self.to).map_err(|reason| Invalid::Field("to", reason))
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
mod tests;
