//! The application: starts all parts of a host, runs them until a signal, and drains them.

mod alerts;
mod http_server;
mod intake;
mod plugin;
mod replay;
mod signals;
mod store;
mod summary;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::{Duration, Instant};

use axum::Router;
use base::error::UserError;
use cli::preflight;
use consumer::Subscriber;
use consumer::bounds::drain;
use consumer::reports::Outcomes;
use desk::Desk;
use desk::alerts::Alerts;
use desk::pauses::Pauses;
use desk::replay::ReplayTasks;
use desk::trial::{InstalledPlugin, Trials};
use kafka::health::Health;
use kafka::publisher::Publisher;
use kafka::topic_watch::{self, TopicWatch};
use kafka::topics::Topics;
use kafka::{client, errors};
use sandbox::call::Services;
use server::guard;
use settings::{KafkaArgs, RunArgs};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::http_server::Server;
use self::intake::Intakes;
use self::plugin::{METADATA_REFRESH, RunningPlugin, consumer_config};
use self::signals::Signals;

/// The maximum time that Kafka may be unreachable at start.
const CONNECT_BOUND: Duration = Duration::from_secs(30);
/// The maximum time for stopping in addition to the drain bound.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(10);
/// The maximum time for effects in flight whose calls have ended.
const SEND_BOUND: Duration = Duration::from_secs(10);

/// Runs plugins until SIGTERM or Ctrl-C, then drains.
///
/// # Errors
/// The arguments are invalid, or Kafka or the store is unreachable.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let listener = bind(args.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let server = Server::start(listener, guard::access(&args, address)?, Router::new());
    let app = App::start(&args).await?;
    eprint!("{}", app.summary(&args, address));
    let ready = move || {
        eprintln!("Ready in {:.1} s. Ctrl-C drains and stops.", started.elapsed().as_secs_f64());
    };
    app.run(server, ready).await
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
}

impl App {
    /// Loads the plugins, opens the store, connects to Kafka, creates missing topics, and joins the consumer
    /// groups.
    ///
    /// # Errors
    /// The arguments are invalid, or Kafka or the store is unreachable.
    pub async fn start(args: &RunArgs) -> anyhow::Result<Self> {
        let (plugins, services) = preflight::prepare(args).await?;
        // Before the store, which an invalid configuration must not change.
        let topics = Topics::new(&args.kafka, args.create_topics)?;
        let desk = store::open(args, &plugins, &services).await?;
        let connection = client::connect(&args.kafka, CONNECT_BOUND).await?;
        intake::refuse_others(&connection, desk.as_ref(), &plugins)?;
        client::drop_in_background(connection);
        let publisher = Publisher::new(&args.kafka).map_err(|error| errors::invalid_config(&error))?;
        let publisher = Arc::new(publisher);
        let trials = trials(args, desk.as_ref(), &plugins)?;
        let alerts = alerts::new(args, desk.as_ref(), &services)?;
        let (outcomes, reports) = desk.as_ref().map(|_| Outcomes::channel()).unzip();
        let stop = Arc::new(AtomicBool::new(false));
        let mut topic_watch = TopicWatch::new(topics, Arc::clone(&publisher), watch_interval(&args.kafka));
        let mut pipelines = Vec::with_capacity(plugins.len());
        for subscriber in plugins {
            pipelines
                .push(plugin::pipeline(subscriber, args, &mut topic_watch, &publisher, &outcomes).await?);
        }
        // Before the first message is handed over.
        let pauses = plugin::pauses(desk.as_ref(), &pipelines).await?;
        let memory = Arc::default();
        let running =
            pipelines.into_iter().map(|pipeline| RunningPlugin::start(pipeline, args, &memory, &stop));
        let running = running.collect::<anyhow::Result<Vec<_>>>()?;
        let replay = replay::start(desk.as_ref().zip(reports), args, &publisher, &running)?;
        let pipelines = running.iter().map(|running| &*running.pipeline);
        let intakes = match &desk {
            Some(desk) => Some(Intakes::start(args, desk, pipelines, &stop).await?),
            None => None,
        };
        let pausing = pauses.clone().map(|pauses| tokio::spawn(pauses.run()));
        let alerting = alerts.clone().map(|alerts| tokio::spawn(alerts.run()));
        let topic_watch = tokio::spawn(topic_watch.run());
        Ok(Self {
            running,
            services,
            desk,
            intakes,
            replay,
            trials,
            alerts,
            alerting,
            pauses,
            pausing,
            stop,
            topic_watch,
        })
    }

    /// Runs until SIGTERM or Ctrl-C, then drains. Calls `ready` when every consumer group has been joined.
    ///
    /// # Errors
    /// Draining exceeds its bound, or is interrupted by a second signal.
    pub async fn run(self, server: Server, ready: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        server.started(&self);
        let announcement = tokio::spawn(announce(self.health(), ready));
        let mut signals = Signals::listen()?;
        signals.recv().await;
        announcement.abort();
        eprintln!("Draining; a second signal stops immediately.");
        self.stop(signals).await?;
        server.stop().await
    }

    fn health(&self) -> Vec<Arc<Health>> {
        let members = self.running.iter().flat_map(|running| &running.members);
        members.map(|member| Arc::clone(member.health())).collect()
    }

    /// Drains within the bound, or until a second signal.
    async fn stop(self, mut signals: Signals) -> anyhow::Result<()> {
        let drains = self.running.iter().map(|running| drain(&running.pipeline.plugin));
        let bound = drains.max().unwrap_or_default() + SHUTDOWN_MARGIN;
        let error = tokio::select! {
            result = tokio::time::timeout(bound + SEND_BOUND, self.drain()) => match result {
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
        all.extend(settings.map(|settings| InstalledPlugin { name, digest, settings }));
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
