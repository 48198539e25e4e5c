//! HTTP requests, which the host sends. The configuration grants each URL in `allow`. The host adds credentials.
//!
//! ```
//! use kafka_host_plugin::{Result, http::{self, Request}};
//!
//! fn stock(sku: String) -> Result<()> {
//!     let url = format!("https://stock.example.com/items/{}", http::encode(&sku));
//!     let item: serde_json::Value = Request::get(url).send()?.success()?.json()?;
//!     kafka_host_plugin::info!("{item}");
//!     Ok(())
//! }
//! ```
//!
//! GET, HEAD and OPTIONS are sent in every attempt. A request with another method is sent once per message, if the response
//! is 2xx and the message is done: see [`effects::keep`](crate::effects::keep). Redirects are not followed.

mod response;
#[cfg(target_family = "wasm")]
pub(crate) mod wasi;

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use serde::Serialize;

pub use self::response::Response;
use crate::{Failure, imports, reject, retry};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` and so on, in capital letters.
    pub method: String,
    /// `http(s)://host[:port][/path][?query]`.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The maximum time until the response begins, 8 s by default. A call has 10 s (`call-time`) unless the configuration
    /// gives it more.
    pub timeout: Duration,
}

/// The reason why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// No connection, or no response in time.
    Transient(String),
    /// The URL, the method or a header is invalid.
    Invalid(String),
    /// The host does not allow the request.
    Denied(String),
}

impl Request {
    /// A request without a body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { method, url, headers: vec![], body: vec![], timeout: Duration::from_secs(8) }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self.header("content-type", content_type) }
    }

    /// Sets the body, as JSON.
    ///
    /// # Panics
    /// The value has no JSON: a map whose keys are no texts, or an implementation of `Serialize` that fails.
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("the body can be written as JSON");
        self.body("application/json", body)
    }

    /// Sets the maximum time until the response begins.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends it and reads the whole response, whatever its status.
    ///
    /// # Errors
    /// There is no response. As a [`Failure`], a retry `http-transient`, or a rejection: `http-invalid`, or `http-denied`
    /// without a grant.
    pub fn send(&self) -> Result<Response, HttpError> {
        imports::http(self)
    }
}

impl Display for HttpError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (Self::Transient(detail) | Self::Invalid(detail) | Self::Denied(detail)) = self;
        f.write_str(detail)
    }
}

impl std::error::Error for HttpError {}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Transient(detail) => retry("http-transient", detail),
            HttpError::Invalid(detail) => reject("http-invalid", detail),
            HttpError::Denied(detail) => reject("http-denied", detail),
        }
    }
}

/// Encodes a text as a segment of a path, or as a name or value in a query: all but letters, digits and `-._~` as `%XX`.
///
/// The segments `.` and `..` stay as they are, and the host denies a request with them under a path that is granted.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a text takes everything"),
        }
    }
    encoded
}

/// Whether it is https, the authority, and the path with its query.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "tests send nothing"))]
fn split(url: &str) -> Option<(bool, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_https = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '\\');
    let is_url = !authority.is_empty() && !authority.contains('@') && rest.chars().all(is_plain);
    is_url.then_some((is_https, authority, path))
}

/// An invalid URL without its query, which may be a secret. Where a password ends in one is not known.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "tests send nothing"))]
fn shown(url: &str) -> &str {
    if url.contains('@') { "…" } else { &url[..url.find(['?', '#']).unwrap_or(url.len())] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, message};

    #[test]
    fn urls_are_split() {
        assert_eq!(split("https://api.example.com"), Some((true, "api.example.com", "")));
        assert_eq!(split("http://[::1]:80/a/b?c=d@e"), Some((false, "[::1]:80", "/a/b?c=d@e")));
        assert_eq!(split("http://a?c"), Some((false, "a", "?c")));
        for wrong in
            ["", "a.de", "ftp://a", "https://", "https:///a", "https://a/#x", "http://u@a", "http://a b"]
        {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn users_and_queries_are_not_shown() {
        assert_eq!(shown("https://a b/c?token=hush#x"), "https://a b/c");
        for url in
            ["https://kim:hush@a.de/", "kim:hush@a.de", "https://kim:h/ush@a.de/b", "https://kim:?hush@a.de"]
        {
            assert_eq!(shown(url), "…");
        }
    }

    #[test]
    fn texts_are_encoded_for_urls() {
        assert_eq!(encode("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(encode("../x?y=&#% 한"), "..%2Fx%3Fy%3D%26%23%25%20%ED%95%9C");
    }

    #[test]
    fn errors_become_failures() {
        for (error, failure) in [
            (HttpError::Transient("x".into()), retry("http-transient", "x")),
            (HttpError::Invalid("x".into()), reject("http-invalid", "x")),
            (HttpError::Denied("x".into()), reject("http-denied", "x")),
        ] {
            let mut host = Host::new().on_http(move |_| Err(error.clone()));
            let request =
                Request::post("http://a/b").header("a", "b").json(&1).timeout(Duration::from_secs(1));
            let send = move |_: u8| request.send().map(|_| ());
            assert_eq!(host.handle(send, &message(&1)), Err(failure));
            let [request] = &host.requests[..] else { panic!("{:?}", host.requests) };
            assert_eq!((&*request.method, &*request.url, &*request.body), ("POST", "http://a/b", &b"1"[..]));
            let headers = [("a", "b"), ("content-type", "application/json")];
            assert_eq!(request.headers, headers.map(|(name, value)| (name.into(), value.into())));
        }
    }
}
