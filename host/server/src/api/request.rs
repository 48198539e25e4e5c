//! Extractors and checks shared by the routes.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use base::clock;
use desk::audit::Actor;
use desk_api::{Filter, MAX_BODY_BYTES, MAX_REASON_CHARS, MAX_USER_CHARS, USER_HEADER};
use http_body_util::BodyExt as _;
use problem::Problem;
use problem::body::drain;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::query::bad_request;
use crate::{DeskState, Status};

/// The user's name if the request has none.
const DEFAULT_USER: &str = "api";
/// Limits of reading the rest of a body after an error.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_DRAIN_BYTES: usize = 64 << 20;
/// Timeout of a body; of each frame for large bodies.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

impl FromRequestParts<Status> for DeskState {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, status: &Status) -> Result<Self, Problem> {
        status.desk().cloned().ok_or_else(|| {
            let retry_after = HeaderValue::from_static("1");
            let detail = "the host is starting: it is connecting to Kafka, or loading plugins";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).header(header::RETRY_AFTER, retry_after)
        })
    }
}

/// The user named by the request. The name is not authenticated.
pub struct User(String);

impl User {
    /// The user as actor, with a reason that may be empty.
    ///
    /// # Errors
    /// 400: the reason is too long.
    pub fn actor<'a>(&'a self, reason: &'a str) -> Result<Actor<'a>, Problem> {
        if reason.chars().count() > MAX_REASON_CHARS {
            return Err(bad_request(format!("reason: at most {MAX_REASON_CHARS} characters")));
        }
        Ok(Actor { name: &self.0, reason, now_ms: clock::now_ms() })
    }
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(name) = parts.headers.get(USER_HEADER) else { return Ok(Self(DEFAULT_USER.to_owned())) };
        let name = String::from_utf8_lossy(name.as_bytes()).trim().to_owned();
        match name.chars().count() {
            0 => Ok(Self(DEFAULT_USER.to_owned())),
            1..=MAX_USER_CHARS => Ok(Self(name)),
            _ => Err(bad_request(format!("Host-User: at most {MAX_USER_CHARS} characters"))),
        }
    }
}

/// An id in a path, unchecked.
pub struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|_| bad_request("the path: an id is 1 to 32 hexadecimal digits"))
    }
}

/// A plugin's name in a path.
pub struct PathName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name)).map_err(|_| bad_request("the path: the plugin's name is not UTF-8"))
    }
}

/// A JSON object as body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !has_media_type(request.headers(), "application/json") {
            let detail = "the body must be JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let body = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY_BYTES)).await;
        let body = body.map_err(|_| body_timeout())?.map_err(|_| {
            let detail = format!("the body is larger than {} MiB, or incomplete", MAX_BODY_BYTES >> 20);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        })?;
        // serde would accept an array of the fields.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(bad_request("the body: not a JSON object"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| bad_request(format!("the body: {error}")))
    }
}

/// Reads a large body.
///
/// # Errors
/// The body is larger than `max_bytes`, incomplete, or stalls.
pub async fn read_body(body: &mut Body, max_bytes: usize, purpose: &str) -> Result<Vec<u8>, Problem> {
    let read = read_frames(body, max_bytes, purpose).await;
    if read.is_err() {
        // Many clients read the response only after they have sent the whole body.
        drain(body, MAX_DRAIN_BYTES, DRAIN_TIMEOUT).await;
    }
    read
}

async fn read_frames(body: &mut Body, max_bytes: usize, purpose: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(frame) = timeout(BODY_TIMEOUT, body.frame()).await.map_err(|_| body_timeout())? {
        let frame = frame.map_err(|_| bad_request("the body is incomplete"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > max_bytes {
            let detail = format!("at most {} MiB for {purpose}", max_bytes >> 20);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn body_timeout() -> Problem {
    let detail = format!("no data received for {} s", BODY_TIMEOUT.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

/// Refuses invalid filters, and changes to every dead letter by mistake.
///
/// # Errors
/// 400: the filter is invalid, or empty without `all`.
pub fn check_filter(filter: &Filter, all: bool) -> Result<(), Problem> {
    filter.check().map_err(bad_request)?;
    if filter.is_unrestricted() && !all {
        let detail = "the filter is empty and matches every dead letter; confirm with \"all\": true";
        return Err(bad_request(detail));
    }
    Ok(())
}

/// Refuses an empty reason.
///
/// # Errors
/// 400: it is empty.
pub fn require_reason(reason: &str) -> Result<&str, Problem> {
    if reason.trim().is_empty() { Err(bad_request("reason: required")) } else { Ok(reason) }
}

/// Whether the body has this media type.
pub fn has_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case(expected)
}
