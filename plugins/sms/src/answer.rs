//! What a gateway answered, and what becomes of the message for it.

use std::time::SystemTime;

/// An answer to a request.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body, or its beginning.
    pub body: Vec<u8>,
}

/// What becomes of the message. Codes are the failure codes that operators see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The gateway took it; its receipt.
    Accepted(String),
    /// Another try is worth it: code, detail, and after how many milliseconds, if it was said.
    Retry(&'static str, String, Option<u64>),
    /// None is: code and detail.
    Reject(&'static str, String),
}

/// What the gateway's own code says, where the HTTP status does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Sender's or recipient's number.
    Number,
    /// There is no money in the account.
    Balance,
    /// The credentials, or the account that they are for.
    Account,
    /// The text.
    TooLong,
    /// A fault at the gateway.
    Fault,
    /// What is said with the status alone.
    Other,
}

impl Answer {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The failure that this is, with the gateway's words in `said`.
    pub fn failure(&self, meaning: Meaning, said: String, now: SystemTime) -> Verdict {
        let detail = format!("HTTP {}: {said}", self.status);
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

    /// What the body says, where it is not what was expected.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim();
        if text.is_empty() { "an empty answer".to_owned() } else { text.chars().take(300).collect() }
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
    fn the_status_says_what_the_gateway_does_not() {
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
