//! What requests have in common: the desk they ask, who asks, a body.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use base::clock;
use desk::Filter;
use desk::actions::By;
use http_body_util::BodyExt as _;
use problem::Problem;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::query::bad;
use crate::{Office, Status};

/// Who asks, in words of their own.
pub const HOST_USER: &str = "host-user";
/// Who asks where nobody says.
const NOBODY: &str = "api";
/// The longest name of who asks, in characters.
const LONGEST_NAME: usize = 64;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;
/// The largest body but an import's, in bytes.
const LARGEST: usize = 2 << 20;
/// For how long, and how many bytes, a body is read whose answer is known already.
const DRAIN: (Duration, usize) = (Duration::from_secs(5), 64 << 20);
/// How long a body may take to arrive; an import: its next part.
const ARRIVAL: Duration = Duration::from_secs(30);

/// The office, once the host has started.
pub struct Open(pub Office);

impl FromRequestParts<Status> for Open {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, status: &Status) -> Result<Self, Problem> {
        status.office().cloned().map(Self).ok_or_else(|| {
            let soon = HeaderValue::from_static("1");
            let detail = "the host is starting: it waits for Kafka, or loads its plugins";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).header(header::RETRY_AFTER, soon)
        })
    }
}

/// Who asks: nobody checks it, so it is a claim.
pub struct Who(String);

impl Who {
    /// With a reason, which may be empty.
    ///
    /// # Errors
    /// 400: it is too long.
    pub fn because<'a>(&'a self, reason: &'a str) -> Result<By<'a>, Problem> {
        if reason.chars().count() > LONGEST_REASON {
            return Err(bad(format!("reason: at most {LONGEST_REASON} characters")));
        }
        Ok(By { who: &self.0, reason, now_ms: clock::now_ms() })
    }
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(name) = parts.headers.get(HOST_USER) else { return Ok(Self(NOBODY.to_owned())) };
        let name = String::from_utf8_lossy(name.as_bytes()).trim().to_owned();
        match name.chars().count() {
            0 => Ok(Self(NOBODY.to_owned())),
            1..=LONGEST_NAME => Ok(Self(name)),
            _ => Err(bad(format!("Host-User: at most {LONGEST_NAME} characters"))),
        }
    }
}

/// An id in a path, as it was written: it may be none.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id)).map_err(|_| bad("the path: an id is 1 to 32 hexadecimal digits"))
    }
}

/// A body in JSON.
pub struct Said<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_media(request.headers(), "application/json") {
            let detail = "the body must be JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let body = timeout(ARRIVAL, to_bytes(request.into_body(), LARGEST)).await.map_err(|_| late())?;
        let body = body.map_err(|_| {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body broke off, or is larger than 2 MiB")
        })?;
        // serde would take an array for the fields in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(bad("the body: not a JSON object"));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| bad(format!("the body: {error}")))
    }
}

/// A large body, all of it.
///
/// # Errors
/// It is larger than `largest`, in bytes; or it stops arriving.
pub async fn whole(body: &mut Body, largest: usize, what: &str) -> Result<Vec<u8>, Problem> {
    let read = read(body, largest, what).await;
    if read.is_err() {
        let _ = timeout(DRAIN.0, drain(body)).await;
    }
    read
}

async fn read(body: &mut Body, largest: usize, what: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(frame) = timeout(ARRIVAL, body.frame()).await.map_err(|_| late())? {
        let frame = frame.map_err(|_| bad("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > largest {
            let detail = format!("{} MiB at most for {what}", largest >> 20);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Who is still sending reads the answer only then.
async fn drain(body: &mut Body) {
    let mut left = DRAIN.1;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |data| data.len())) else { return };
        left = rest;
    }
}

/// 408: a body stopped arriving.
fn late() -> Problem {
    let detail = format!("nothing more of the body arrived for {} s", ARRIVAL.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

/// Refuses what would be done to all letters by oversight.
///
/// # Errors
/// 400: the filter cannot be meant, or is empty without `all`.
pub fn some(filter: &Filter, all: bool) -> Result<(), Problem> {
    filter.check().map_err(bad)?;
    if filter.is_any() && !all {
        return Err(bad("the filter is empty, and so means every letter: say which, or say \"all\": true"));
    }
    Ok(())
}

/// Refuses what needs a reason and has none.
///
/// # Errors
/// 400: it has none.
pub fn reasoned(reason: &str) -> Result<&str, Problem> {
    if reason.trim().is_empty() { Err(bad("reason: say why")) } else { Ok(reason) }
}

/// Whether the body is said to be of this type.
pub fn is_media(headers: &HeaderMap, wanted: &str) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case(wanted)
}
