//! Membership of a consumer group: assignment, commits, and giving partitions back drained.

mod commits;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use self::commits::{is_too_large, window};
use crate::health::Health;
use crate::metrics::{self, Standings};
use crate::partition::{Lane, Partition, Standing};
use crate::probe::Probe;
use crate::{errors, raw};

/// How often positions are committed while messages flow.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);
/// How often the member's standing is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// How long one look for events waits; bounds how late a stop is noticed.
const POLL: Duration = Duration::from_millis(50);
/// How long the client may take to leave its group once it is drained, and how often it is asked.
const LEAVE: Duration = Duration::from_secs(2);
const LEAVE_POLL: Duration = Duration::from_millis(5);

/// A member of a consumer group, on a thread of its own.
pub struct Group {
    name: String,
    health: Arc<Health>,
    thread: thread::JoinHandle<()>,
}

impl Group {
    /// Joins `group` and reads `topics` into `lane` until `stop` is set; then gives every
    /// partition back, drained and committed within `drain`, and leaves.
    ///
    /// # Errors
    /// What librdkafka has against the configuration.
    pub fn join(
        config: &ClientConfig,
        group: &str,
        topics: &[&str],
        lane: Arc<Lane>,
        drain: Duration,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let health = Arc::clone(&lane.health);
        health.beat();
        let context = GroupContext {
            group: group.to_owned(),
            lane,
            drain,
            health: Arc::clone(&health),
            stop,
            leave_by: OnceLock::new(),
            consumer: OnceLock::new(),
            partitions: Mutex::default(),
            standings: Mutex::new(Standings::of(group)),
            committing: Mutex::default(),
        };
        let mut config = config.clone();
        config.set("group.id", group);
        let consumer: Arc<BaseConsumer<GroupContext>> = Arc::new(config.create_with_context(context)?);
        let _ = consumer.context().consumer.set(Arc::downgrade(&consumer));
        consumer.subscribe(topics)?;
        let probe = Probe::new(&config, topics.first().copied().unwrap_or_default());
        let thread =
            thread::Builder::new().name(format!("group {group}")).spawn(move || run(&consumer, probe))?;
        Ok(Self { name: group.to_owned(), health, thread })
    }

    /// How it fares.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Waits until the member has left.
    pub fn join_thread(self) {
        if self.thread.join().is_err() {
            tracing::error!(group = self.name, "the group's thread panicked");
        }
    }
}

/// The life of a member: serve rebalances, commit now and then, leave.
fn run(consumer: &BaseConsumer<GroupContext>, mut probe: Probe) {
    let context = consumer.context();
    let mut next_commit = Instant::now() + COMMIT_INTERVAL;
    let mut next_measure = Instant::now();
    let mut turn = || {
        context.report(consumer.poll(POLL));
        context.health.beat();
        if Instant::now() >= next_commit {
            context.commit(consumer);
            next_commit = Instant::now() + COMMIT_INTERVAL;
        }
        if Instant::now() >= next_measure {
            context.measure(consumer);
            next_measure = Instant::now() + MEASURE_INTERVAL;
        }
        probe.turn(consumer);
    };
    while !context.stop.load(Ordering::Relaxed) {
        turn();
    }
    let until = context.begin_to_leave();
    while Instant::now() < until && !context.is_idle() {
        turn();
    }
    // Leaving is a rebalance like any other: the partitions come back through `revoke`.
    consumer.unsubscribe();
    // librdkafka leaves the group once they have come to rest, which is after `revoke`. A client
    // that is dropped in between forgets to (`rd_kafka_cgrp_incr_unassign_done`, terminating), and
    // the others wait for its session to end.
    while Instant::now() < until + LEAVE && raw::is_member(consumer) {
        context.report(consumer.poll(LEAVE_POLL));
    }
}

struct GroupContext {
    group: String,
    lane: Arc<Lane>,
    drain: Duration,
    health: Arc<Health>,
    stop: Arc<AtomicBool>,
    /// Set once the member is about to leave: when the drain bound ends.
    leave_by: OnceLock<Instant>,
    consumer: OnceLock<Weak<BaseConsumer<Self>>>,
    partitions: Mutex<HashMap<(String, i32), Arc<Partition>>>,
    standings: Mutex<Standings>,
    /// Since when a commit waits for its answer. One at a time: librdkafka sends a commit again when
    /// the broker or a rebalance refuses it, and an older one could then undo a newer one.
    committing: Mutex<Option<Instant>>,
}

