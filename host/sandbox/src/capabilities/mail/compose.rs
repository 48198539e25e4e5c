//! From an [`Email`] to the envelope and the content of SMTP.
//!
//! What is transmitted has no control characters but tabs and the line ends CR LF: some servers take a bare CR, LF or
//! NUL for a line end, and what follows for a command.

mod fields;
#[cfg(test)]
mod tests;

use lettre::Address as Mailbox;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment as Part, Body, MultiPart, SinglePart};
use messages::{one_line, quoted};

use self::fields::{Fields, Named};
use super::mailer::{Address, Attachment, Email};

/// Headers that the host writes, or that only mail servers may write.
const OWNED: [&str; 16] = [
    "authentication-results",
    "bcc",
    "cc",
    "date",
    "delivered-to",
    "dkim-signature",
    "from",
    "message-id",
    "mime-version",
    "received",
    "received-spf",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
];
const OWNED_FAMILIES: [&str; 3] = ["arc-", "content-", "resent-"];
/// The maximum length of a header's name, in bytes.
const MAX_NAME: usize = 76;
/// The maximum length of an attachment's content type, in bytes: it is in one line.
const MAX_CONTENT_TYPE: usize = 255;

/// An e-mail ready for transmission.
pub struct Composed {
    /// `<name@the sender's domain>`.
    pub id: String,
    /// The envelope's sender.
    pub sender: Mailbox,
    /// To, cc and bcc.
    pub recipients: Vec<Mailbox>,
    /// Headers and body. It is ASCII unless an address is not.
    pub message: String,
    /// Whether an address is not ASCII. Then the server needs SMTPUTF8.
    pub international: bool,
}

impl Composed {
    /// The message and its end as SMTP transmits them: a dot at the beginning of a line is doubled (RFC 5321, section
    /// 4.5.2), and a line with a dot follows.
    ///
    /// They are written together: TCP would delay the end, a small segment, until the server acknowledges the previous
    /// one. That takes 40 ms per e-mail.
    pub fn content(&self) -> String {
        let dot = if self.message.starts_with('.') { "." } else { "" };
        let line_end = if self.message.ends_with("\r\n") { "" } else { "\r\n" };
        format!("{dot}{}{line_end}.\r\n", self.message.replace("\r\n.", "\r\n.."))
    }
}

/// Checks and encodes an e-mail. `name` is the first part of its `Message-ID`.
///
/// # Errors
/// A part of the e-mail is invalid; the error names it.
pub fn compose(email: &Email, name: &str) -> Result<Composed, String> {
    check("the subject", &email.subject)?;
    let sender = named("the sender", &email.sender)?;
    let to = all_named("to", &email.to)?;
    let cc = all_named("cc", &email.cc)?;
    let bcc = all_named("bcc", &email.bcc)?;
    let recipients: Vec<_> =
        [&to, &cc, &bcc].into_iter().flatten().map(|named| named.address.clone()).collect();
    if recipients.is_empty() {
        return Err("there is no recipient: to, cc and bcc are empty".to_owned());
    }
    let id = format!("<{name}@{}>", sender.address.domain());

    let mut fields = Fields::default();
    fields.addresses("From", std::slice::from_ref(&sender));
    fields.text("Subject", &email.subject);
    fields.words("Message-ID", &id);
    for (name, list) in [("To", &to), ("Cc", &cc)] {
        fields.addresses(name, list);
    }
    if let Some(address) = &email.reply_to {
        fields.addresses("Reply-To", &[named("reply-to", address)?]);
    }
    add_headers(&mut fields, &email.headers)?;
    let message = fields.with_body(&body(email)?)?;

    let ascii = |address: &Mailbox| AsRef::<str>::as_ref(address).is_ascii();
    let international = !message.is_ascii() || !ascii(&sender.address) || !recipients.iter().all(ascii);
    Ok(Composed { id, sender: sender.address, recipients, message, international })
}

