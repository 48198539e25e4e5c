//! Health checks over HTTP, the desk's API and its console.

pub mod api;
pub mod console;
pub mod guard;
pub mod metrics;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use desk::Desk;
use desk::alerts::Alerts;
use desk::replay::Replayer;
use desk::trial::Trials;
use kafka::health::Health;
use problem::server::Bounds;
use tokio::net::TcpListener;

/// What is known of the host once it has started.
#[derive(Clone, Default)]
pub struct Status(Arc<Known>);

#[derive(Default)]
struct Known {
    /// The members whose health is asked for.
    members: OnceLock<Vec<Arc<Health>>>,
    office: OnceLock<Office>,
}

impl Status {
    /// From now on these members count; only the first call has an effect.
    pub fn started(&self, members: Vec<Arc<Health>>) {
        let _ = self.0.members.set(members);
    }

    /// From now on the desk is answered for; only the first call has an effect.
    pub fn opened(&self, office: Office) {
        let _ = self.0.office.set(office);
    }

    /// The desk and what it needs, once the host has started.
    pub fn office(&self) -> Option<&Office> {
        self.0.office.get()
    }
}

/// The desk and what it needs to know of the host around it.
#[derive(Clone)]
pub struct Office {
    /// The letters.
    pub desk: Desk,
    /// What this host runs.
    pub plugins: Arc<[Served]>,
    /// Sends letters back.
    pub replayer: Replayer,
    /// Tells people; None where nobody is to be told.
    pub alerts: Option<Alerts>,
    /// Tries builds on letters.
    pub trials: Trials,
}

/// A plugin that this host runs.
#[derive(Debug, Clone)]
pub struct Served {
    /// The name it is counted under.
    pub name: Arc<str>,
    /// name@version
    pub label: String,
    /// The topic it handles.
    pub topic: String,
    /// Its consumer group.
    pub group: String,
    /// The group that reads its retry topics.
    pub retry_group: String,
    /// Its retry topics, the shortest delay first.
    pub retry_topics: Vec<String>,
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

/// How long requests in progress may take once the host stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves until `stop` completes; a client that keeps its connection open does not keep the process.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(metrics::upkeep());
    let bounds = Bounds { drain_timeout: DRAIN, ..Bounds::default() };
    problem::server::serve(listener, router, bounds, stop).await;
}

async fn livez(State(Status(known)): State<Status>) -> (StatusCode, &'static str) {
    if known.members.get().is_none_or(|members| members.iter().all(|member| member.is_alive())) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a consumer group's member cannot go on; see the log\n")
    }
}

async fn readyz(State(Status(known)): State<Status>) -> (StatusCode, &'static str) {
    if known.members.get().is_some_and(|members| members.iter().all(|member| member.is_joined())) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not every consumer group has been joined\n")
    }
}
