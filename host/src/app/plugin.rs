//! A running plugin: its pipeline, its workers, and the members of its consumer groups.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use base::error::UserError;
use consumer::bounds::drain;
use consumer::metrics::MessageCounters;
use consumer::reports::Outcomes;
use consumer::{Gate, Pipeline, Subscriber, Subscription, worker};
use desk::pauses::Pauses;
use desk::{Desk, store_unavailable};
use kafka::compacted::Reader;
use kafka::decisions::Decisions;
use kafka::group::GroupMember;
use kafka::held_keys::HeldKeys;
use kafka::memory::Memory;
use kafka::partition::{Partition, PartitionContext};
use kafka::publisher::{Destination, Publisher};
use kafka::waiting::Waiting;
use kafka::{client, retry_backlog};
use kafka_topics::topic_watch::{self, TopicWatch};
use rdkafka::ClientConfig;
use server::PluginWaiting;
use settings::{OffsetReset, Ordering, RunArgs};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The property for the interval at which clients look for new partitions, in milliseconds.
pub(super) const METADATA_REFRESH: &str = "topic.metadata.refresh.interval.ms";

/// A plugin with its threads.
pub(super) struct RunningPlugin {
    /// Processes its messages.
    pub pipeline: Arc<Pipeline>,
    /// The members of the group of its source topic and, if any, of its retry topics.
    pub members: Vec<GroupMember>,
    /// Its retries, if it has retry topics.
    pub waiting: Option<PluginWaiting>,
    readers: Vec<Reader>,
    /// Answers the decisions about retries.
    answering: Option<JoinHandle<()>>,
    ready: async_channel::Sender<Weak<Partition>>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl RunningPlugin {
    /// Starts the workers and joins the groups. The plugin runs until `stop` is set.
    ///
    /// # Errors
    /// A thread cannot be started, or librdkafka refuses the configuration.
    pub fn start(
        pipeline: Arc<Pipeline>,
        args: &RunArgs,
        memory: &Arc<Memory>,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let (ready, ready_list) = async_channel::unbounded();
        let workers = spawn_workers(&pipeline, &ready_list)?;
        let subscription = &pipeline.subscription;
        let config = consumer_config(args);
        let held_keys = pipeline.held_keys.iter().map(|held| Reader::start(held, &config, stop));
        let decisions = pipeline.decisions.iter().map(|decisions| Reader::start(decisions, &config, stop));
        let readers = held_keys.chain(decisions).collect::<Result<_, _>>()?;
        let answer = |decisions: &Arc<Decisions>| {
            tokio::spawn(Arc::clone(decisions).answer(Arc::clone(&pipeline.publisher)))
        };
        let answering = pipeline.decisions.as_ref().map(answer);
        let join = |config: &ClientConfig, group: &str, topics: &[&str], ordering: Option<Ordering>| {
            let context = PartitionContext {
                group: subscription.group.clone(),
                is_retry: ordering.is_none(),
                ordering: ordering.unwrap_or(Ordering::Unordered),
                // With an order there are no retry topics.
                held_keys: pipeline.held_keys.clone(),
                decisions: pipeline.decisions.clone().filter(|_| ordering.is_none()),
                ready: ready.clone(),
                runtime: Handle::current(),
                health: Arc::default(),
                memory: Arc::clone(memory),
                has_regressed: AtomicBool::default(),
                has_large_headers: AtomicBool::default(),
                on_uncommitted: OnceLock::new(),
            };
            // Every message on a retry topic must be read.
            let reset = if ordering.is_none() { OffsetReset::Earliest } else { args.auto_offset_reset };
            let drain = drain(&pipeline.plugin);
            GroupMember::join(config, group, topics, Arc::new(context), reset, drain, Arc::clone(stop))
        };
        let source = [subscription.topic.as_str()];
        let mut members = vec![join(&config, &subscription.group, &source, Some(subscription.ordering))?];
        let retry_topics = subscription.retry_topics();
        if !retry_topics.is_empty() {
            let topics: Vec<&str> = retry_topics.iter().map(String::as_str).collect();
            members.push(join(&retry_config(config), &subscription.retry_group(), &topics, None)?);
        }
        let waiting = waiting(&pipeline, args);
        Ok(Self { pipeline, members, waiting, readers, answering, ready, workers })
    }

    /// Waits until the members have left their groups, and ends the workers. `stop` must be set.
    pub fn stop(self) {
        self.members.into_iter().for_each(GroupMember::join_thread);
        self.answering.inspect(JoinHandle::abort);
        self.readers.into_iter().for_each(Reader::join);
        self.ready.close();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!(plugin = self.pipeline.plugin.label, "a worker panicked");
            }
        }
    }
}

fn waiting(pipeline: &Pipeline, args: &RunArgs) -> Option<PluginWaiting> {
    let Pipeline { plugin, subscription, publisher, decisions, .. } = pipeline;
    let (topics, group) = (subscription.retry_topics(), &subscription.group);
    if topics.is_empty() {
        return None;
    }
    Some(PluginWaiting {
        plugin: Arc::clone(&plugin.name),
        source: subscription.topic.clone(),
        delays_ms: subscription.policy.tiers_ms().into(),
        decisions: decisions.clone(),
        waiting: Waiting::new(&args.kafka, group, &subscription.retry_group(), topics),
        publisher: Arc::clone(publisher),
        kafka: args.kafka.clone(),
        creates_topics: args.create_topics,
    })
}

