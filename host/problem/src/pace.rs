//! The time in which the head of a request must arrive on a connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// The progress of the requests on a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Requests>>);

#[derive(Debug, Default)]
struct Requests {
    /// Beginnings and ends, counted together: odd while a request is in progress.
    count: usize,
    /// The task that waits for data.
    reader: Option<Waker>,
}

impl Progress {
    /// The head of a request has arrived, which is in progress while this exists.
    pub(crate) fn begin(&self) -> InProgress {
        self.0.lock().count += 1;
        InProgress(self.clone())
    }
}

/// A request in progress.
pub(crate) struct InProgress(Progress);

impl Drop for InProgress {
    fn drop(&mut self) {
        let mut requests = self.0.0.lock();
        requests.count += 1;
        // hyper waits for the next request from before the response on, without another read.
        if let Some(reader) = requests.reader.take() {
            reader.wake();
        }
    }
}

/// A connection on which reading fails if a request does not begin or its head does not end in time.
///
/// hyper has one timeout for both, from the previous response on.
pub(crate) struct PacedStream {
    stream: TcpStream,
    progress: Progress,
    /// The time for a request to begin after the previous response.
    idle: Duration,
    /// The time for a head to end after its beginning or, for the first one, after the connection.
    head: Duration,
    /// The count of `progress` for which `deadline` is set.
    set_for: usize,
    has_begun: bool,
    deadline: Pin<Box<Sleep>>,
}

impl PacedStream {
    pub(crate) fn new(stream: TcpStream, progress: Progress, idle: Duration, head: Duration) -> Self {
        let deadline = Box::pin(sleep(head));
        Self { stream, progress, idle, head, set_for: 0, has_begun: true, deadline }
    }

    fn expire_after(&mut self, timeout: Duration) {
        self.deadline.as_mut().reset(Instant::now() + timeout);
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = {
            let mut requests = self.progress.0.lock();
            if result.is_pending() {
                requests.reader = Some(context.waker().clone());
            }
            requests.count
        };
        if count % 2 == 1 {
            return result;
        }
        if self.set_for != count {
            self.set_for = count;
            self.has_begun = false;
            let idle = self.idle;
            self.expire_after(idle);
        }
        if result.is_pending() {
            ready!(self.deadline.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request arrived in time")));
        }
        if !self.has_begun && buffer.filled().len() > before {
            self.has_begun = true;
            let head = self.head;
            self.expire_after(head);
        }
        result
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
