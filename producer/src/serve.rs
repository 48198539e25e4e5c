//! Accepting connections, and ending without losing one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::router;
use crate::publisher::Publisher;
use crate::settings::Settings;
use crate::watch::watch;

/// Connections held at a time; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4096;
/// A request's head, or the pause between two requests of a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Requests under way at the end, reading their bodies and Kafka's confirmation included.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the API on `listener` until `shutdown` is done, then finishes the requests under way and
/// what Kafka has not confirmed yet, within 25 seconds.
///
/// # Errors
/// A [`Failure`](crate::Failure) where a setting is wrong; Kafka being away is none.
pub async fn serve(
    listener: TcpListener,
    settings: &Settings,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let publisher = Publisher::new(settings)?;
    let watch = tokio::spawn(watch(publisher.clone(), settings.create_topics));
    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let accept = accept(listener, router(publisher.clone()), &connections, &stop);
    tokio::select! {
        never = accept => match never {},
        () = shutdown => {}
    }
    stop.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!("{} connections were still open after {DRAIN_TIMEOUT:?}", connections.len());
    }
    watch.abort();
    tokio::task::spawn_blocking(move || publisher.flush(FLUSH_TIMEOUT))
        .await?
        .context("some messages were not confirmed by Kafka before the end")
}

async fn accept(
    listener: TcpListener,
    router: Router,
    connections: &TaskTracker,
    stop: &CancellationToken,
) -> Infallible {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
    loop {
        let permit = Arc::clone(&free).acquire_owned().await.ok();
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(http.clone(), stream, router.clone(), stop.clone(), permit));
            }
            Err(error) => {
                // Out of file descriptors, most likely: they come back as connections end.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    http: http1::Builder,
    stream: TcpStream,
    router: Router,
    stop: CancellationToken,
    _permit: Option<OwnedSemaphorePermit>,
) {
    // An answer is one small packet that nothing follows.
    let _ = stream.set_nodelay(true);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
