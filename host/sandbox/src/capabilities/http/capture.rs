//! Requests of dry runs, and the response to them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::bytes::Bytes as JsonBytes;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
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

/// The responses to the captured requests of a plugin, in order. The last one is the response to all further requests.
#[derive(Debug, Clone, Default)]
pub struct Responses(Arc<Prepared>);

#[derive(Debug, Default)]
struct Prepared {
    list: Vec<Canned>,
    next: AtomicUsize,
}

impl FromIterator<Canned> for Responses {
    fn from_iter<T: IntoIterator<Item = Canned>>(list: T) -> Self {
        Self(Arc::new(Prepared { list: list.into_iter().collect(), next: AtomicUsize::new(0) }))
    }
}

impl Responses {
    /// The response to the next request.
    pub(super) fn next(&self) -> Answer {
        let Prepared { list, next } = &*self.0;
        let last = list.len().saturating_sub(1);
        let number = next.fetch_add(1, Ordering::Relaxed).min(last);
        list.get(number).cloned().unwrap_or_default().answer()
    }
}

/// The response to a captured request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canned {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Default for Canned {
    fn default() -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from_static(b"{}") }
    }
}

impl FromStr for Canned {
    type Err = String;

    /// Reads `STATUS[:BODY]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (status, body) = text.split_once(':').map_or((text, None), |(status, body)| (status, Some(body)));
        let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        let status = status.parse().ok().filter(|_| digits).and_then(final_status);
        let status = status.ok_or("expected STATUS[:BODY] with a status from 200 to 599, for example 429")?;
        let body = body.map_or(Self::default().body, |body| Bytes::copy_from_slice(body.as_bytes()));
        Ok(Self { status, body, ..Self::default() })
    }
}

fn final_status(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(|_| (200..=599).contains(&status))
}

/// A response in JSON: `STATUS[:BODY]`, or an object.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"STATUS[:BODY]\", or {\"status\": …, \"headers\": {…}, \"body\": …}"
)]
enum Written {
    Short(String),
    Full(Full),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A text; any other JSON is itself the text.
    #[serde(default)]
    body: Option<Value>,
}

impl<'de> Deserialize<'de> for Canned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Written::deserialize(deserializer)? {
            Written::Short(text) => text.parse(),
            Written::Full(full) => full.try_into(),
        };
        read.map_err(D::Error::custom)
    }
}

impl TryFrom<Full> for Canned {
    type Error = String;

    fn try_from(Full { status, headers, body }: Full) -> Result<Self, String> {
        let status = final_status(status).ok_or("a status is from 200 to 599")?;
        let headers = headers.iter().map(|(name, value)| {
            let pair = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            pair.ok_or_else(|| format!("{name:?} is not a header"))
        });
        let body = match body {
            None => Bytes::new(),
            Some(Value::String(text)) => text.into(),
            Some(json) => json.to_string().into(),
        };
        Ok(Self { status, headers: headers.collect::<Result<_, _>>()?, body })
    }
}

impl Canned {
    /// The response. Its content type is JSON if the body is. A status without content has none (RFC 9110, section 15).
    fn answer(&self) -> Answer {
        if [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED]
            .contains(&self.status)
        {
            return Answer { status: self.status, headers: self.headers.clone(), body: Some(Bytes::new()) };
        }
        let mut headers = self.headers.clone();
        if !headers.contains_key(CONTENT_TYPE) && serde_json::from_slice::<IgnoredAny>(&self.body).is_ok() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Answer { status: self.status, headers, body: Some(self.body.clone()) }
    }
}

#[cfg(test)]
mod tests {
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
        let empty = canned("204").expect("possible").answer();
        assert_eq!((empty.body, empty.headers.len()), (Some(Bytes::new()), 0));
        assert_eq!(Canned::default().answer().headers["content-type"], "application/json");
        for wrong in ["", "20", "2000", "+20", "99", "100", "600", ":x", "ok"] {
            assert!(canned(wrong).is_err(), "{wrong}");
        }
    }
    #[test]
    fn responses_come_in_order_and_the_last_one_again() {
        let json = r#"["500", {"status": 429, "headers": {"Retry-After": "7"}, "body": {"wait": 7}}]"#;
        let list: Vec<Canned> = serde_json::from_str(json).expect("responses");
        let responses = Responses::from_iter(list);
        let statuses: Vec<_> = (0..3).map(|_| responses.next().status.as_u16()).collect();
        assert_eq!(statuses, [500, 429, 429]);
        let Answer { headers, body, .. } = responses.next();
        assert_eq!(
            (&headers["retry-after"], &headers["content-type"]),
            (&"7".parse().expect("a value"), &"application/json".parse().expect("a value"))
        );
        assert_eq!(body, Some("{\"wait\":7}".into()));
        assert_eq!(Responses::default().next().status, StatusCode::OK);
        for wrong in [
            "7",
            "\"x\"",
            r#"{"status": 99}"#,
            r#"{"status": 200, "x": 1}"#,
            r#"{"status": 200, "headers": {"a b": ""}}"#,
        ] {
            assert!(serde_json::from_str::<Canned>(wrong).is_err(), "{wrong}");
        }
    }
}
