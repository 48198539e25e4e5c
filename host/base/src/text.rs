//! Text that is safe and readable on a terminal, made of bytes that anyone may have written.

use std::fmt::{Display, Write};

/// Bytes as one line of text: control characters and bytes that are not UTF-8 are escaped, so that a
/// record can neither drive the terminal nor break out of its line.
pub fn line(bytes: &[u8]) -> String {
    escape(bytes, |_| false)
}

/// Bytes as text that may span lines: as [`line`], with line feeds and tabs kept.
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

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What [`hex`] was made of; None where it is not hexadecimal.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok());
    rest.is_empty().then(|| bytes.collect())?
}

/// `1 letter`, `2 letters`, where `one` is `letter`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    format!("{count} {one}{}", if count == N::from(1) { "" } else { "s" })
}

/// Milliseconds since 1970 as `2026-11-23T14:36:49.123Z`; any `i64` is a valid moment.
pub fn utc(millis: i64) -> String {
    let (days, ms) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
}

/// The Gregorian date of a day counted from 1970-01-01, by 400-year eras that start on 1 March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
    fn moments_are_dates() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_795_444_609_123), "2026-11-23T14:36:49.123Z");
        utc(i64::MAX);
        utc(i64::MIN);
    }
}
