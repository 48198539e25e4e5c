//! Formats timestamps, numbers, and untrusted texts.

use std::fmt;

use askama::filters::HtmlSafe;
use base::text;
use desk_api::json;

use super::i18n::Texts;

/// Maximum size of a displayed value, in bytes.
const MAX_VALUE_BYTES: usize = 64 << 10;
/// Maximum size of a displayed binary value, in bytes.
const MAX_BINARY_BYTES: usize = MAX_VALUE_BYTES / 4;
/// Bytes per line of a binary value.
const BYTES_PER_LINE: usize = 32;
/// Digits of an abbreviated id.
const SHORT_ID: usize = 8;

/// A timestamp as `<time>` element: its distance from now, and the exact time as tooltip.
pub struct Timestamp {
    pub ms: i64,
    pub shown: String,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (utc, shown) = (text::utc(self.ms), &self.shown);
        write!(f, "<time datetime=\"{utc}\" title=\"{utc}\">{shown}</time>")
    }
}

// It contains no untrusted text.
impl HtmlSafe for Timestamp {}

/// A timestamp as `<time>` element: the local time of this machine with its zone, which the script changes to the
/// browser's; ISO 8601 in UTC as tooltip.
pub struct LocalTime(pub i64);

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (utc, local) = (text::utc(self.0), text::local(self.0));
        write!(f, "<time datetime=\"{utc}\" title=\"{utc}\" data-local>{local}</time>")
    }
}

// It contains no untrusted text.
impl HtmlSafe for LocalTime {}

/// An abbreviated id that can be copied: every command, the search and the API accept it.
pub struct CopyableId {
    pub id: String,
    pub texts: &'static Texts,
}

impl fmt::Display for CopyableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self.id.chars().filter(char::is_ascii_alphanumeric).collect();
        let (short, Texts { lang, .. }) = (short(&digits), self.texts);
        let (copy, copied) = (self.texts.desk.copy_id, self.texts.desk.copied);
        write!(
            f,
            "<button type=\"button\" class=\"id mono\" lang=\"{lang}\" data-copy=\"{short}\" \
             data-copied=\"{copied}\" title=\"{copy}: {digits}\">{short}</button>"
        )
    }
}

// An id has letters and digits only.
impl HtmlSafe for CopyableId {}

/// A number with thousands separators.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate, with a decimal if it is small.
pub fn rate(rate: f64) -> String {
    if rate >= 10.0 || rate == 0.0 { number(rate as u64) } else { format!("{rate:.1}") }
}

/// A text on a single line. Control characters and invisible characters are escaped, among them those that change
/// the text direction.
pub fn line(text: &str) -> String {
    visible(&text::line(text.as_bytes()))
}

/// As [`line`], with line feeds and tabs kept.
pub fn block(bytes: &[u8]) -> String {
    visible(&text::block(bytes))
}

fn visible(text: &str) -> String {
    let is_invisible = |c: char| matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars().fold(String::with_capacity(text.len()), |mut visible, c| {
        if is_invisible(c) {
            visible.extend(c.escape_unicode())
        } else {
            visible.push(c)
        }
        visible
    })
}

/// The first digits of an id or a digest.
pub fn short(id: &str) -> String {
    line(id).chars().take(SHORT_ID).collect()
}

/// A displayed value.
pub struct Value {
    /// The text.
    pub text: String,
    /// Size of the whole value, in bytes.
    pub bytes: usize,
    /// Whether the text is only a part of it.
    pub is_truncated: bool,
}

impl Value {
    /// JSON is indented, other text is unchanged, and anything else becomes hexadecimal digits.
    pub fn new(bytes: &[u8]) -> Self {
        let Ok(text) = str::from_utf8(bytes) else { return Self::binary(bytes) };
        let is_truncated = bytes.len() > MAX_VALUE_BYTES;
        let indented = if is_truncated { None } else { json::indent(text) };
        let text = indented.unwrap_or_else(|| text[..text.floor_char_boundary(MAX_VALUE_BYTES)].to_owned());
        Self { text: block(text.as_bytes()), bytes: bytes.len(), is_truncated }
    }

    fn binary(bytes: &[u8]) -> Self {
        let part = bytes.get(..MAX_BINARY_BYTES).unwrap_or(bytes);
        let lines: Vec<String> = part.chunks(BYTES_PER_LINE).map(hex::encode).collect();
        Self { text: lines.join("\n"), bytes: bytes.len(), is_truncated: part.len() < bytes.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        assert_eq!(
            [number(0), number(999), number(1000), number(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([rate(0.0), rate(0.25), rate(1234.5)], ["0", "0.2", "1,234"]);
    }

    #[test]
    fn no_character_is_invisible() {
        assert_eq!(line("a\u{202e}b\u{1b}\n"), "a\\u{202e}b\\u{1b}\\n");
        assert_eq!(block("가\u{200d}나\n".as_bytes()), "가\u{200d}나\n");
        let value = Value::new(&[0xff; 100_000]);
        assert!(value.is_truncated && value.text.starts_with("ffff"));
        assert_eq!(Value::new(b"{\"a\":").text, "{\"a\":");
    }
}
