//! From an [`Email`] to the envelope and the content of SMTP.

#[cfg(test)]
mod tests;

use lettre::address::{Address as Mailbox, Envelope};
use lettre::message::header::{self, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as Part, Mailbox as Named, Mailboxes, MessageBuilder};
use lettre::message::{Message, MultiPart, SinglePart};

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
    /// The content and its end as SMTP transmits them: a dot at the beginning of a line is doubled.
    pub fn content(&self) -> String {
        let dot = if self.message.starts_with('.') { "." } else { "" };
        format!("{dot}{}\r\n.\r\n", self.message.replace("\r\n.", "\r\n.."))
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
        [&to, &cc, &bcc].into_iter().flatten().map(|named| named.email.clone()).collect();
    let envelope = Envelope::new(Some(sender.email.clone()), recipients.clone())
        .map_err(|_| "there is no recipient: to, cc and bcc are empty".to_owned())?;
    let id = format!("<{name}@{}>", sender.email.domain());

    let mut builder = Message::builder()
        .envelope(envelope)
        .header(header::From::from(Mailboxes::from(sender.clone())))
        .subject(email.subject.as_str())
        .message_id(Some(id.clone()));
    if !to.is_empty() {
        builder = builder.header(header::To::from(Mailboxes::from(to)));
    }
    if !cc.is_empty() {
        builder = builder.header(header::Cc::from(Mailboxes::from(cc)));
    }
    if let Some(address) = &email.reply_to {
        builder = builder.header(header::ReplyTo::from(Mailboxes::from(named("reply-to", address)?)));
    }
    let message = body(with_headers(builder, &email.headers)?, email)?.formatted();
    let message = String::from_utf8(message).map_err(|_| "the e-mail cannot be written as text")?;

    let ascii = |address: &Mailbox| AsRef::<str>::as_ref(address).is_ascii();
    let international = !message.is_ascii() || !ascii(&sender.email) || !recipients.iter().all(ascii);
    Ok(Composed { id, sender: sender.email, recipients, message, international })
}

fn body(builder: MessageBuilder, email: &Email) -> Result<Message, String> {
    let built = match (&email.text, &email.html, email.attachments.as_slice()) {
        (Some(text), Some(html), []) => {
            builder.multipart(MultiPart::alternative_plain_html(text.clone(), html.clone()))
        }
        (text, html, []) => builder.singlepart(single(text.as_deref(), html.as_deref())),
        (text, html, files) => {
            let mixed = MultiPart::mixed();
            let mut parts = match (text, html) {
                (Some(text), Some(html)) => {
                    mixed.multipart(MultiPart::alternative_plain_html(text.clone(), html.clone()))
                }
                _ => mixed.singlepart(single(text.as_deref(), html.as_deref())),
            };
            for file in files {
                parts = parts.singlepart(part(file)?);
            }
            builder.multipart(parts)
        }
    };
    built.map_err(|error| format!("the e-mail cannot be written: {error}"))
}

/// The only body, or an empty text.
fn single(text: Option<&str>, html: Option<&str>) -> SinglePart {
    match html {
        Some(html) => SinglePart::html(html.to_owned()),
        None => SinglePart::plain(text.unwrap_or_default().to_owned()),
    }
}

fn part(file: &Attachment) -> Result<SinglePart, String> {
    check("an attachment's filename", &file.filename)?;
    check("an attachment's content type", &file.content_type)?;
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
    Ok(Part::new(file.filename.clone()).body(file.content.clone(), content_type))
}

fn with_headers(mut builder: MessageBuilder, headers: &[(String, String)]) -> Result<MessageBuilder, String> {
    let mut seen = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let printable = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        let parsed = match name.bytes().all(printable) {
            true => HeaderName::new_from_ascii(name.clone()).ok(),
            false => None,
        };
        let Some(parsed) = parsed else {
            return Err(format!(
                "{} is not a header name: expected 1 to 76 printable ASCII characters without `:`",
                quoted(name)
            ));
        };
        if OWNED.contains(&lower.as_str()) || OWNED_FAMILIES.iter().any(|family| lower.starts_with(family)) {
            return Err(format!("the header {name} is reserved for the host and mail servers"));
        }
        check(&format!("the header {name}"), value)?;
        if seen.contains(&lower) {
            return Err(format!("the header {name} is set twice"));
        }
        seen.push(lower);
        builder = builder.raw_header(HeaderValue::new(parsed, value.clone()));
    }
    Ok(builder)
}

fn all_named(role: &str, addresses: &[Address]) -> Result<Vec<Named>, String> {
    addresses.iter().map(|address| named(role, address)).collect()
}

fn named(role: &str, address: &Address) -> Result<Named, String> {
    let name = address.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    if let Some(name) = name {
        check(&format!("{role}: the name"), name)?;
    }
    let parsed = address.parse().map_err(|reason| format!("{role}: {reason}"))?;
    Ok(Named::new(name.map(str::to_owned), parsed))
}

impl Address {
    /// Parses `user@domain`.
    ///
    /// # Errors
    /// It is not an address.
    pub fn parse(&self) -> Result<Mailbox, String> {
        check("the address", &self.email)?;
        let email = self.email.trim();
        email.parse().map_err(|error| format!("{} is not an e-mail address: {error}", quoted(email)))
    }
}

/// Refuses line breaks, NUL and other characters that could break a header.
fn check(field: &str, text: &str) -> Result<(), String> {
    match text.chars().find(|&c| c.is_control() && c != '\t') {
        Some(c) => Err(format!("{field} contains the control character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}

/// A text for an error message, escaped and shortened.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}
