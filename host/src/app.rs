//! Running plugins: build everything, run, drain.

mod alerts;
mod http;
mod intake;
mod replay;
mod storage;
mod summary;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use base::error::UserError;
use cli::preflight;
use consumer::bounds::drain;
use consumer::metrics::Messages;
use consumer::reports::Outcomes;
use consumer::worker;
use consumer::{Pipeline, Subscriber};
use desk::Desk;
use desk::alerts::Alerts;
use desk::replay::ReplayTasks;
use desk::trial::Trials;
use kafka::client;
use kafka::errors;
use kafka::group::Group;
use kafka::health::Health;
use kafka::leftovers;
use kafka::partition::{Lane, Partition};
use kafka::publisher::{Destination, Publisher};
use kafka::topics::Topics;
use kafka::watch;
use rdkafka::ClientConfig;
use sandbox::call::Services;
use server::guard;
use settings::{KafkaArgs, Ordering, RunArgs};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

pub use self::http::Server;
use self::intake::Intakes;

/// How long Kafka may be away at start.
const START_UP: Duration = Duration::from_secs(30);
/// How long the process takes to stop at most, beside draining.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(10);
/// How long what is being sent, for calls that have ended, may take.
const SEND_BOUND: Duration = Duration::from_secs(10);
/// How often a client looks for new partitions; milliseconds.
const REFRESH: &str = "topic.metadata.refresh.interval.ms";

/// Runs plugins until SIGTERM or Ctrl-C, then drains.
///
/// # Errors
/// What is wrong with what was given, or Kafka stays away.
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

/// The plugins under way.
pub struct App {
    running: Vec<Running>,
    services: Arc<Services>,
    desk: Option<Desk>,
    intakes: Option<Intakes>,
    replay: Option<ReplayTasks>,
    trials: Option<Trials>,
    alerts: Option<Alerts>,
    telling: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    watch: JoinHandle<()>,
}

/// One plugin with its threads.
struct Running {
    pipeline: Arc<Pipeline>,
    groups: Vec<Group>,
    ready: async_channel::Sender<Weak<Partition>>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl App {
    /// Loads the plugins, makes sure of their topics, joins their groups.
    ///
    /// # Errors
    /// What is wrong with what was given, or Kafka stays away.
    pub async fn start(args: &RunArgs) -> anyhow::Result<Self> {
        let (plugins, services) = preflight::prepare(args).await?;
        // Before the store: what is wrong with the properties changes nothing.
        let topics = Topics::new(&args.kafka, args.create_topics)?;
        let desk = storage::open(args, &plugins, &services).await?;
        client::wait(&args.kafka, START_UP).await?;
        intake::refuse_others(args, desk.as_ref(), &plugins)?;
        let publisher = Arc::new(Publisher::new(&args.kafka).map_err(|error| errors::refused(&error))?);
        let trials = trials(args, desk.as_ref(), &plugins)?;
        let alerts = alerts::new(args, desk.as_ref(), &services)?;
        let (outcomes, reports) = desk.as_ref().map(|_| Outcomes::channel()).unzip();
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            let subscription = &plugin.subscription;
            if subscription.ordering.is_in_place() {
                let (group, unread) = (subscription.retry_group(), subscription.unordered_retry_topics());
                tokio::task::block_in_place(|| leftovers::check(&args.kafka, &group, &unread))?;
            }
            let pipeline = Arc::new(pipeline(plugin, &topics, &publisher, &outcomes).await?);
            running.push(Running::start(pipeline, args, &stop)?);
        }
        let replay = replay::start(desk.as_ref().zip(reports), args, &publisher, &running);
        let intakes = match &desk {
            Some(desk) => {
                let plugins = running.iter().map(|running| &*running.pipeline);
                Some(Intakes::start(args, desk, plugins, &stop).await?)
            }
            None => None,
        };
        let telling = alerts.clone().map(|alerts| tokio::spawn(alerts.run()));
        let chains = running.iter().map(|running| running.pipeline.chain()).collect();
        let watch = tokio::spawn(watch::run(topics, publisher, chains, watch_interval(&args.kafka)));
        Ok(Self { running, services, desk, intakes, replay, trials, alerts, telling, stop, watch })
    }

