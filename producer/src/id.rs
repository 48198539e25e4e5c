//! The id in a message's `host-id` header.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use problem::Problem;
use uuid::Uuid;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const MAX_BYTES: usize = 255;

/// The client's `Idempotency-Key`, or a new UUIDv7 without one.
///
/// # Errors
/// 400 if the key is empty, longer than 255 bytes, not visible ASCII, or sent more than once.
pub fn of_request(headers: &HeaderMap) -> Result<String, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(Uuid::now_v7().to_string()),
        (Some(key), None) => parse(key).ok_or_else(refused),
        (Some(_), Some(_)) => Err(refused()),
    }
}

fn refused() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "Idempotency-Key must be sent once and have 1 to 255 visible ASCII characters, quoted or not",
    )
}

/// The key as it is, or the content of an RFC 8941 string.
fn parse(key: &HeaderValue) -> Option<String> {
    let text = key.to_str().ok()?;
    let id = if text.starts_with('"') { unquoted(text)? } else { text.to_owned() };
    let fits = !id.is_empty() && id.len() <= MAX_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(id)
}

fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut id = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return None,
            '\\' => id.push(chars.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            plain => id.push(plain),
        }
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(keys: &[&[u8]]) -> Result<String, Problem> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(key).expect("header value"));
        }
        of_request(&headers)
    }

    #[test]
    fn a_key_is_accepted_with_or_without_quotes() {
        assert_eq!(id(&[b"order-1"]).expect("bare"), "order-1");
        assert_eq!(id(&[b"\"order-1\""]).expect("quoted"), "order-1");
        assert_eq!(id(&[br#""a\"b\\c""#]).expect("escaped"), r#"a"b\c"#);
        assert_eq!(id(&[&[b'k'; 255]]).expect("longest").len(), 255);
    }

    #[test]
    fn an_invalid_key_is_refused() {
        let long = [b'k'; 256];
        let bad: [&[u8]; 9] =
            [b"", b"\"\"", b"\"open", b"\"", b"a b", br#""a"b""#, br#""a\b""#, "키".as_bytes(), &long];
        for key in bad {
            assert!(id(&[key]).is_err(), "{}", String::from_utf8_lossy(key));
        }
        assert!(id(&[b"a", b"a"]).is_err(), "sent twice");
    }

    #[test]
    fn without_a_key_ids_are_new_and_ascending() {
        let (first, second) = (id(&[]).expect("id"), id(&[]).expect("id"));
        assert!(first < second);
        assert_eq!(Uuid::parse_str(&first).expect("uuid").get_version_num(), 7);
    }
}
