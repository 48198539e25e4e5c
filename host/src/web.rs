//! Health checks over HTTP.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::kafka::group::Health;

/// The members whose health is asked for.
type Members = Arc<Vec<Arc<Health>>>;

/// Answers `/livez` (its threads do their rounds) and `/readyz` (every group has been joined).
pub fn router(members: Vec<Arc<Health>>) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(Arc::new(members))
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
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

async fn livez(State(members): State<Members>) -> (StatusCode, &'static str) {
    if members.iter().all(|member| member.is_alive()) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a consumer group's thread does not answer\n")
    }
}

async fn readyz(State(members): State<Members>) -> (StatusCode, &'static str) {
    if members.iter().all(|member| member.is_joined()) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not every consumer group has been joined\n")
    }
}