    /// Runs until SIGTERM or Ctrl-C, then drains. Calls `ready` once every group has been joined.
    ///
    /// # Errors
    /// Draining takes longer than its bound.
    pub async fn run(self, server: Server, ready: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        server.started(&self);
        let announcement = tokio::spawn(announce(self.health(), ready));
        let mut signals = Signals::listen()?;
        signals.recv().await;
        announcement.abort();
        eprintln!("Draining; a second signal stops at once.");
        self.stop(signals).await?;
        server.stop().await
    }

    fn health(&self) -> Vec<Arc<Health>> {
        self.running
            .iter()
            .flat_map(|running| &running.groups)
            .map(|group| Arc::clone(group.health()))
            .collect()
    }

    /// Gives every partition back, drained and committed, and ends the threads.
    async fn stop(self, mut signals: Signals) -> anyhow::Result<()> {
        self.stop.store(true, atomic::Ordering::Relaxed);
        self.trials.iter().for_each(Trials::stop);
        self.telling.iter().for_each(JoinHandle::abort);
        let (running, watch, intakes, replay) = (self.running, self.watch, self.intakes, self.replay);
        let drains = running.iter().map(|running| drain(&running.pipeline.plugin));
        let bound = drains.max().unwrap_or_default() + SHUTDOWN_MARGIN;
        let stopping = tokio::task::spawn_blocking(move || {
            running.into_iter().for_each(Running::stop);
            intakes.into_iter().for_each(Intakes::stop);
            watch.abort();
        });
        let services = self.services;
        let stopping = async move {
            replay::stop(replay, stopping).await?;
            if !services.effects.finish(SEND_BOUND).await {
                tracing::warn!("something is still being sent; what becomes of it will not be known");
            }
            anyhow::Ok(())
        };
        tokio::select! {
            result = tokio::time::timeout(bound + SEND_BOUND, stopping) => match result {
                Ok(result) => result,
                Err(_) => Err(UserError::unavailable(format!("not drained within {} s; what was under way will be repeated", bound.as_secs())).into()),
            },
            () = signals.recv() => {
                Err(UserError::unavailable("stopped at once; what was under way will be repeated").into())
            }
        }
    }
}

impl Running {
    fn start(pipeline: Arc<Pipeline>, args: &RunArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Self> {
        let (ready, listed) = async_channel::unbounded();
        let workers = worker::shares(pipeline.subscription.concurrency)
            .into_iter()
            .enumerate()
            .map(|(number, calls)| {
                let name = format!("{} {number}", pipeline.plugin.name);
                worker::spawn(name, calls, Arc::clone(&pipeline), listed.clone())
            })
            .collect::<Result<_, _>>()?;
        let (plugin, subscription) = (&pipeline.plugin, &pipeline.subscription);
        let config = consumer_config(args);
        let join = |group: &str, topics: &[&str], retries: bool| {
            let lane = Lane {
                group: subscription.group.clone(),
                retries,
                ordering: if retries { Ordering::Unordered } else { subscription.ordering },
                ready: ready.clone(),
                runtime: Handle::current(),
                health: Arc::default(),
            };
            let mut config = config.clone();
            if retries {
                // What is on a retry topic was put there to be read: `latest` would lose what came
                // before this group was given the partition for the first time.
                config.set("auto.offset.reset", "earliest");
            }
            if retries && config.get("fetch.wait.max.ms").is_none() {
                // A partition that is given to it joins the fetches of the others after this.
                config.set("fetch.wait.max.ms", "100");
            }
            Group::join(&config, group, topics, Arc::new(lane), drain(plugin), Arc::clone(stop))
        };
        let mut groups = vec![join(&subscription.group, &[&subscription.topic], false)?];
        let retry_topics = subscription.retry_topics();
        if !retry_topics.is_empty() {
            let names: Vec<&str> = retry_topics.iter().map(String::as_str).collect();
            groups.push(join(&subscription.retry_group(), &names, true)?);
        }
        Ok(Self { pipeline, groups, ready, workers })
    }

    fn stop(self) {
        self.groups.into_iter().for_each(Group::join_thread);
        self.ready.close();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!(plugin = self.pipeline.plugin.label, "a worker panicked");
            }
        }
    }
}

