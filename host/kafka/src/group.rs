//! Membership in a consumer group: assignment, commits, and draining revoked partitions.

mod commits;
mod flow;
mod log_watch;
mod membership;
mod opening;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use base::clock;
use base::throttle::Throttle;
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use settings::OffsetReset;

use self::commits::{Commits, is_too_large};
use self::membership::{CurrentClient, Membership};
pub(crate) use self::opening::{describe, locate};
use crate::broker_probe::ConnectionErrors;
use crate::fetch_watch::FetchWatch;
use crate::health::{Health, PartitionStatus};
use crate::metrics::{self, PartitionGauges, Values};
use crate::partition::{Partition, PartitionContext, Progress};
use crate::raw::Queue;
use crate::resume::{Cause, Resume};
use crate::{errors, raw};

/// The least time between two commits, and the time of the reaction to a stop.
const COMMIT_INTERVAL: Duration = Duration::from_millis(250);
/// The timeout of a poll during a stop, and while the memory of large headers must be bounded.
const SHORT_POLL: Duration = Duration::from_millis(50);

/// A member of a consumer group, with a thread of its own.
pub struct GroupMember {
    name: String,
    health: Arc<Health>,
    thread: thread::JoinHandle<()>,
}

impl GroupMember {
    /// Joins `group` and reads `topics` until `stop` is set. Then drains every partition within `drain`,
    /// commits, and leaves the group. The partitions share `partition_context`. `reset` decides where a group without
    /// commits begins.
    ///
    /// # Errors
    /// librdkafka refuses the configuration.
    pub fn join(
        config: &ClientConfig,
        group: &str,
        topics: &[&str],
        partition_context: Arc<PartitionContext>,
        reset: OffsetReset,
        drain: Duration,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let health = Arc::clone(&partition_context.health);
        health.beat();
        health.set_group(group);
        let mut config = config.clone();
        config.set("group.id", group);
        let membership = Membership {
            group: group.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            config,
            partition_context,
            reset,
            drain,
            stop,
            current: CurrentClient::default(),
        };
        let client = membership.connect()?;
        let thread = thread::Builder::new().name(format!("group {group}"));
        let thread = thread.spawn(move || membership.run(client))?;
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

struct MemberContext {
    group: String,
    partition_context: Arc<PartitionContext>,
    reset: OffsetReset,
    drain: Duration,
    health: Arc<Health>,
    /// The end of the drain bound, set when the member begins to leave.
    leave_by: OnceLock<Instant>,
    consumer: OnceLock<Weak<BaseConsumer<Self>>>,
    partitions: Mutex<HashMap<(String, i32), Arc<Partition>>>,
    gauges: Mutex<PartitionGauges>,
    commits: Mutex<Commits>,
    /// Limits the log messages about partitions that are not read yet.
    unopened_report: Mutex<Throttle>,
    errors: ConnectionErrors,
}

impl MemberContext {
    /// Closes the partitions; returns the end of the drain bound. The member does not unsubscribe yet:
    /// librdkafka sends no heartbeats after that, and the deliveries in progress may outlast the session.
    fn begin_to_leave(&self) -> Instant {
        let until = *self.leave_by.get_or_init(|| Instant::now() + self.drain);
        self.partitions.lock().values().for_each(|partition| partition.close());
        until
    }

    /// The assigned partitions of which this is true.
    fn those(&self, is_one: impl Fn(&Partition) -> bool) -> Vec<Arc<Partition>> {
        let partitions = self.partitions.lock();
        partitions.values().filter(|partition| is_one(partition)).cloned().collect()
    }

    fn is_idle(&self) -> bool {
        self.partitions.lock().values().all(|partition| partition.is_idle())
    }

    fn assign(&self, list: &TopicPartitionList) {
        let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) else { return };
        self.health.join(raw::member_id(&consumer));
        self.commits.lock().is_first = true;
        let keys =
            list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
        let mut resumes = self.resumes(&consumer, keys);
        for element in list.elements() {
            let (topic, index) = (element.topic(), element.partition());
            let key = (topic.to_owned(), index);
            let resume = resumes.remove(&key);
            match &resume {
                Some(Resume { position, .. }) => {
                    raw::set_start(list, topic, index, position.offset, position.epoch);
                }
                // Nothing is read there. Without an offset, librdkafka would ask for the commit too; while it has no
                // answer the position cannot be changed, and after some errors it does not ask again. The end of the log
                // it would look up and, if a seek overtakes the answer, look up again and go there: it would skip what
                // is before (`rd_kafka_toppar_handle_Offset`, outdated).
                None => raw::set_start(list, topic, index, 0, None),
            }
            match self.open(&consumer, topic, index, resume) {
                Some(partition) => {
                    self.partitions.lock().insert(key, partition);
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

    /// Opens a partition that is read as `resume` says or, without it, not yet.
    fn open(
        &self,
        consumer: &Arc<BaseConsumer<Self>>,
        topic: &str,
        index: i32,
        resume: Option<Resume>,
    ) -> Option<Arc<Partition>> {
        let cause = resume.as_ref().map(|resume| resume.cause);
        if let Some(resume) = &resume {
            self.report_resume(topic, index, resume);
        }
        let context = Arc::clone(&self.partition_context);
        let queue = |on_ready| Queue::of_partition(Arc::clone(consumer), topic, index, on_ready);
        let partition = Partition::open(topic, index, resume, context, queue)?;
        if self.leave_by.get().is_some() {
            partition.close();
        }
        if let Some(Cause::Expired(count)) = cause {
            partition.report_expired(count);
        }
        Some(partition)
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
        for partition in &revoked {
            partition.close();
            self.end_pause(consumer, partition);
        }
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
        self.health.drain(until);
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

    /// How long to wait for a rebalance.
    fn poll_timeout(&self) -> Duration {
        let is_short =
            self.leave_by.get().is_some() || self.partition_context.has_large_headers.load(Ordering::Relaxed);
        let max = if is_short { SHORT_POLL } else { COMMIT_INTERVAL };
        let next = self.commits.lock().next.checked_duration_since(Instant::now());
        // rdkafka would poll without a pause for what remains of a millisecond.
        next.map_or(max, |left| Duration::from_millis(clock::millis_u64(left) + 1).min(max))
    }

    /// Notes of which partitions the client fetches nothing. Returns whether it must be replaced.
    fn watch_fetches(&self, consumer: &BaseConsumer<Self>, fetches: &mut FetchWatch) -> bool {
        if self.health.outage().is_some() {
            // It could not commit what a client that leaves has done.
            fetches.forget_answers();
        }
        let partitions = self.those(|_| true);
        let unread = fetches.look(consumer, partitions.iter().filter_map(|partition| partition.expected()));
        for partition in &partitions {
            partition.set_unfetched(fetches.unfetched(partition.topic(), partition.index()));
        }
        let Some((topic, partition)) = unread else { return false };
        tracing::warn!(
            group = self.group,
            topic,
            partition,
            "Kafka has messages of the partition, but the client fetches none; the member joins with a new client"
        );
        true
    }

    /// Sets the gauges and the states of the assigned partitions.
    fn set_gauges(&self, consumer: &BaseConsumer<Self>) {
        let held_keys = self.partition_context.held_keys.as_ref().map(|held| {
            metrics::held_keys(&self.group, held.len());
            held.counts()
        });
        let status = |partition: &Arc<Partition>| {
            partition.report_condition();
            let (topic, index) = (partition.topic(), partition.index());
            let Progress { next, in_progress: in_flight } = partition.progress();
            let held_keys = held_keys.as_ref().and_then(|counts| counts.get(&index)).copied().unwrap_or(0);
            let end = raw::known_end(consumer, topic, index).unwrap_or(next);
            let (condition, lasts) = partition.condition();
            let (group, lag) = (partition.group().to_owned(), end.saturating_sub(next).max(0));
            let (topic, partition) = (topic.to_owned(), index);
            PartitionStatus { group, topic, partition, condition, lasts, next, lag, in_flight, held_keys }
        };
        let all: Vec<PartitionStatus> = self.those(|_| true).iter().map(status).collect();
        self.gauges.lock().set(all.iter().map(|status| Values {
            topic: &status.topic,
            partition: status.partition,
            lag: status.lag,
            in_flight: status.in_flight,
            condition: status.condition,
        }));
        self.health.set_partitions(all);
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
        self.commits.lock().in_flight = None;
        match result {
            Ok(()) => self.committed(offsets),
            Err(error) if is_too_large(&error) => self.committed(offsets),
            Err(error) => tracing::warn!(group = self.group, %error, "the commit failed and is retried"),
        }
        // For messages that finished meanwhile; the poll that calls this goes on until its timeout.
        if let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) {
            self.commit(&consumer);
        }
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(group = self.group, %error, reason, "client");
        self.errors.note(&error, reason);
    }
}
