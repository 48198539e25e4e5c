//! Problem documents (RFC 9457).

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// An error response: `application/problem+json` of type `about:blank`, titled after its status code.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    extensions: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with this status code and an explanation for the client's developer.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), extensions: Vec::new(), headers: Vec::new() }
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The explanation.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Sets a header of the response, replacing an earlier value of the same name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds an extension member to the document. `name` must not be a member that RFC 9457 defines.
    #[must_use]
    pub fn extension(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        debug_assert!(!["type", "title", "status", "detail", "instance"].contains(&name), "{name}");
        self.extensions.push((name, value.into()));
        self
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(4 + self.extensions.len()))?;
        members.serialize_entry("type", "about:blank")?;
        members.serialize_entry("title", self.status.canonical_reason().unwrap_or("Error"))?;
        members.serialize_entry("status", &self.status.as_u16())?;
        members.serialize_entry("detail", &self.detail)?;
        for (name, value) in &self.extensions {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let mut response = (self.status, [json], body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[test]
    fn members_keep_their_order_and_extensions_come_last() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "try later")
            .extension("delivery", "not-sent")
            .extension("attempt", 3);
        let text = serde_json::to_string(&problem).expect("JSON");
        assert_eq!(
            text,
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"try later","delivery":"not-sent","attempt":3}"#
        );
        assert_eq!((problem.status(), problem.detail()), (StatusCode::SERVICE_UNAVAILABLE, "try later"));
    }

    #[tokio::test]
    async fn the_response_has_status_media_type_and_headers() {
        let response = Problem::new(StatusCode::UNAUTHORIZED, "no token")
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            .into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let header = |name| response.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(header(header::CONTENT_TYPE), ["application/problem+json"]);
        assert_eq!(header(header::RETRY_AFTER), ["2"]);
        assert_eq!(header(header::WWW_AUTHENTICATE), ["Bearer"]);
        let body = to_bytes(response.into_body(), 1024).await.expect("body");
        let document: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(document["status"], 401);
    }

    #[test]
    fn a_status_without_a_standard_title_has_one_anyway() {
        let status = StatusCode::from_u16(599).expect("status");
        let document = serde_json::to_value(Problem::new(status, "odd")).expect("JSON");
        assert_eq!(document["title"], "Error");
    }
}
