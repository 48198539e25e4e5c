//! The application: starts all parts of a host, runs them until a signal, and drains them.

mod alerts;
mod http_server;
mod intake;
mod plugin;
mod replay;
mod start;
mod store;
mod summary;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::{Duration, Instant};

use axum::Router;
use base::error::UserError;
use base::stderr;
use cli::layers::Origins;
use consumer::Subscriber;
use consumer::bounds::{self, SEND_BOUND};
use desk::Desk;
use desk::alerts::Alerts;
use desk::pauses::Pauses;
use desk::replay::ReplayTasks;
use desk_api::SettingTable;
use kafka::health::Health;
use kafka_topics::topic_settings::Known;
use kafka_topics::topic_watch;
use parking_lot::Mutex;
use sandbox::call::Services;
use server::guard;
use settings::{KafkaArgs, RunArgs};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use trials::{InstalledPlugin, Trials};

use crate::signals::Signals;

pub use self::http_server::Server;
use self::intake::Intakes;
use self::plugin::{METADATA_REFRESH, RunningPlugin, consumer_config};

/// The interval at which the members are looked at.
const LOST_INTERVAL: Duration = Duration::from_millis(250);

/// Runs plugins until SIGTERM or Ctrl-C, then drains.
///
/// # Errors
/// The arguments are invalid, or Kafka or the store is unreachable.
pub async fn run(args: RunArgs, origins: &Origins, mut signals: Signals) -> anyhow::Result<()> {
    let started = Instant::now();
    let listener = bind(args.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let server = Server::start(listener, guard::access(&args, address)?, Router::new());
    let args = Arc::new(args);
    let Some(app) = App::start(&args, origins, &mut signals).await? else { return Ok(()) };
    stderr::line(app.summary(&args, address));
    let ready = move || {
        let seconds = started.elapsed().as_secs_f64();
        stderr::line(format_args!("Ready in {seconds:.1} s. Ctrl-C drains and stops."));
    };
    app.run(server, signals, ready).await
}

/// The running parts of a host.
pub struct App {
    running: Vec<RunningPlugin>,
    services: Arc<Services>,
    desk: Option<Desk>,
    intakes: Option<Intakes>,
    replay: Option<ReplayTasks>,
    trials: Option<Trials>,
    alerts: Option<Alerts>,
    alerting: Option<JoinHandle<()>>,
    pauses: Option<Pauses>,
    pausing: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    topic_watch: JoinHandle<()>,
    kafka: KafkaArgs,
    settings: Vec<SettingTable>,
    topic_settings: Arc<Mutex<Known>>,
}

impl App {
    /// Runs until SIGTERM or Ctrl-C, then drains. Calls `ready` when every consumer group has been joined.
    ///
    /// # Errors
    /// A consumer group member has failed for good, or draining exceeds its bound or is interrupted by a second signal.
    pub async fn run(
        self,
        server: Server,
        mut signals: Signals,
        ready: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<()> {
        server.started(&self);
        let announcement = tokio::spawn(announce(self.health(), ready));
        let lost = tokio::select! {
            () = signals.recv() => None,
            reason = lost(self.health()) => Some(reason),
        };
        announcement.abort();
        stderr::line("Draining; a second signal stops immediately.");
        self.stop(signals).await?;
        server.stop().await?;
        lost.map_or(Ok(()), |reason| {
            let help = "start the host again; a group.instance.id belongs to one host only";
            Err(UserError::unavailable(reason).help(help).into())
        })
    }

    /// The maximum time from a signal to the end.
    fn stop_bound(&self) -> Duration {
        bounds::stop(self.running.iter().map(|running| &running.pipeline.plugin))
    }

    fn health(&self) -> Vec<Arc<Health>> {
        let members = self.running.iter().flat_map(|running| &running.members);
        members.map(|member| Arc::clone(member.health())).collect()
    }

    /// Drains within the bound, or until a second signal.
    async fn stop(self, mut signals: Signals) -> anyhow::Result<()> {
        let bound = self.stop_bound();
        let error = tokio::select! {
            result = tokio::time::timeout(bound, self.drain()) => match result {
                Ok(result) => return result,
                Err(_) => format!("not drained within {} s; messages in progress will be repeated", bound.as_secs()),
            },
            () = signals.recv() => "stopped immediately; messages in progress will be repeated".to_owned(),
        };
        Err(UserError::unavailable(error).into())
    }

    /// Drains and commits every partition, ends the threads, and waits for effects in flight.
    async fn drain(self) -> anyhow::Result<()> {
        self.stop.store(true, atomic::Ordering::Relaxed);
        self.trials.iter().for_each(Trials::stop);
        self.alerting.iter().chain(&self.pausing).for_each(JoinHandle::abort);
        let (running, topic_watch, intakes) = (self.running, self.topic_watch, self.intakes);
        let draining = tokio::task::spawn_blocking(move || {
            running.into_iter().for_each(RunningPlugin::stop);
            intakes.into_iter().for_each(Intakes::stop);
            topic_watch.abort();
        });
        replay::stop(self.replay, draining).await?;
        if !self.services.effects.finish(SEND_BOUND).await {
            tracing::warn!("effects are still in flight; their results will not be recorded");
        }
        Ok(())
    }
}

/// Trials of new builds with the settings of the running plugins. None without a desk.
fn trials(args: &RunArgs, desk: Option<&Desk>, plugins: &[Subscriber]) -> Result<Option<Trials>, UserError> {
    let Some(desk) = desk else { return Ok(None) };
    let mut all = Vec::with_capacity(plugins.len());
    for (index, Subscriber { plugin, .. }) in plugins.iter().enumerate() {
        let settings = args.settings_of(index)?.cloned();
        let (name, digest) = (Arc::clone(&plugin.name), plugin.digest.clone());
        all.push(InstalledPlugin { name, digest, settings });
    }
    Ok(Some(Trials::new(desk.clone(), all)))
}

/// The interval of the topic watch, which is that of the consumers' metadata refresh.
fn watch_interval(kafka: &KafkaArgs) -> Duration {
    let given = kafka.given().rev().find(|(key, _)| key == METADATA_REFRESH);
    let millis = given.and_then(|(_, value)| value.parse().ok()).filter(|millis| *millis > 0);
    millis.map_or(topic_watch::INTERVAL, Duration::from_millis)
}

/// Listens on the address that `flag` specifies.
///
/// # Errors
/// The address is in use, or does not belong to this machine.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, UserError> {
    TcpListener::bind(address).await.map_err(|error| {
        let refusal = UserError::usage(format!("cannot listen on {address}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => refusal
                .help(format!("stop the process that uses it, or choose another port: {flag} 127.0.0.1:0")),
            _ => refusal
                .help(format!("choose an address of this machine: {flag} 127.0.0.1:{}", address.port())),
        }
    })
}

/// Calls `ready` when all members have joined their groups.
async fn announce(health: Vec<Arc<Health>>, ready: impl FnOnce()) {
    while !health.iter().all(|member| member.is_joined()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ready();
}

/// Completes when a member has left its group for good.
async fn lost(health: Vec<Arc<Health>>) -> String {
    loop {
        if let Some(reason) = health.iter().find_map(|member| member.lost()) {
            return reason.to_owned();
        }
        tokio::time::sleep(LOST_INTERVAL).await;
    }
}
