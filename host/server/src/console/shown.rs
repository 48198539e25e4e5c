//! How things are shown: moments, numbers, and texts that anyone may have written.

use std::fmt;

use askama::filters::HtmlSafe;
use base::text;

use super::words::Words;

/// How many bytes of a value are shown.
const SHOWN: usize = 64 << 10;

/// A moment as `<time>`: how long ago, and exactly when.
pub struct Moment {
    pub ms: i64,
    pub now_ms: i64,
    pub words: &'static Words,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (utc, ago) = (text::utc(self.ms), self.words.ago(self.now_ms.saturating_sub(self.ms) / 1000));
        write!(f, "<time datetime=\"{utc}\" title=\"{utc}\">{ago}</time>")
    }
}

// Nothing in it comes from outside.
impl HtmlSafe for Moment {}

/// A number with separators.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text on one line, in which nothing is hidden: control characters, and those that turn the direction of
/// what follows, are seen as what they are.
pub fn line(text: &str) -> String {
    seen(&text::line(text.as_bytes()))
}

/// A text of several lines, likewise.
pub fn block(bytes: &[u8]) -> String {
    seen(&text::block(bytes))
}

fn seen(text: &str) -> String {
    let hides = |c: char| matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars().fold(String::with_capacity(text.len()), |mut seen, c| {
        if hides(c) {
            seen.extend(c.escape_unicode())
        } else {
            seen.push(c)
        }
        seen
    })
}

/// The beginning of an id or a digest.
pub fn short(id: &str) -> String {
    line(id).chars().take(8).collect()
}

/// A value for people.
pub struct Value {
    /// What is shown.
    pub text: String,
    /// How long it is, in bytes.
    pub bytes: usize,
    /// Whether it is more than what is shown.
    pub is_cut: bool,
}

impl Value {
    /// JSON is laid out, text is shown as it is, anything else as hexadecimal digits.
    pub fn of(bytes: &[u8]) -> Self {
        let part = bytes.get(..SHOWN).unwrap_or(bytes);
        let (is_cut, length) = (part.len() < bytes.len(), bytes.len());
        let Ok(whole) = str::from_utf8(bytes) else {
            let lines: Vec<String> =
                part.get(..SHOWN / 4).unwrap_or(part).chunks(32).map(hex::encode).collect();
            return Self { text: lines.join("\n"), bytes: length, is_cut: length > SHOWN / 4 };
        };
        let laid_out = if is_cut { None } else { pretty(whole) };
        let text = laid_out
            .unwrap_or_else(|| whole.get(..whole.floor_char_boundary(SHOWN)).unwrap_or(whole).to_owned());
        Self { text: block(text.as_bytes()), bytes: length, is_cut }
    }
}

/// JSON as it was written, laid out: numbers keep their digits and names their order.
fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let (mut out, mut depth, mut in_text, mut escaped) =
        (String::with_capacity(text.len() * 2), 0_usize, false, false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if in_text {
            out.push(c);
            (in_text, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        let next = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
            rest.peek().copied()
        };
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth.min(100)));
        };
        match c {
            '"' => {
                out.push(c);
                in_text = true;
            }
            '{' | '[' => {
                out.push(c);
                if matches!(next(&mut rest), Some('}' | ']')) {
                    out.extend(rest.next());
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    Some(out)
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
    }

    #[test]
    fn json_is_laid_out_as_it_was_written() {
        let text = r#"{"b":1.50,"a":[ ],"c":{"d":"x, {\"y\": [1]}","e":[1,2]},"n":12345678901234567890123}"#;
        let laid_out = "{\n  \"b\": 1.50,\n  \"a\": [],\n  \"c\": {\n    \"d\": \"x, {\\\"y\\\": [1]}\",\n    \"e\": [\n      1,\n      2\n    ]\n  },\n  \"n\": 12345678901234567890123\n}";
        assert_eq!(pretty(text).as_deref(), Some(laid_out));
        assert_eq!(Value::of(b"{\"a\":").text, "{\"a\":");
    }

    #[test]
    fn nothing_is_hidden() {
        assert_eq!(line("a\u{202e}b\u{1b}\n"), "a\\u{202e}b\\u{1b}\\n");
        assert_eq!(block("가\u{200d}나\n".as_bytes()), "가\u{200d}나\n");
        let value = Value::of(&[0xff; 100_000]);
        assert!(value.is_cut && value.text.starts_with("ffff"));
    }
}
