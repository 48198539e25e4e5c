//! Text that is safe and readable on a terminal, from untrusted bytes.

use std::fmt::{Display, Write};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

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

/// A count with its noun: `1 message`, `2 messages` for the noun `message`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    format!("{count} {noun}{}", if count == N::from(1) { "" } else { "s" })
}

/// Milliseconds since the Unix epoch as `2026-11-23T14:36:49.123Z`. Outside the years -9999 to 9999 the
/// number itself, since a record's timestamp may be any `i64`.
pub fn utc(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| format!("{millis} ms"), |time| format!("{time:.3}"))
}

/// Milliseconds since the Unix epoch as the time of this machine's time zone (`TZ`), `2026-11-23 23:36:49 +09:00`.
/// Outside the years -9999 to 9999 as [`utc`].
pub fn local(millis: i64) -> String {
    in_zone(millis, TimeZone::system())
}

fn in_zone(millis: i64, zone: TimeZone) -> String {
    let Ok(time) = Timestamp::from_millisecond(millis) else { return utc(millis) };
    time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// The milliseconds since the Unix epoch of a time as [`utc`] and [`local`] write it. Without an offset it is a time of
/// this machine's time zone; without a time of day, the beginning of the day.
pub fn time(text: &str) -> Option<i64> {
    time_in(text, TimeZone::system())
}

fn time_in(text: &str, zone: TimeZone) -> Option<i64> {
    // An offset follows the time without a space.
    let text = text.replace(" +", "+").replace(" -", "-");
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let time = text.parse::<DateTime>().ok()?.to_zoned(zone).ok()?;
    Some(time.timestamp().as_millisecond())
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
        assert_eq!(utc(253_402_200_000_000), "9999-12-30T20:00:00.000Z");
        assert_eq!(utc(i64::MAX), "9223372036854775807 ms");
        utc(i64::MIN);
    }

    #[test]
    fn local_times_have_their_offset_and_are_read_back() {
        let seoul = || TimeZone::fixed(jiff::tz::offset(9));
        assert_eq!(in_zone(1_795_444_609_123, seoul()), "2026-11-23 23:36:49 +09:00");
        assert_eq!(in_zone(i64::MAX, seoul()), "9223372036854775807 ms");
        for (text, expected) in [
            ("2026-11-23 23:36:49 +09:00", 1_795_444_609_000),
            ("2026-11-23T14:36:49Z", 1_795_444_609_000),
            ("2026-11-23T14:36:49.123Z", 1_795_444_609_123),
            ("2026-11-23 23:36:49", 1_795_444_609_000),
            ("2026-11-23T23:36", 1_795_444_560_000),
            ("1970-01-02", 54_000_000),
        ] {
            assert_eq!(time_in(text, seoul()), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "11:00", "2026-11-23T25:00"] {
            assert_eq!(time_in(text, seoul()), None, "{text}");
        }
    }
}
