//! Reading a request body against a deadline.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep, timeout_at};

/// The reason why a body could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// The connection broke, or the encoding is malformed.
    #[error("the body is incomplete")]
    Incomplete,
}

/// The next data of `body`; `None` at its end. Trailers are skipped.
///
/// # Errors
/// The data has not arrived by `deadline`, or the body is incomplete.
pub async fn next(body: &mut Body, deadline: Instant) -> Result<Option<Bytes>, ReadError> {
    loop {
        match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(ReadError::TimedOut),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => {
                let stalled = error.into_inner().is::<Stalled>();
                return Err(if stalled { ReadError::TimedOut } else { ReadError::Incomplete });
            }
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Discards the rest of `body` until its end, `max_bytes` or `timeout`.
///
/// Otherwise the connection is closed while the client is sending, and the client does not receive the response.
pub async fn drain(body: &mut Body, max_bytes: usize, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let mut left = max_bytes;
    while let Ok(Some(data)) = next(body, deadline).await {
        let Some(rest) = left.checked_sub(data.len()) else { return };
        left = rest;
    }
}

/// A body that fails if the client sends no data for `timeout`.
///
/// tower-http's `TimeoutBody` does the same but hides the size hint and the end of the stream.
pub(crate) struct BoundedBody {
    body: Incoming,
    timeout: Duration,
    /// Runs only while the reader waits for the client.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl BoundedBody {
    pub(crate) fn new(body: Incoming, timeout: Duration) -> Self {
        Self { body, timeout, waiting: None }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no data of the body arrived for {0:?}")]
struct Stalled(Duration);

impl HttpBody for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let timeout = self.timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(timeout)));
        waiting.as_mut().poll(context).map(|()| Some(Err(Stalled(timeout).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that keeps `guard` until its end.
pub(crate) fn held_by<G: Send + Unpin + 'static>(body: Body, guard: G) -> Body {
    Body::new(HeldBody { body, _guard: guard })
}

struct HeldBody<G> {
    body: Body,
    _guard: G,
}

impl<G: Unpin> HttpBody for HeldBody<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
