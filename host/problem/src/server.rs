//! An HTTP/1 server with bounds, and its graceful shutdown.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use base::throttle::Throttle;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::body::BoundedBody;
use crate::pace::{PacedStream, Progress};

/// The minimum of `max_header_bytes` that hyper accepts.
const MIN_HEADER_BYTES: usize = 8 * 1024;
/// Pause after a failed accept, for file descriptors to be released.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Bounds on the resources that clients use. None of them limits the duration of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections, at least 1; more wait in the listener's backlog.
    pub max_connections: usize,
    /// Time from the connection, or from the beginning of a later request, to the end of its headers; the
    /// connection is then closed without a response.
    pub header_timeout: Duration,
    /// Time from a response to the beginning of the next request; the connection is then closed.
    pub idle_timeout: Duration,
    /// Size of the request line and headers in bytes, at least 8 KiB; more is answered with 431.
    pub max_header_bytes: usize,
    /// Time between two parts of a request body while the handler waits for it; reading then fails.
    pub body_timeout: Duration,
    /// Time for requests in progress to finish after shutdown has begun.
    pub drain_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(30),
            // Load balancers keep connections for 60 s. They must be the first to close one, or they send a request
            // on a connection that is being closed.
            idle_timeout: Duration::from_secs(75),
            max_header_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves `router` on `listener` until `shutdown` completes, then closes the listener and idle connections
/// and waits for requests in progress, at most for `bounds.drain_timeout`.
///
/// Returns the number of connections that are still open. They are served until the runtime ends.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: impl Future<Output = ()>,
) -> usize {
    let connections =
        Connections { bounds, router, open: TaskTracker::new(), stop: CancellationToken::new() };
    tokio::select! {
        never = connections.accept(listener) => match never {},
        () = shutdown => {}
    }
    connections.stop.cancel();
    connections.open.close();
    let _ = tokio::time::timeout(bounds.drain_timeout, connections.open.wait()).await;
    connections.open.len()
}

struct Connections {
    bounds: Bounds,
    router: Router,
    open: TaskTracker,
    stop: CancellationToken,
}

impl Connections {
    async fn accept(&self, listener: TcpListener) -> Infallible {
        let free = Arc::new(Semaphore::new(self.bounds.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // `PacedStream` has both timeouts.
            .header_read_timeout(None)
            .max_buf_size(self.bounds.max_header_bytes.max(MIN_HEADER_BYTES));
        let mut warning = Throttle::new(WARNING_INTERVAL);
        loop {
            let permit = Arc::clone(&free).acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, _)) => {
                    self.open.spawn(self.connection(&http, stream, permit));
                }
                Err(error) if is_closed_by_client(&error) => tracing::debug!("a connection ended: {error}"),
                Err(error) => {
                    // Out of file descriptors, most likely: connections that end release some.
                    if warning.is_due() {
                        tracing::warn!("cannot accept a connection: {error}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connection(
        &self,
        http: &http1::Builder,
        stream: TcpStream,
        permit: Option<OwnedSemaphorePermit>,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Small responses must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let Bounds { body_timeout, header_timeout, idle_timeout, .. } = self.bounds;
        let progress = Progress::default();
        let stream = PacedStream::new(stream, progress.clone(), idle_timeout, header_timeout);
        let (begun, answered) = (progress.clone(), progress);
        let service = self.router.clone().map_request(move |request: Request<Incoming>| {
            begun.begin();
            request.map(|body| Body::new(BoundedBody::new(body, body_timeout)))
        });
        let service =
            service.map_response(move |response: Response| response.map(|body| answered.ends_with(body)));
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let stop = self.stop.clone();
        async move {
            let _permit = permit;
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!("a connection ended: {error}");
            }
        }
    }
}

/// Whether accept failed because the client closed its connection.
fn is_closed_by_client(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
