//! Membership in a consumer group: assignment, commits, and draining revoked partitions.

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

use self::commits::{commit_of, is_too_large};
use crate::broker_probe::BrokerProbe;
use crate::health::Health;
use crate::metrics::{self, PartitionGauges};
use crate::partition::{Partition, PartitionContext, Progress};
use crate::{errors, raw};

/// The interval of commits.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);
/// The interval at which the gauges of the partitions are set.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);
/// The timeout of a poll, which delays the reaction to a stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);
/// The maximum time for leaving the group after draining, and the timeout of a poll meanwhile.
const LEAVE_BOUND: Duration = Duration::from_secs(2);
const LEAVE_POLL_TIMEOUT: Duration = Duration::from_millis(5);

/// A member of a consumer group, with a thread of its own.
pub struct GroupMember {
    name: String,
    health: Arc<Health>,
    thread: thread::JoinHandle<()>,
}

impl GroupMember {
    /// Joins `group` and reads `topics` until `stop` is set. Then drains every partition within `drain`,
    /// commits, and leaves the group. The partitions share `partition_context`.
    ///
    /// # Errors
    /// librdkafka refuses the configuration.
    pub fn join(
        config: &ClientConfig,
        group: &str,
        topics: &[&str],
        partition_context: Arc<PartitionContext>,
        drain: Duration,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let health = Arc::clone(&partition_context.health);
        health.beat();
        let context = MemberContext {
            group: group.to_owned(),
            partition_context,
            drain,
            health: Arc::clone(&health),
            stop,
            leave_by: OnceLock::new(),
            consumer: OnceLock::new(),
            partitions: Mutex::default(),
            gauges: Mutex::new(PartitionGauges::of(group)),
            committing: Mutex::default(),
        };
        let mut config = config.clone();
        config.set("group.id", group);
        let consumer: Arc<BaseConsumer<MemberContext>> = Arc::new(config.create_with_context(context)?);
        let _ = consumer.context().consumer.set(Arc::downgrade(&consumer));
        consumer.subscribe(topics)?;
        let probe = BrokerProbe::new(&config, topics.first().copied().unwrap_or_default());
        let thread =
            thread::Builder::new().name(format!("group {group}")).spawn(move || run(&consumer, probe))?;
        Ok(Self { name: group.to_owned(), health, thread })
    }

    /// The member's health.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Waits until the member has left the group.
    pub fn join_thread(self) {
        if self.thread.join().is_err() {
            tracing::error!(group = self.name, "the group's thread panicked");
        }
    }
}

/// Serves rebalances and commits until the stop, then leaves the group.
fn run(consumer: &BaseConsumer<MemberContext>, mut probe: BrokerProbe) {
    let context = consumer.context();
    let mut next_commit = Instant::now() + COMMIT_INTERVAL;
    let mut next_gauges = Instant::now();
    let mut serve = || {
        context.report(consumer.poll(POLL_TIMEOUT));
        context.health.beat();
        if Instant::now() >= next_commit {
            context.commit(consumer);
            next_commit = Instant::now() + COMMIT_INTERVAL;
        }
        if Instant::now() >= next_gauges {
            context.set_gauges(consumer);
            next_gauges = Instant::now() + GAUGE_INTERVAL;
        }
        probe.run_if_due(consumer);
    };
    while !context.stop.load(Ordering::Relaxed) {
        serve();
    }
    let until = context.begin_to_leave();
    while Instant::now() < until && !context.is_idle() {
        serve();
    }
    // Leaving is a rebalance: the partitions are revoked through `revoke`.
    consumer.unsubscribe();
    // librdkafka leaves the group when the partitions have stopped, which is after `revoke`. A client that is
    // dropped before that does not leave (`rd_kafka_cgrp_incr_unassign_done`, terminating), and the other
    // members wait until its session times out.
    while Instant::now() < until + LEAVE_BOUND && raw::is_member(consumer) {
        context.report(consumer.poll(LEAVE_POLL_TIMEOUT));
    }
}

