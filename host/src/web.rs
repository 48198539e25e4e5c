//! Health checks over HTTP.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::kafka::health::Health;
use crate::metrics;

/// The members whose health is asked for, once there are any.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<OnceLock<Vec<Arc<Health>>>>);

impl Status {
    /// From now on these members count; only the first call has an effect.
    pub fn started(&self, members: Vec<Arc<Health>>) {
        let _ = self.0.set(members);
    }
}

/// Answers `/livez` (its threads do their rounds), `/readyz` (every group has been joined) and
/// `/metrics` (Prometheus).
pub fn router(status: Status) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .with_state(status)
}

async fn prometheus() -> ([(HeaderName, &'static str); 1], String) {
    let text = metrics::start().map(|handle| handle.render()).unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// Serves until `stop` completes.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    tokio::spawn(metrics::upkeep());
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn livez(State(Status(members)): State<Status>) -> (StatusCode, &'static str) {
    if members.get().is_none_or(|members| members.iter().all(|member| member.is_alive())) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a consumer group's member cannot go on; see the log\n")
    }
}

async fn readyz(State(Status(members)): State<Status>) -> (StatusCode, &'static str) {
    if members.get().is_some_and(|members| members.iter().all(|member| member.is_joined())) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not every consumer group has been joined\n")
    }
}
