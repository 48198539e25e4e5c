//! Reading a request's body within bounds of size, time and memory.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;
use crate::publisher::Delivery;
use crate::settings::MAX_BODY;

const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// A body up to this size needs no permit, in bytes.
const SMALL: usize = 64 * 1024;
/// How much of a body that is too large is still read, so that its client reads our answer.
const DRAINED: usize = 8 * MAX_BODY;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Permits for bodies over 64 KiB: at most 64 MiB of them are held at a time.
pub(crate) fn large_bodies() -> Semaphore {
    Semaphore::new(64)
}

/// Reads the whole body.
///
/// # Errors
/// 413 over 1 MiB, 408 after 10 seconds, 400 where the client broke off, 503 where too many large
/// bodies are being read.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, large: &Semaphore) -> Result<Bytes, Problem> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > MAX_BODY {
        // A client that waits to be told to go on has sent nothing yet.
        if declared <= DRAINED && !headers.contains_key(header::EXPECT) {
            drain(body, declared).await;
        }
        return Err(too_large());
    }
    let deadline = Instant::now() + READ_TIMEOUT;
    let first = next(&mut body, deadline).await?.unwrap_or_default();
    if body.is_end_stream() {
        return if first.len() > MAX_BODY { Err(too_large()) } else { Ok(first) };
    }
    let mut permit = None;
    let mut whole = Vec::with_capacity(declared.clamp(first.len(), SMALL));
    let mut data = first;
    loop {
        if whole.len() + data.len() > MAX_BODY {
            drain(body, DRAINED).await;
            return Err(too_large());
        }
        if permit.is_none() && whole.len() + data.len() > SMALL {
            permit = Some(large.try_acquire().map_err(|_| {
                Problem::unavailable(Delivery::NotSent, "too many large requests are being read")
            })?);
        }
        whole.extend_from_slice(&data);
        match next(&mut body, deadline).await? {
            Some(more) => data = more,
            None => return Ok(whole.into()),
        }
    }
}

/// The body's next bytes; `None` at its end.
async fn next(body: &mut Body, deadline: Instant) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = timeout_at(deadline, body.frame())
            .await
            .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s"))?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
            Some(Ok(frame)) => {
                // Trailers say nothing here.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn drain(mut body: Body, most: usize) {
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    let mut left = most;
    while let Ok(Some(data)) = next(&mut body, deadline).await {
        let Some(rest) = left.checked_sub(data.len()) else { return };
        left = rest;
    }
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB")
}