/// The body with its own headers.
fn body(email: &Email) -> Result<Vec<u8>, String> {
    let texts = match (&email.text, &email.html) {
        (Some(text), Some(html)) => Ok(MultiPart::alternative_plain_html(encoded(text), encoded(html))),
        (_, Some(html)) => Err(SinglePart::html(encoded(html))),
        (text, None) => Err(SinglePart::plain(encoded(text.as_deref().unwrap_or_default()))),
    };
    if email.attachments.is_empty() {
        return Ok(texts.map_or_else(|single| single.formatted(), |both| both.formatted()));
    }
    let mixed = MultiPart::mixed();
    let mut parts = match texts {
        Ok(both) => mixed.multipart(both),
        Err(single) => mixed.singlepart(single),
    };
    for file in &email.attachments {
        parts = parts.singlepart(part(file)?);
    }
    Ok(parts.formatted())
}

/// A text with the line ends CR LF. With control characters other than these and tabs it is encoded as base64:
/// lettre would pass them on.
fn encoded(text: &str) -> Body {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    if text.contains(|c: char| c.is_ascii_control() && !matches!(c, '\n' | '\t')) {
        base64(text.replace('\n', "\r\n").into_bytes())
    } else {
        Body::new(text)
    }
}

fn base64(bytes: Vec<u8>) -> Body {
    // Only encodings that keep the bytes as they are can be refused.
    Body::new_with_encoding(bytes, ContentTransferEncoding::Base64)
        .unwrap_or_else(|bytes| Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::Binary))
}

fn part(file: &Attachment) -> Result<SinglePart, String> {
    check("an attachment's filename", &file.filename)?;
    check("an attachment's content type", &file.content_type)?;
    if file.content_type.len() > MAX_CONTENT_TYPE || !file.content_type.is_ascii() {
        return Err(format!(
            "{} is not a content type: expected up to {MAX_CONTENT_TYPE} ASCII characters",
            quoted(&file.content_type)
        ));
    }
    let content_type = ContentType::parse(&file.content_type)
        .map_err(|error| format!("{} is not a content type: {error}", quoted(&file.content_type)))?;
    // The content is encoded as base64, which is not allowed for these types.
    let family = file.content_type.trim_start().to_ascii_lowercase();
    if family.starts_with("multipart/") || family.starts_with("message/") {
        return Err(format!(
            "the content type {} is not allowed for attachments",
            quoted(&file.content_type)
        ));
    }
    Ok(Part::new(file.filename.clone()).body(base64(file.content.clone()), content_type))
}

fn add_headers(fields: &mut Fields, headers: &[(String, String)]) -> Result<(), String> {
    let mut seen = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let printable = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(printable) {
            return Err(format!(
                "{} is not a header name: expected 1 to {MAX_NAME} printable ASCII characters without `:`",
                quoted(name)
            ));
        }
        if OWNED.contains(&lower.as_str()) || OWNED_FAMILIES.iter().any(|family| lower.starts_with(family)) {
            return Err(format!("the header {name} is reserved for the host and mail servers"));
        }
        check(&format!("the header {name}"), value)?;
        if seen.contains(&lower) {
            return Err(format!("the header {name} is set twice"));
        }
        seen.push(lower);
        fields.words(name, value);
    }
    Ok(())
}

fn all_named(role: &str, addresses: &[Address]) -> Result<Vec<Named>, String> {
    addresses.iter().map(|address| named(role, address)).collect()
}

fn named(role: &str, address: &Address) -> Result<Named, String> {
    let name = address.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = name {
        check(&format!("{role}: the name"), name)?;
    }
    let address = address.parse().map_err(|reason| format!("{role}: {reason}"))?;
    Ok(Named { name: name.map(str::to_owned), address })
}

impl Address {
    /// Parses `user@domain`. The domain of the result is in lower case and in ASCII (`xn--…`).
    ///
    /// # Errors
    /// It is not an address.
    pub fn parse(&self) -> Result<Mailbox, String> {
        check("the address", &self.email)?;
        let parsed = messages::Address::parse(&self.email)?;
        Mailbox::new(parsed.user(), parsed.domain())
            .map_err(|error| format!("{} is not an e-mail address: {error}", quoted(&self.email)))
    }
}

/// Refuses line breaks, NUL and other characters that could break a header.
fn check(field: &str, text: &str) -> Result<(), String> {
    one_line(text).map_err(|reason| format!("{field} {reason}"))
}