fn spawn_workers(
    pipeline: &Arc<Pipeline>,
    ready_list: &async_channel::Receiver<Weak<Partition>>,
) -> std::io::Result<Vec<thread::JoinHandle<()>>> {
    let shares = worker::shares(pipeline.subscription.concurrency).into_iter().enumerate();
    shares
        .map(|(number, calls)| {
            let name = format!("{} {number}", pipeline.plugin.name);
            worker::spawn(name, calls, Arc::clone(pipeline), ready_list.clone())
        })
        .collect()
}

/// Checks the topics of all plugins before any is created.
///
/// # Errors
/// A topic cannot be used or has a backlog that would not be read, or Kafka is unreachable.
pub(super) async fn check_topics(
    subscribers: &[Subscriber],
    args: &RunArgs,
    topic_watch: &mut TopicWatch,
) -> Result<(), UserError> {
    let subscriptions = || subscribers.iter().map(|subscriber| &subscriber.subscription);
    for subscription in subscriptions().filter(|subscription| subscription.ordering.is_in_place()) {
        let (group, unread) = (subscription.retry_group(), subscription.unordered_retry_topics());
        tokio::task::block_in_place(|| retry_backlog::ensure_empty(&args.kafka, &group, &unread))?;
    }
    let plans: Vec<_> = subscriptions().map(Subscription::topic_plan).collect();
    topic_watch.check_all(&plans).await
}

/// Creates a plugin's missing topics, adds them to the watch, and builds its pipeline.
///
/// # Errors
/// A topic is missing, or Kafka is unreachable.
pub(super) async fn pipeline(
    subscriber: Subscriber,
    topic_watch: &mut TopicWatch,
    publisher: &Arc<Publisher>,
    outcomes: &Option<Outcomes>,
) -> Result<Arc<Pipeline>, UserError> {
    let Subscriber { plugin, subscription } = subscriber;
    let plan = subscription.topic_plan();
    let source = [subscription.topic.clone()];
    let is_in_place = subscription.ordering.is_in_place();
    let counters = MessageCounters::of(&plugin.name, if is_in_place { &source } else { &plan.retry });
    let found = topic_watch.ensure(&plan).await?;
    let names = plan.derived();
    let destinations =
        names.iter().zip(&found.partitions).map(|(name, count)| Destination::new(name, *count));
    let mut retry: Vec<Destination> = destinations.collect::<Option<_>>().unwrap_or_default();
    let held_keys = plan.held_keys.as_ref().and_then(|_| retry.pop());
    let held_keys = held_keys.map(|topic| HeldKeys::new(&subscription.group, topic));
    let dead_letter = retry.pop().ok_or_else(|| UserError::usage("a topic name contains a NUL"))?;
    let (publisher, outcomes) = (Arc::clone(publisher), outcomes.clone());
    let gate = Gate::new(&plugin.name, subscription.breaker);
    // Not created before somebody decides.
    let decisions = topic_watch.decisions_of(&plan).and_then(|name| Destination::new(name, 1));
    let decisions = decisions.map(|topic| Decisions::new(&subscription.group, topic));
    let pipeline = Pipeline {
        plugin,
        subscription,
        counters,
        publisher,
        retry,
        dead_letter,
        held_keys,
        decisions,
        outcomes,
        gate,
    };
    topic_watch.add(pipeline.topic_chain(), found);
    Ok(Arc::new(pipeline))
}

/// The pauses of the plugins, carried out as the store has them. None without a desk.
///
/// # Errors
/// The store is unavailable.
pub(super) async fn pauses(
    desk: Option<&Desk>,
    pipelines: &[Arc<Pipeline>],
) -> Result<Option<Pauses>, UserError> {
    let Some(desk) = desk else { return Ok(None) };
    let gates = pipelines.iter().map(|pipeline| Arc::clone(&pipeline.gate)).collect();
    let pauses = Pauses::new(desk.clone(), gates);
    pauses.refresh().await.map_err(|error| store_unavailable(&error))?;
    Ok(Some(pauses))
}

/// The configuration of consumers.
pub(super) fn consumer_config(args: &RunArgs) -> ClientConfig {
    client::config(
        &args.kafka,
        &[
            // Reading begins where the host says. The client decides only if that offset does not exist any more.
            ("auto.offset.reset", "earliest"),
            // The host commits the positions of finished messages itself.
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            // Moves the commit position past transaction markers and aborted messages at the end of a
            // partition.
            ("enable.partition.eof", "true"),
            // Per partition. A larger queue uses more memory without a higher rate.
            ("queued.max.messages.kbytes", "1024"),
            // The pause of a partition whose queue is full. The default of 1 s halves the rate.
            ("fetch.queue.backoff.ms", "5"),
            ("reconnect.backoff.max.ms", "2000"),
            // The delay until new partitions are read.
            (METADATA_REFRESH, &topic_watch::INTERVAL.as_millis().to_string()),
        ],
    )
}

/// The configuration of consumers of retry topics.
fn retry_config(mut config: ClientConfig) -> ClientConfig {
    if config.get("fetch.wait.max.ms").is_none() {
        // A newly assigned partition joins the fetches of the others only after this time.
        config.set("fetch.wait.max.ms", "200");
    }
    config
}