/// Trials of builds, with the settings of the plugins that run here; None without a desk.
fn trials(args: &RunArgs, desk: Option<&Desk>, plugins: &[Subscriber]) -> Result<Option<Trials>, UserError> {
    let Some(desk) = desk else { return Ok(None) };
    let mut all = Vec::with_capacity(plugins.len());
    for (index, plugin) in plugins.iter().enumerate() {
        all.extend(
            args.settings_of(index)?.map(|settings| (Arc::clone(&plugin.plugin.name), settings.clone())),
        );
    }
    Ok(Some(Trials::new(desk.clone(), all)))
}

async fn pipeline(
    subscriber: Subscriber,
    topics: &Topics,
    publisher: &Arc<Publisher>,
    outcomes: &Option<Outcomes>,
) -> Result<Pipeline, UserError> {
    let Subscriber { plugin, subscription } = subscriber;
    let mut names = subscription.retry_topics();
    let in_place = [subscription.topic.clone()];
    let is_in_place = subscription.ordering.is_in_place();
    let counted = Messages::of(&plugin.name, if is_in_place { &in_place } else { &names });
    names.push(subscription.dead_letter_topic.clone());
    let found = topics.ensure(&subscription.topic, &names).await?;
    found.refused.iter().for_each(|failure| tracing::warn!("{failure}"));
    let destinations = names.iter().zip(found.partitions).map(|(name, count)| Destination::new(name, count));
    let mut retry: Vec<Destination> = destinations.collect::<Option<_>>().unwrap_or_default();
    let dead_letter = retry.pop().ok_or_else(|| UserError::usage("a topic name holds a NUL"))?;
    let (publisher, outcomes) = (Arc::clone(publisher), outcomes.clone());
    Ok(Pipeline { plugin, subscription, counted, publisher, retry, dead_letter, outcomes })
}

fn consumer_config(args: &RunArgs) -> ClientConfig {
    client::config(
        &args.kafka,
        &[
            ("auto.offset.reset", args.auto_offset_reset.as_str()),
            // The host commits by itself what is finished.
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            // Moves the commit position over transaction markers and aborted messages at the end.
            ("enable.partition.eof", "true"),
            // Per partition; what waits in the client is memory, not speed.
            ("queued.max.messages.kbytes", "1024"),
            // How long a partition rests when its queue is full; the default of 1 s halves the rate.
            ("fetch.queue.backoff.ms", "5"),
            ("reconnect.backoff.max.ms", "2000"),
            // How soon new partitions are read.
            (REFRESH, &watch::INTERVAL.as_millis().to_string()),
        ],
    )
}

/// Topics are looked at as often as consumers look for new partitions.
fn watch_interval(kafka: &KafkaArgs) -> Duration {
    let given = kafka.given().rev().find(|(key, _)| key == REFRESH);
    let millis = given.and_then(|(_, value)| value.parse().ok()).filter(|millis| *millis > 0);
    millis.map_or(watch::INTERVAL, Duration::from_millis)
}

/// Listens on the address that `flag` gave.
///
/// # Errors
/// The address is taken, or not of this machine.
pub async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, UserError> {
    TcpListener::bind(address).await.map_err(|error| {
        let failure = UserError::usage(format!("cannot listen on {address}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => {
                failure.help(format!("stop what listens there, or choose another port: {flag} 127.0.0.1:0"))
            }
            _ => failure
                .help(format!("choose an address of this machine: {flag} 127.0.0.1:{}", address.port())),
        }
    })
}

async fn announce(health: Vec<Arc<Health>>, ready: impl FnOnce()) {
    while !health.iter().all(|member| member.is_joined()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ready();
}

/// SIGTERM and Ctrl-C. One that comes while nobody waits for it is not lost.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    /// Completes on the next one.
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
