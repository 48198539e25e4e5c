//! A gateway's response, and the outcome of the message.

use std::time::SystemTime;

use messages::Invalid;

/// The response to a request.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body, or its beginning.
    pub body: Vec<u8>,
}

/// The outcome of the message. The codes are failure codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway accepted the message; with its receipt.
    Accepted(String),
    /// A temporary failure: code, detail, and the delay in milliseconds that the gateway requests.
    Retry(&'static str, String, Option<u64>),
    /// A permanent failure: code and detail.
    Reject(&'static str, String),
}

impl From<Invalid> for Verdict {
    fn from(invalid: Invalid) -> Self {
        Self::Reject(invalid.code(), invalid.to_string())
    }
}

/// The meaning of the gateway's own error code, which is more specific than the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The number of the sender or the recipient is invalid.
    Number,
    /// The account's balance is insufficient.
    Balance,
    /// The credentials or the account are invalid.
    Account,
    /// The text is too long.
    TooLong,
    /// An internal error of the gateway.
    Fault,
    /// Only the HTTP status is known.
    Other,
}

impl Answer {
    /// Whether the HTTP status means success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The failure for this response, with the gateway's own message.
    pub fn failure(&self, meaning: Meaning, message: String, now: SystemTime) -> Verdict {
        let detail = format!("HTTP {}: {message}", self.status);
        match (self.status, meaning) {
            (429, _) => Verdict::Retry("rate-limited", detail, self.after_ms(now)),
            (402, _) | (_, Meaning::Balance) => Verdict::Retry("insufficient-balance", detail, None),
            (_, Meaning::Number) => Verdict::Reject("invalid-number", detail),
            (_, Meaning::TooLong) => Verdict::Reject("message-too-long", detail),
            (401 | 403, _) | (_, Meaning::Account) => Verdict::Retry("gateway-auth", detail, None),
            (503, _) => Verdict::Retry("sms-transient", detail, self.after_ms(now)),
            (408 | 500.., _) | (_, Meaning::Fault) => Verdict::Retry("sms-transient", detail, None),
            (_, Meaning::Other) => Verdict::Reject("sms-rejected", detail),
        }
    }

    /// The body as text, for an unexpected response.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim();
        if text.is_empty() { "an empty response".to_owned() } else { text.chars().take(300).collect() }
    }

    /// `Retry-After`: seconds, or a date.
    fn after_ms(&self, now: SystemTime) -> Option<u64> {
        let text = self.retry_after.as_deref()?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(seconds.saturating_mul(1000));
        }
        let left = httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default();
        u64::try_from(left.as_millis()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_status_applies_without_a_specific_code() {
        for (status, meaning, code, is_retried) in [
            (400, Meaning::Other, "sms-rejected", false),
            (404, Meaning::Other, "sms-rejected", false),
            (302, Meaning::Other, "sms-rejected", false),
            (401, Meaning::Other, "gateway-auth", true),
            (403, Meaning::Other, "gateway-auth", true),
            (403, Meaning::Number, "invalid-number", false),
            (402, Meaning::Other, "insufficient-balance", true),
            (400, Meaning::Balance, "insufficient-balance", true),
            (400, Meaning::Account, "gateway-auth", true),
            (400, Meaning::TooLong, "message-too-long", false),
            (400, Meaning::Fault, "sms-transient", true),
            (408, Meaning::Other, "sms-transient", true),
            (500, Meaning::Other, "sms-transient", true),
            (599, Meaning::Other, "sms-transient", true),
            (429, Meaning::Balance, "rate-limited", true),
        ] {
            let answer = Answer { status, ..Answer::default() };
            let expected = format!("HTTP {status}: words");
            let expected = if is_retried {
                Verdict::Retry(code, expected, None)
            } else {
                Verdict::Reject(code, expected)
            };
            assert_eq!(answer.failure(meaning, "words".into(), UNIX_EPOCH), expected);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, after_ms) in [
            ("3", Some(3000)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Some(1000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            for status in [429, 503] {
                let answer = Answer { status, retry_after: Some(text.into()), ..Answer::default() };
                let verdict = answer.failure(Meaning::Other, String::new(), now);
                let Verdict::Retry(_, _, after) = verdict else { panic!("{verdict:?}") };
                assert_eq!(after, after_ms, "{text}");
            }
        }
    }
}
