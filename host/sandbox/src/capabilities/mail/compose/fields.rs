//! Header fields as transmitted: encoded (RFC 2047) and folded (RFC 5322, section 2.2.3).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Address as Mailbox;
use lettre::message::header::{Date, Headers, MIME_VERSION_1_0};

/// The length that a line should have at most, in bytes (RFC 5322, section 2.1.1).
const LINE: usize = 78;
/// The maximum length of a word of a text before it is encoded, which divides it.
const TEXT_WORD: usize = 60;
/// The maximum length of a word of other fields, such as a URL. Only as a whole does it mean something, and a line may
/// have 998 bytes.
const LONG_WORD: usize = 900;
/// The number of bytes in an encoded word, which has at most 75 characters.
const ENCODED: usize = 45;

/// An address with its display name, which has no control characters but tabs.
pub(super) struct Named {
    pub(super) name: Option<String>,
    pub(super) address: Mailbox,
}

/// The header fields of an e-mail. Their names are ASCII, their values have no control characters but tabs.
#[derive(Default)]
pub(super) struct Fields(String);

impl Fields {
    /// A field that is read by people.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.field(name, words(value, TEXT_WORD));
    }

    /// A field whose words may be read by programs.
    pub(super) fn words(&mut self, name: &str, value: &str) {
        self.field(name, words(value, LONG_WORD));
    }

    /// A list of addresses; an empty one has no field.
    pub(super) fn addresses(&mut self, name: &str, list: &[Named]) {
        let mut all: Vec<String> = Vec::new();
        for named in list {
            if let Some(last) = all.last_mut() {
                last.push(',');
            }
            match &named.name {
                Some(name) => {
                    all.extend(display_name(name));
                    all.push(format!("<{}>", named.address));
                }
                None => all.push(named.address.to_string()),
            }
        }
        if !all.is_empty() {
            self.field(name, all);
        }
    }

    /// The e-mail: these fields, the date, and a body with its own fields.
    ///
    /// # Errors
    /// The body is not text.
    pub(super) fn with_body(self, body: &[u8]) -> Result<String, String> {
        let mut last = Headers::new();
        last.set(Date::now());
        last.set(MIME_VERSION_1_0);
        let body = std::str::from_utf8(body).map_err(|_| "the e-mail cannot be written as text")?;
        Ok(format!("{}{last}{body}", self.0))
    }

    /// Writes words with single spaces, or line breaks before the spaces.
    fn field(&mut self, name: &str, words: Vec<String>) {
        let mut column = name.len() + 1;
        _ = write!(self.0, "{name}:");
        for (index, word) in words.iter().enumerate() {
            if index > 0 && column + 1 + word.len() > LINE {
                self.0.push_str("\r\n");
                column = 0;
            }
            self.0.push(' ');
            self.0.push_str(word);
            column += 1 + word.len();
        }
        self.0.push_str("\r\n");
    }
}

/// The words of a text. Those that a line cannot hold as they are, with the spaces between them, become encoded words.
fn words(text: &str, longest: usize) -> Vec<String> {
    let (mut words, mut run): (Vec<String>, Option<String>) = (Vec::new(), None);
    for word in text.split(' ') {
        match &mut run {
            // Repeated spaces need a word to be encoded with.
            Some(run) if !is_plain(word, longest) || run.trim_matches(' ').is_empty() => {
                run.push(' ');
                run.push_str(word);
            }
            None if !is_plain(word, longest) => run = Some(word.to_owned()),
            _ => {
                words.extend(encoded(&run.take().unwrap_or_default()));
                words.push(word.to_owned());
            }
        }
    }
    words.extend(encoded(run.unwrap_or_default().trim_end_matches(' ')));
    words
}

/// Whether a word is transmitted as it is. `=?` would begin an encoded word.
fn is_plain(word: &str, longest: usize) -> bool {
    (1..=longest).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_graphic())
        && !word.contains("=?")
}

/// Encoded words, which a reader joins without the spaces between them.
fn encoded(mut text: &str) -> Vec<String> {
    let mut words = Vec::with_capacity(text.len() / ENCODED + 1);
    while !text.is_empty() {
        let (word, rest) = text.split_at(text.floor_char_boundary(ENCODED));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        text = rest;
    }
    words
}

/// A display name: an atom, a quoted string or encoded words.
fn display_name(name: &str) -> Vec<String> {
    let is_printable = name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if name.len() > TEXT_WORD || !is_printable || name.contains("=?") {
        return encoded(name);
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return vec![name.to_owned()];
    }
    vec![format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))]
}
