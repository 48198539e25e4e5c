//! A response.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::{Result, reject, retry};

/// The maximum length of a body in a detail, in characters.
const MAX_SHOWN: usize = 300;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names in lower case and values, in order. Values that are not UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![], body: body.into() }
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header with this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The response, if the status is 2xx.
    ///
    /// # Errors
    /// It is not: `http-404` and so on. 408, 425, 429 and 5xx are retries, after the delay of `Retry-After` if there is one.
    /// Everything else, also a redirect, is a rejection.
    pub fn success(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let (code, detail) =
            (format!("http-{}", self.status), format!("HTTP {}: {}", self.status, self.shown()));
        if !matches!(self.status, 408 | 425 | 429 | 500..) {
            return Err(reject(code, detail));
        }
        let failure = retry(code, detail);
        Err(match self.retry_after(SystemTime::now()) {
            Some(delay) => failure.after(delay),
            None => failure,
        })
    }

    /// The body, decoded from JSON. It may borrow from the response.
    ///
    /// # Errors
    /// It is not the JSON of a `T`: a retry `http-body`, because a server that is broken can be mended.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let detail = crate::invalid::detail(&self.body, &error);
            retry("http-body", format!("the response is not as expected: {detail}"))
        })
    }

    /// `Retry-After`: seconds, or a date.
    #[must_use]
    pub fn retry_after(&self, now: SystemTime) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        match value.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => Some(httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()),
        }
    }

    /// The beginning of the body, for a detail.
    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim();
        if text.is_empty() { "an empty response".to_owned() } else { text.chars().take(MAX_SHOWN).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_retry_after(value: &str) -> Response {
        Response { headers: vec![("retry-after".into(), value.into())], ..Response::new(503, "") }
    }

    #[test]
    fn the_status_decides_about_the_failure() {
        for (status, is_retry) in [
            (301, false),
            (400, false),
            (404, false),
            (408, true),
            (425, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let failure = Response::new(status, "why").success().unwrap_err();
            assert_eq!((failure.code(), failure.is_retry()), (format!("http-{status}").as_str(), is_retry));
            assert_eq!((failure.detail(), failure.delay()), (format!("HTTP {status}: why").as_str(), None));
        }
        assert!(Response::new(204, "").success().is_ok());
        assert_eq!(Response::new(404, " \n").success().unwrap_err().detail(), "HTTP 404: an empty response");
        assert_eq!(
            Response::new(400, "한".repeat(5000)).success().unwrap_err().detail().chars().count(),
            310
        );
    }

    #[test]
    fn the_server_decides_about_the_delay() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        let delay = |value: &str| with_retry_after(value).retry_after(now);
        assert_eq!(delay("7"), Some(Duration::from_secs(7)));
        assert_eq!(delay("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(delay("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!((delay("soon"), delay("-1")), (None, None));
        assert_eq!(with_retry_after("7").success().unwrap_err().delay(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn an_unexpected_body_is_retried() {
        assert_eq!(Response::new(200, "7").json(), Ok(7));
        let failure = Response::new(200, "<html>").json::<u8>().unwrap_err();
        assert_eq!((failure.code(), failure.is_retry()), ("http-body", true));
        assert_eq!(failure.detail(), "the response is not as expected: expected value at line 1 column 1");
    }
}
