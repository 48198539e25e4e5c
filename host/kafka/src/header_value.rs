//! Header values as text and as JSON.

use base::bytes::Bytes;
use base::text;
use serde_json::{Value, json};

use crate::headers::big_integer;

/// A header's value as one line of text: Spring's binary numbers in decimal, bytes that are not UTF-8 in
/// hexadecimal.
pub fn header_value(name: &[u8], value: Option<&[u8]>) -> String {
    header_text(&Header { name, value })
}

/// A header.
pub struct Header<'m> {
    /// The name; any bytes.
    pub name: &'m [u8],
    /// The value; any bytes, or null.
    pub value: Option<&'m [u8]>,
}

/// A header's value as JSON.
pub fn header_json(header: &Header<'_>) -> Value {
    match known_number(header) {
        Some(Number { value, .. }) => json!(value),
        None => json!(header.value.map(|bytes| Bytes(bytes.to_vec()))),
    }
}

/// A header's value as one line of text; see [`header_value`].
pub fn header_text(header: &Header<'_>) -> String {
    match (known_number(header), header.value) {
        (Some(Number { value, is_time: true }), _) => format!("{value} ({})", text::utc(value)),
        (Some(Number { value, .. }), _) => value.to_string(),
        (None, None) => "null".to_owned(),
        (None, Some(bytes)) if std::str::from_utf8(bytes).is_err() => format!("0x{}", hex::encode(bytes)),
        (None, Some(bytes)) => text::line(bytes),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Number {
    value: i64,
    /// Whether it is milliseconds since the Unix epoch.
    is_time: bool,
}

/// The number in a header that Spring Kafka writes in binary. None for other names and lengths.
fn known_number(header: &Header<'_>) -> Option<Number> {
    let bytes = header.value?;
    let (value, is_time) = match header.name {
        b"kafka_original-partition" | b"kafka_dlt-original-partition" => (fixed(bytes, &[4])?, false),
        b"kafka_original-offset" | b"kafka_dlt-original-offset" => (fixed(bytes, &[8])?, false),
        b"kafka_original-timestamp" | b"kafka_dlt-original-timestamp" => (fixed(bytes, &[8])?, true),
        b"retry_topic-attempts" => (fixed(bytes, &[1, 4])?, false),
        b"retry_topic-original-timestamp" | b"retry_topic-backoff-timestamp" => (big_integer(bytes)?, true),
        _ => return None,
    };
    Some(Number { value, is_time })
}

/// The bytes of a header that is shown as a number. None if headers of this name are not.
pub fn number_bytes(name: &[u8], number: i64) -> Option<Vec<u8>> {
    let bytes = number.to_be_bytes();
    let long = known_number(&Header { name, value: Some(&bytes) }).filter(|known| known.value == number);
    let short = i32::try_from(number).ok().map(i32::to_be_bytes);
    let short = short.filter(|bytes| known_number(&Header { name, value: Some(bytes) }).is_some());
    long.map(|_| bytes.to_vec()).or(short.map(Vec::from))
}

fn fixed(bytes: &[u8], lengths: &[usize]) -> Option<i64> {
    if lengths.contains(&bytes.len()) { big_integer(bytes) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, value: Option<&[u8]>) -> String {
        header_text(&Header { name: name.as_bytes(), value })
    }

    #[test]
    fn springs_numbers_are_numbers() {
        assert_eq!(shown("kafka_original-partition", Some(&[0, 0, 0, 3])), "3");
        assert_eq!(shown("kafka_original-offset", Some(&[0, 0, 0, 0, 0, 0, 0, 1])), "1");
        assert_eq!(shown("retry_topic-attempts", Some(&[0, 0, 0, 2])), "2");
        assert_eq!(shown("retry_topic-attempts", Some(&[5])), "5");
        let due = [0x01, 0xa2, 0x08, 0x4a, 0x34, 0x38];
        assert_eq!(
            shown("retry_topic-backoff-timestamp", Some(&due)),
            "1795435410488 (2026-11-23T12:03:30.488Z)"
        );
        assert_eq!(shown("retry_topic-original-timestamp", Some(&[0xff])), "-1 (1969-12-31T23:59:59.999Z)");
    }

    #[test]
    fn other_lengths_and_names_are_text_or_hex() {
        assert_eq!(shown("kafka_original-partition", Some(b"three")), "three");
        assert_eq!(shown("retry_topic-backoff-timestamp", Some(&[0xf1; 9])), "0xf1f1f1f1f1f1f1f1f1");
        assert_eq!(shown("retry_topic-attempts", Some(b"")), "");
        assert_eq!(shown("x", Some(&[0, 0, 0, 3])), "\\u{0}\\u{0}\\u{0}\\u{3}");
        assert_eq!(shown("x", None), "null");
        let header = Header { name: b"x", value: Some(&[0xff]) };
        assert_eq!(header_json(&header), json!({ "hex": "ff" }));
    }

    #[test]
    fn numbers_are_bytes_again() {
        for name in ["kafka_original-partition", "kafka_dlt-original-offset", "retry_topic-attempts"] {
            let bytes = number_bytes(name.as_bytes(), 5).expect(name);
            assert_eq!(shown(name, Some(&bytes)), "5");
        }
        assert_eq!(number_bytes(b"kafka_original-partition", 5), Some(vec![0, 0, 0, 5]));
        let time = number_bytes(b"retry_topic-backoff-timestamp", -7).expect("a number");
        assert!(shown("retry_topic-backoff-timestamp", Some(&time)).starts_with("-7 "));
        assert_eq!(number_bytes(b"retry_topic-attempts", i64::MAX), None);
        assert_eq!(number_bytes(b"x", 5), None);
    }
}
