//! Requests of dry runs, and the response to them.

use std::str::FromStr;

use base::bytes::Bytes as JsonBytes;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::client::Answer;
use crate::capture::{Effect, size_of_pairs};
use crate::wording::{content, line, pairs};

/// A request as the plugin sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedRequest {
    /// The method, in capitals.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The plugin's headers. Bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The names of the headers that the host would add or replace: credentials.
    pub host_headers: Vec<String>,
    /// None if the method has no effect and the plugin set no key.
    pub idempotency_key: Option<String>,
    /// The whole body.
    #[serde(serialize_with = "as_json", deserialize_with = "from_json")]
    pub body: Bytes,
}

fn as_json<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    JsonBytes(body.to_vec()).serialize(serializer)
}

fn from_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    JsonBytes::deserialize(deserializer).map(|body| body.0.into())
}

impl Effect for CapturedRequest {
    fn summary(&self) -> String {
        let origin = Url::parse(&self.url).map(|url| url.origin().ascii_serialization());
        format!("{} {}", self.method, origin.unwrap_or_default())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}", line(&self.method), line(&self.url))];
        lines.extend(pairs(&self.headers));
        if let Some(key) = &self.idempotency_key {
            lines.push(format!("  idempotency-key: {}", line(key)));
        }
        lines.extend(self.host_headers.iter().map(|name| format!("  {name}: (added by the host)")));
        if !self.body.is_empty() {
            lines.extend(content("body", &self.body));
        }
        lines
    }

    fn size(&self) -> usize {
        self.url.len() + self.body.len() + size_of_pairs(&self.headers) + 512
    }
}

/// The response to every captured request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canned {
    status: StatusCode,
    body: Bytes,
}

impl Default for Canned {
    fn default() -> Self {
        Self { status: StatusCode::OK, body: Bytes::from_static(b"{}") }
    }
}

impl FromStr for Canned {
    type Err = String;

    /// Reads `STATUS[:BODY]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (status, body) = text.split_once(':').map_or((text, None), |(status, body)| (status, Some(body)));
        let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        let status = status.parse().ok().filter(|status| digits && (200..=599).contains(status));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.ok_or("expected STATUS[:BODY] with a status from 200 to 599, for example 429")?;
        let body = body.map_or(Self::default().body, |body| Bytes::copy_from_slice(body.as_bytes()));
        Ok(Self { status, body })
    }
}

impl Canned {
    /// The response. Its content type is JSON if the body is.
    pub(super) fn answer(&self) -> Answer {
        let mut headers = HeaderMap::new();
        if serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Answer { status: self.status, headers, body: Some(self.body.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::capture::Captured;

    fn request(url: &str, body: &'static [u8]) -> CapturedRequest {
        CapturedRequest {
            method: "POST".into(),
            url: url.into(),
            headers: vec![("x".into(), "a\nb".into())],
            host_headers: vec!["authorization".into()],
            idempotency_key: Some("k".into()),
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn every_part_of_a_request_is_shown() {
        let request = request("https://h/\u{1b}[2J", b"one");
        let expected = [
            "POST https://h/\\u{1b}[2J",
            "  x: a\\nb",
            "  idempotency-key: k",
            "  authorization: (added by the host)",
            "  body, 3 bytes",
            "    one",
        ];
        assert_eq!(
            (request.lines(), &request.summary()[..]),
            (expected.map(str::to_owned).to_vec(), "POST https://h")
        );
    }

    #[test]
    fn bodies_are_text_or_hex() {
        let json = |body| {
            let captured = Captured::new("http", Arc::new(request("https://h", body)));
            let json = serde_json::to_value(&captured).expect("JSON");
            assert_eq!(serde_json::from_value::<Captured>(json.clone()).expect("a request"), captured);
            json
        };
        assert_eq!((&json(b"a")["body"], &json(b"a")["kind"]), (&"a".into(), &"http".into()));
        assert_eq!(json(b"\xff")["body"]["hex"], "ff");
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let canned = |text: &str| text.parse::<Canned>();
        assert_eq!(canned("200"), Ok(Canned::default()));
        let slow = canned("429:slow: down").expect("possible").answer();
        assert_eq!((slow.status, slow.body), (StatusCode::TOO_MANY_REQUESTS, Some("slow: down".into())));
        assert!(slow.headers.is_empty());
        assert_eq!(canned("200:").expect("possible").answer().body, Some(Bytes::new()));
        assert_eq!(Canned::default().answer().headers["content-type"], "application/json");
        for wrong in ["", "20", "2000", "+20", "99", "100", "600", ":x", "ok"] {
            assert!(canned(wrong).is_err(), "{wrong}");
        }
    }
}
