//! The service on a listener, and its shutdown without losing a message.

use std::time::Duration;

use anyhow::Context;
use problem::server::{self, Bounds};
use tokio::net::TcpListener;

use crate::api::router;
use crate::publisher::Publisher;
use crate::settings::Settings;
use crate::watch::watch;

/// Requests in progress at shutdown may still have to read a body and wait for Kafka's confirmation.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the API on `listener` until `shutdown` completes. Then finishes the requests in progress and
/// flushes messages that Kafka has not confirmed yet, within 25 seconds.
///
/// # Errors
/// A setting is invalid, or Kafka did not confirm all messages before the end. An unreachable Kafka is not an
/// error.
pub async fn serve(
    listener: TcpListener,
    settings: &Settings,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let publisher = Publisher::new(settings)?;
    let watch = tokio::spawn(watch(publisher.clone(), settings.create_topics));
    let bounds = Bounds { max_connections: 4096, drain_timeout: DRAIN_TIMEOUT, ..Bounds::default() };
    let open = server::serve(listener, router(publisher.clone()), bounds, shutdown).await;
    if open > 0 {
        tracing::warn!("{open} connections were still open after {DRAIN_TIMEOUT:?}");
    }
    watch.abort();
    tokio::task::spawn_blocking(move || publisher.flush(FLUSH_TIMEOUT))
        .await?
        .context("Kafka did not confirm all messages before shutdown")
}
