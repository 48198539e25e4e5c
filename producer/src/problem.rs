//! Problem documents (RFC 9457).

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::publisher::{Delivery, PublishError};

/// Why a request was not done, as the client reads it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    delivery: Option<Delivery>,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery>,
}

impl Problem {
    /// With this status, and what went wrong in words.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), delivery: None, header: None }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// 503 with where the message is, and when to come back.
    pub(crate) fn unavailable(delivery: Delivery, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"));
        problem.delivery = Some(delivery);
        problem
    }
}

impl From<messages::Invalid> for Problem {
    fn from(invalid: messages::Invalid) -> Self {
        let detail = match invalid {
            messages::Invalid::Missing(_, text) => Cow::Borrowed(text),
            messages::Invalid::Malformed(text) => Cow::Owned(format!("the body is no message: {text}")),
        };
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLarge => {
                let mut problem = Self::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the message is larger than its Kafka topic takes",
                );
                problem.delivery = Some(Delivery::NotSent);
                problem
            }
            PublishError::Unavailable { delivery, reason } => Self::unavailable(delivery, reason),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            delivery: self.delivery,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let mut response = (self.status, [json], body).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