struct MemberContext {
    group: String,
    partition_context: Arc<PartitionContext>,
    drain: Duration,
    health: Arc<Health>,
    stop: Arc<AtomicBool>,
    /// The end of the drain bound, set when the member begins to leave.
    leave_by: OnceLock<Instant>,
    consumer: OnceLock<Weak<BaseConsumer<Self>>>,
    partitions: Mutex<HashMap<(String, i32), Arc<Partition>>>,
    gauges: Mutex<PartitionGauges>,
    /// The start of the commit in flight. Only one at a time: librdkafka repeats a commit that the broker or
    /// a rebalance refuses, so that an older commit could overwrite a newer one.
    committing: Mutex<Option<Instant>>,
}

impl MemberContext {
    /// Closes the partitions; returns the end of the drain bound. The member does not unsubscribe yet:
    /// librdkafka sends no heartbeats after that, and the deliveries in progress may outlast the session.
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
            let committed = committed.as_ref().and_then(|all| commit_of(all, topic, index));
            match Partition::open(
                Arc::clone(&consumer),
                topic,
                index,
                committed,
                Arc::clone(&self.partition_context),
            ) {
                Some(partition) => {
                    if self.leave_by.get().is_some() {
                        partition.close();
                    }
                    self.partitions.lock().insert((topic.to_owned(), index), partition);
                }
                None => tracing::error!(
                    topic,
                    partition = index,
                    "the assigned partition is unknown to the client"
                ),
            }
        }
        tracing::info!(group = self.group, partitions = list.count(), "partitions assigned");
    }

    /// Drains revoked partitions: deliveries in progress may finish within the drain bound, and the positions
    /// are committed before the next owner reads on.
    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let revoked: Vec<Arc<Partition>> = {
            let mut partitions = self.partitions.lock();
            let keys =
                list.elements().into_iter().map(|element| (element.topic().to_owned(), element.partition()));
            keys.filter_map(|key| partitions.remove(&key)).collect()
        };
        revoked.iter().for_each(|partition| partition.close());
        if consumer.assignment_lost() {
            let repeated: usize = revoked.iter().map(|partition| partition.max_repeated()).sum();
            for partition in &revoked {
                partition.cut_off();
            }
            metrics::abandoned(&self.group, "lost", repeated);
            tracing::warn!(group = self.group, partitions = revoked.len(), repeated, "partitions lost");
            return;
        }
        let until = self.leave_by.get().copied().unwrap_or_else(|| Instant::now() + self.drain);
        let repeated: usize = revoked
            .iter()
            .filter(|partition| !partition.wait_idle(until))
            .map(|partition| partition.cut_off())
            .sum();
        if repeated > 0 {
            metrics::abandoned(&self.group, "cut-off", repeated);
            tracing::warn!(group = self.group, repeated, "calls cancelled at the drain bound");
        }
        self.commit_before(until, consumer, &revoked);
        tracing::info!(group = self.group, partitions = revoked.len(), "partitions revoked");
    }

    /// Sets the gauges of the assigned partitions.
    fn set_gauges(&self, consumer: &BaseConsumer<Self>) {
        let partitions = self.partitions.lock();
        let progress = partitions.values().filter_map(|partition| {
            let (topic, index) = (partition.topic(), partition.index());
            let Progress { next, in_progress } = partition.progress()?;
            let end = raw::known_end(consumer, topic, index).unwrap_or(next);
            Some((topic, index, end.saturating_sub(next).max(0), in_progress))
        });
        self.gauges.lock().set(progress);
    }

    /// Handles the result of a poll. Only errors are expected: messages arrive in the partitions' queues.
    fn report(&self, event: Option<KafkaResult<rdkafka::message::BorrowedMessage<'_>>>) {
        match event {
            None => {}
            Some(Ok(_)) => {
                tracing::error!(group = self.group, "a message arrived outside its partition's queue")
            }
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                self.health
                    .lose(format!("consumer group {}: this member failed for good: {error}", self.group));
            }
            Some(Err(error))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::InconsistentGroupProtocol) =>
            {
                tracing::error!(
                    group = self.group,
                    "the other members use another assignment strategy; \
                     set theirs: -X partition.assignment.strategy=range"
                );
            }
            // librdkafka logs these itself, and recovers by itself.
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(errors::is_connection) => {
                tracing::debug!(group = self.group, %error, "consumer");
            }
            Some(Err(error)) => tracing::warn!(group = self.group, %error, "consumer"),
        }
    }
}

impl ConsumerContext for MemberContext {
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
            Err(error) => tracing::warn!(group = self.group, %error, "the commit failed and is retried"),
        }
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(group = self.group, %error, reason, "client");
    }
}
