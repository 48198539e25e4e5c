//! Text that is safe and readable on a terminal, from untrusted bytes.

use std::fmt::{Display, Write};

use jiff::Timestamp;

/// Bytes as one line of text: control characters and bytes that are not UTF-8 are escaped, so that a
/// record can neither drive the terminal nor break out of its line.
pub fn line(bytes: &[u8]) -> String {
    escape(bytes, |_| false)
}

/// Bytes as text that may span lines: escaped as in [`line`], except line feeds and tabs.
pub fn block(bytes: &[u8]) -> String {
    escape(bytes, |c| matches!(c, '\n' | '\t'))
}

fn escape(bytes: &[u8], keep: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && !keep(c) { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A count with its noun: `1 message`, `2 messages`, where `one` is `message`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    format!("{count} {one}{}", if count == N::from(1) { "" } else { "s" })
}

/// Milliseconds since the Unix epoch as `2026-11-23T14:36:49.123Z`. Outside the years -9999 to 9999 the
/// number itself, since a record's timestamp may be any `i64`.
pub fn utc(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| format!("{millis} ms"), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_foreign_bytes_are_escaped() {
        assert_eq!(line(b"a\x1b[2J\r\n\tb"), "a\\u{1b}[2J\\r\\n\\tb");
        assert_eq!(line("C1 \u{9b}31m 발신자".as_bytes()), "C1 \\u{9b}31m 발신자");
        assert_eq!(line(b"ok\xff\xfe\0"), "ok\\xff\\xfe\\u{0}");
        assert_eq!(block(b"{\n\t\"a\": 1\x07}"), "{\n\t\"a\": 1\\u{7}}");
    }

    #[test]
    fn timestamps_are_dates() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_795_444_609_123), "2026-11-23T14:36:49.123Z");
        assert_eq!(utc(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(utc(i64::MAX), "9223372036854775807 ms");
        utc(i64::MIN);
    }
}
