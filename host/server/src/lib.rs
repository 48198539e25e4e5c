//! The host's HTTP server: health checks, metrics and the API, which the console uses too.

pub mod api;
pub mod guard;
pub mod health;
pub mod held_keys;
pub mod history;
pub mod ids;
pub mod metrics;
pub mod partitions;
pub mod plugins;
pub mod remarks;
pub mod topics;
pub mod waiting;

pub use self::held_keys::PluginKeys;
pub use self::waiting::PluginWaiting;

use std::future::Future;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use consumer::{Gate, Pipeline};
use desk::Desk;
use desk::alerts::Alerts;
use desk::pauses::Pauses;
use desk::replay::Replayer;
use desk_api::SettingTable;
use destinations::Destinations;
use kafka::health::Health;
use kafka_topics::topic_settings::Known;
use parking_lot::Mutex;
use problem::server::Bounds;
use sandbox::call::Services;
use tokio::net::TcpListener;
use trials::Trials;

use self::history::History;
pub use self::topics::{GroupInquiry, group_inquiry};

/// The host's state, as known to the HTTP server. Empty until the host has started. Clones share it.
#[derive(Clone, Default)]
pub struct Status(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The addresses of Kafka's brokers.
    kafka: OnceLock<String>,
    /// The consumer group members that are checked.
    members: OnceLock<Vec<Arc<Health>>>,
    /// The destinations of effects and their store, which are reported and not checked: what waits for one continues by
    /// itself.
    services: OnceLock<Arc<Services>>,
    /// The gates of the plugins, which are reported and not checked: a pause is what a person wants.
    gates: OnceLock<Vec<Arc<Gate>>>,
    desk: OnceLock<DeskState>,
}

impl Status {
    /// Sets the members that are checked. Only the first call has an effect.
    pub fn set_members(&self, members: Vec<Arc<Health>>) {
        let _ = self.0.members.set(members);
    }

    /// The members, none before they are set.
    pub fn members(&self) -> &[Arc<Health>] {
        self.0.members.get().map_or(&[], Vec::as_slice)
    }

    /// Sets the addresses of Kafka's brokers. Only the first call has an effect.
    pub fn set_kafka(&self, servers: &str) {
        let _ = self.0.kafka.set(servers.to_owned());
    }

    /// Sets the services whose destinations and store are reported. Only the first call has an effect.
    pub fn set_services(&self, services: Arc<Services>) {
        let _ = self.0.services.set(services);
    }

    /// The state of each destination of effects.
    pub fn destinations(&self) -> Vec<destinations::Status> {
        self.0.services.get().iter().flat_map(|it| it.destinations.all()).map(|one| one.status()).collect()
    }

    /// Sets the gates that are reported. Only the first call has an effect.
    pub fn set_gates(&self, gates: Vec<Arc<Gate>>) {
        let _ = self.0.gates.set(gates);
    }

    /// The gates of the plugins; none until the host has started.
    pub fn gates(&self) -> &[Arc<Gate>] {
        self.0.gates.get().map_or(&[], Vec::as_slice)
    }

    /// Sets the desk that the API and the console serve. Only the first call has an effect.
    pub fn set_desk(&self, desk: DeskState) {
        let _ = self.0.desk.set(desk);
    }

    /// The desk; None until the host has started.
    pub fn desk(&self) -> Option<&DeskState> {
        self.0.desk.get()
    }
}

/// The desk, and the parts of the host that its API and console use.
#[derive(Clone)]
pub struct DeskState {
    /// The dead letters.
    pub desk: Desk,
    /// The host's plugins.
    pub plugins: Arc<[PluginInfo]>,
    /// The consumer group members of the plugins.
    pub members: Arc<[Arc<Health>]>,
    /// The destinations of effects.
    pub destinations: Destinations,
    /// Previews replays and wakes their worker.
    pub replayer: Replayer,
    /// Alerts; None if none are configured.
    pub alerts: Option<Alerts>,
    /// Trials of new builds.
    pub trials: Trials,
    /// Pauses of plugins.
    pub pauses: Pauses,
    /// The held keys of the plugins that hold any.
    pub held_keys: Arc<[PluginKeys]>,
    /// The retries of the plugins that have retry topics.
    pub waiting: Arc<[PluginWaiting]>,
    /// The effective configuration.
    pub settings: Arc<[SettingTable]>,
    /// The settings of the plugins' topics in Kafka.
    pub topic_settings: Arc<Mutex<Known>>,
    /// Asks for the members of the plugins' consumer groups.
    pub groups: GroupInquiry,
    /// What the plugins did in the last hour and the last day.
    pub history: Arc<History>,
}

/// A plugin of this host.
#[derive(Clone)]
pub struct PluginInfo {
    /// The plugin's name in metrics.
    pub name: Arc<str>,
    /// name@version
    pub label: String,
    /// The plugin's topic.
    pub topic: String,
    /// The plugin's consumer group.
    pub group: String,
    /// The consumer group of its retry topics.
    pub retry_group: String,
    /// The retry topics, shortest delay first.
    pub retry_topics: Vec<String>,
    /// Runs the plugin; nothing if nothing does. The server outlives the pipelines, whose end is the end of their outcomes.
    pub pipeline: Weak<Pipeline>,
}

/// Serves `/livez` (the consumer threads are running), `/readyz` (every consumer group has been joined) and
/// `/metrics` (Prometheus).
pub fn router(status: Status) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .with_state(status)
}

async fn prometheus() -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render())
}

/// How long requests in progress may take once the host stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves until `stop` completes; a client that keeps its connection open does not keep the process.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(metrics::upkeep());
    let bounds = Bounds { drain_timeout: DRAIN, ..Bounds::default() };
    problem::server::serve(listener, router, bounds, stop).await;
}

async fn livez(State(Status(status)): State<Status>) -> (StatusCode, &'static str) {
    if status.members.get().is_none_or(|members| members.iter().all(|member| member.is_alive())) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a consumer group member has failed; see the log\n")
    }
}

async fn readyz(State(status): State<Status>) -> (StatusCode, String) {
    let is_joined = |members: &Vec<Arc<Health>>| members.iter().all(|member| member.is_joined());
    if !status.0.members.get().is_some_and(is_joined) {
        let text = "not every consumer group has been joined yet\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    }
    let (code, first) = match health::outage(status.members()) {
        Some(outage) => (StatusCode::SERVICE_UNAVAILABLE, remarks::away(&status, &outage)),
        None => (StatusCode::OK, "ok".to_owned()),
    };
    let lines: Vec<_> = [first].into_iter().chain(remarks::of(&status)).collect();
    (code, lines.join("\n") + "\n")
}
