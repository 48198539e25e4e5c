//! Reading a request body within bounds of size, time and memory.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use problem::Problem;
use problem::body::{ReadError, drain, next};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::publisher::Delivery;
use crate::refusal;
use crate::settings::MAX_BODY_BYTES;

const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Bodies up to this size need no permit.
const SMALL_BYTES: usize = 64 * 1024;
/// How much of an oversized body is read, so that its client gets to see the response.
const MAX_DRAIN_BYTES: usize = 8 * MAX_BODY_BYTES;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Permits for bodies over 64 KiB: together they take at most 64 MiB of memory.
pub(crate) fn large_bodies() -> Semaphore {
    Semaphore::new(64)
}

/// Reads the whole body.
///
/// # Errors
/// 413 if it exceeds 1 MiB, 408 if it takes more than 10 seconds, 400 if it is incomplete, 503 if too many
/// large bodies are being read.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, large: &Semaphore) -> Result<Bytes, Problem> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > MAX_BODY_BYTES {
        // A client that waits for 100 Continue has not sent anything yet.
        if declared <= MAX_DRAIN_BYTES && !headers.contains_key(header::EXPECT) {
            drain(&mut body, declared, DRAIN_TIMEOUT).await;
        }
        return Err(too_large());
    }
    let deadline = Instant::now() + READ_TIMEOUT;
    let first = next(&mut body, deadline).await.map_err(unread)?.unwrap_or_default();
    if body.is_end_stream() {
        return if first.len() > MAX_BODY_BYTES { Err(too_large()) } else { Ok(first) };
    }
    let mut permit = None;
    let mut whole = Vec::with_capacity(declared.clamp(first.len(), SMALL_BYTES));
    let mut data = first;
    loop {
        let length = whole.len() + data.len();
        if length > MAX_BODY_BYTES {
            drain(&mut body, MAX_DRAIN_BYTES, DRAIN_TIMEOUT).await;
            return Err(too_large());
        }
        if permit.is_none() && length > SMALL_BYTES {
            permit = Some(large.try_acquire().map_err(|_| {
                refusal::unavailable(Delivery::NotSent, "too many large requests are being read")
            })?);
        }
        whole.extend_from_slice(&data);
        match next(&mut body, deadline).await.map_err(unread)? {
            Some(more) => data = more,
            None => return Ok(whole.into()),
        }
    }
}

fn unread(error: ReadError) -> Problem {
    match error {
        ReadError::TimedOut => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 seconds")
        }
        ReadError::Incomplete => Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete"),
    }
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body exceeds 1 MiB")
}