impl GroupContext {
    /// Takes nothing more; returns when the drain bound ends. The member stays one meanwhile:
    /// librdkafka sends no heartbeat after `unsubscribe`, and what runs may outlast the session.
    fn begin_to_leave(&self) -> Instant {
        let until = *self.leave_by.get_or_init(|| Instant::now() + self.drain);
        self.partitions.lock().values().for_each(|partition| partition.close());
        until
    }

    fn is_idle(&self) -> bool {
        self.partitions.lock().values().all(|partition| partition.is_idle())
    }

    fn assign(&self, list: &TopicPartitionList) {
        self.health.join();
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else { return };
        let committed = self.committed_before(&consumer, list);
        for element in list.elements() {
            let (topic, index) = (element.topic(), element.partition());
            let before = committed.as_ref().and_then(|committed| window(committed, topic, index));
            match Partition::open(Arc::clone(&consumer), topic, index, before, Arc::clone(&self.lane)) {
                Some(partition) => {
                    if self.leave_by.get().is_some() {
                        partition.close();
                    }
                    self.partitions.lock().insert((topic.to_owned(), index), partition);
                }
                None => tracing::error!(topic, partition = index, "assigned, but unknown to the client"),
            }
        }
        tracing::info!(group = self.group, partitions = list.count(), "assigned");
    }

    /// Gives partitions back: nothing more is taken, what is under way may end within the drain
    /// bound, and what finished is committed before somebody else reads on.
    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let revoked: Vec<Arc<Partition>> = {
            let mut partitions = self.partitions.lock();
            let keys =
                list.elements().into_iter().map(|element| (element.topic().to_owned(), element.partition()));
            keys.filter_map(|key| partitions.remove(&key)).collect()
        };
        revoked.iter().for_each(|partition| partition.close());
        if consumer.assignment_lost() {
            let repeated: usize = revoked.iter().map(|partition| partition.at_stake()).sum();
            for partition in &revoked {
                partition.cut_off();
            }
            metrics::given_up(&self.group, "lost", repeated);
            tracing::warn!(group = self.group, partitions = revoked.len(), repeated, "lost without notice");
            return;
        }
        let until = self.leave_by.get().copied().unwrap_or_else(|| Instant::now() + self.drain);
        let repeated: usize = revoked
            .iter()
            .filter(|partition| !partition.wait_idle(until))
            .map(|partition| partition.cut_off())
            .sum();
        if repeated > 0 {
            metrics::given_up(&self.group, "cut-off", repeated);
            tracing::warn!(group = self.group, repeated, "calls cut off by the drain bound");
        }
        self.commit_before(until, consumer, &revoked);
        tracing::info!(group = self.group, partitions = revoked.len(), "given back");
    }

    /// How this member stands with each of its partitions, for whoever asks.
    fn measure(&self, consumer: &BaseConsumer<Self>) {
        let partitions = self.partitions.lock();
        let standing = partitions.values().filter_map(|partition| {
            let (topic, index) = (partition.topic(), partition.index());
            let Standing { next, running } = partition.standing()?;
            let end = raw::known_end(consumer, topic, index).unwrap_or(next);
            Some((topic, index, end.saturating_sub(next).max(0), running))
        });
        self.standings.lock().set(standing);
    }

    /// What a poll brings beside callbacks: errors; messages come through the partitions' queues.
    fn report(&self, event: Option<KafkaResult<rdkafka::message::BorrowedMessage<'_>>>) {
        match event {
            None => {}
            Some(Ok(_)) => tracing::error!(group = self.group, "a message outside its partition's queue"),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                self.health.fail();
                tracing::error!(group = self.group, %error, "this member cannot go on; restart the host");
            }
            Some(Err(error))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::InconsistentGroupProtocol) =>
            {
                tracing::error!(
                    group = self.group,
                    "its other members share partitions out in another way; \
                     take theirs: -X partition.assignment.strategy=range"
                );
            }
            // librdkafka's own lines say so already, and it goes on by itself.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(errors::is_connection) => {
                tracing::debug!(group = self.group, %error, "consumer");
            }
            Some(Err(error)) => tracing::warn!(group = self.group, %error, "consumer"),
        }
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.assign(list),
            Rebalance::Revoke(list) => self.revoke(consumer, list),
            Rebalance::Error(error) => tracing::warn!(group = self.group, %error, "rebalance"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        *self.committing.lock() = None;
        match result {
            Ok(()) => self.committed(offsets),
            Err(error) if is_too_large(&error) => self.committed(offsets),
            Err(error) => tracing::warn!(group = self.group, %error, "commit not taken, will be tried again"),
        }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(group = self.group, %error, reason, "client");
    }
}
