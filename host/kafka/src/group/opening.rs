//! Where the reading of assigned partitions begins. Nothing is read before Kafka has answered: a partition that begins
//! without its commit would repeat messages, and overwrite the retries and held keys that the commit describes.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataBroker;
use settings::OffsetReset;

use super::MemberContext;
use crate::committed::{Committed, committed};
use crate::compacted::PARTITION;
use crate::errors;
use crate::partition::PartitionContext;
use crate::raw::admin::{self, DescribeTopics, LogEnd, Topic, TopicId};
use crate::resume::{Cause, Commit, Log, Resume, initial_partitions};

/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For how long an assignment waits for a compacted topic; after that, its partitions are opened later.
const LOG_BOUND: Duration = Duration::from_secs(2);
const LOG_POLL: Duration = Duration::from_millis(5);
/// The interval at which it is logged that partitions are not read.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// Where the reading of each partition begins, and the end of its log.
pub(crate) type Located = HashMap<(String, i32), (Resume, i64)>;
/// Where the reading of each partition begins.
pub(super) type Resumes = HashMap<(String, i32), Resume>;

impl MemberContext {
    /// Where the reading of these partitions begins. Those for which Kafka does not answer are left out.
    pub(super) fn resumes(&self, consumer: &BaseConsumer<Self>, keys: Vec<(String, i32)>) -> Resumes {
        let count = keys.len();
        let (found, error) = match self.ask(consumer, keys) {
            Ok(found) => (found, "no answer for some of them".to_owned()),
            Err(error) => (Resumes::new(), errors::reason(&error)),
        };
        if found.len() < count && self.unopened_report.lock().is_due() {
            let (group, partitions) = (&self.group, count - found.len());
            tracing::warn!(
                group,
                partitions,
                error,
                "partitions are not read: it is unknown where their reading begins"
            );
        }
        found
    }

    fn ask(&self, consumer: &BaseConsumer<Self>, keys: Vec<(String, i32)>) -> Result<Resumes, KafkaError> {
        if keys.is_empty() {
            return Ok(Resumes::new());
        }
        let logs = self.logs();
        let names = keys.iter().map(|(topic, _)| topic).chain(&logs).map(String::as_str);
        let mut topics = describe(consumer, names)?;
        self.read_logs(consumer, &mut topics)?;
        let located = locate(consumer, keys, &topics, self.reset)?;
        Ok(located.into_iter().map(|(key, (resume, _))| (key, resume)).collect())
    }

    /// The compacted topics that say how messages are handled: that of the keys that are held, if the plugin holds any,
    /// and that of the decisions about retries.
    pub(super) fn logs(&self) -> Vec<String> {
        let PartitionContext { held_keys, decisions, .. } = &*self.partition_context;
        let held = held_keys.as_ref().map(|held| held.topic());
        let topics = held.into_iter().chain(decisions.as_ref().map(|decisions| decisions.topic()));
        topics.map(|topic| topic.name().into_owned()).collect()
    }

    /// Waits until the held keys and the decisions have been read, also those from before the assignment.
    fn read_logs(
        &self,
        consumer: &BaseConsumer<Self>,
        topics: &mut HashMap<String, Topic>,
    ) -> Result<(), KafkaError> {
        let PartitionContext { held_keys, decisions, .. } = &*self.partition_context;
        if let Some(held) = held_keys {
            let topic = topics.remove_entry(&*held.topic().name()).ok_or_else(missing)?;
            read_log(consumer, &topic, |id, end| held.is_read_to(id, end))?;
        }
        // Nobody has decided anything before the topic exists.
        let topic = decisions.as_ref().and_then(|decisions| topics.remove_entry(&*decisions.topic().name()));
        let topic = topic.filter(|(_, topic)| has_decisions(topic));
        if let Some((decisions, topic)) = decisions.as_ref().zip(topic) {
            read_log(consumer, &topic, |id, end| decisions.is_read_to(id, end))?;
        }
        Ok(())
    }

    /// Says where reading begins, if that is not at the commit.
    pub(super) fn report_resume(&self, topic: &str, partition: i32, resume: &Resume) {
        let (group, offset) = (&self.group, resume.position.offset);
        match resume.cause {
            Cause::Committed | Cause::First | Cause::Expired(_) => {}
            Cause::Added => {
                tracing::info!(group, topic, partition, offset, "a new partition is read from its beginning")
            }
            Cause::Recreated => tracing::warn!(
                group,
                topic,
                partition,
                offset,
                "the topic was created again: its commit belongs to an earlier one, and it is read from its beginning"
            ),
            Cause::Truncated => tracing::warn!(
                group,
                topic,
                partition,
                offset,
                "the log ends before the commit: it was cut, and messages may be repeated or missing"
            ),
        }
    }
}

/// Where the reading of these partitions by the consumer's group begins, and the ends of their logs. Partitions without a
/// leader, and those of topics that are not in `topics`, are left out.
pub(crate) fn locate<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    keys: Vec<(String, i32)>,
    topics: &HashMap<String, Topic>,
    reset: OffsetReset,
) -> Result<Located, KafkaError> {
    let commits = commits(consumer, topics)?;
    // Without a leader, a partition would keep the request, and the commits of the others, for its timeout.
    let is_led = |(name, partition): &&(String, i32)| {
        topics.get(name).is_some_and(|topic| topic.led.contains(partition))
    };
    let known = keys.iter().filter(is_led);
    let known: Vec<(&str, i32)> = known.map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    let end = |end| admin::list_offsets(consumer, &known, end, TIMEOUT).map_err(KafkaError::MetadataFetch);
    let (first, end) = (end(LogEnd::First)?, end(LogEnd::Last)?);
    let located = |key: (String, i32)| {
        let (topic, commit) = (topics.get(&key.0)?, commits.get(&key));
        let log = Log { topic: topic.id, first: *first.get(&key)?, end: *end.get(&key)? };
        let of_topic = commits.iter().filter(|((name, _), _)| *name == key.0);
        let of_topic = of_topic.map(|((_, partition), commit)| (*partition, commit));
        let partitions = i32::try_from(topic.partitions).unwrap_or(0);
        let initial = initial_partitions(topic.id, of_topic, partitions);
        let resume = Resume::at(commit.cloned(), &log, key.1, initial, reset);
        Some((key, (resume, log.end)))
    };
    Ok(keys.into_iter().filter_map(located).collect())
}

/// Waits until a compacted topic has been read to the end that it has now.
fn read_log(
    consumer: &BaseConsumer<MemberContext>,
    (name, topic): &(String, Topic),
    is_read_to: impl Fn(Option<TopicId>, i64) -> bool,
) -> Result<(), KafkaError> {
    if !topic.led.contains(&PARTITION) {
        return Err(missing());
    }
    let ends = admin::list_offsets(consumer, &[(name, PARTITION)], LogEnd::Last, TIMEOUT);
    let ends = ends.map_err(KafkaError::MetadataFetch)?;
    let end = ends.values().next().copied().ok_or_else(missing)?;
    let until = Instant::now() + LOG_BOUND;
    while !is_read_to(topic.id, end) {
        if Instant::now() >= until {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut));
        }
        thread::sleep(LOG_POLL);
    }
    Ok(())
}

/// Whether a topic of this name is one that a host has created for decisions, and not somebody's own.
pub(super) fn has_decisions(topic: &Topic) -> bool {
    topic.partitions == 1
}

fn missing() -> KafkaError {
    KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)
}

/// The topics, by name. Those that do not exist are left out.
pub(crate) fn describe<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    names: impl Iterator<Item = &'a str>,
) -> Result<HashMap<String, Topic>, KafkaError> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let broker = a_broker(consumer, names.first().copied().unwrap_or_default())?;
    let answer = DescribeTopics::send(consumer, broker, &names, TIMEOUT).answer(TIMEOUT);
    let found = answer.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut));
    let found = found.map_err(KafkaError::MetadataFetch)?;
    Ok(found.into_iter().filter_map(|(name, topic)| Some((name, topic.ok()?))).collect())
}

fn a_broker<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> Result<i32, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let broker = metadata.brokers().first().map(MetadataBroker::id);
    broker.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::AllBrokersDown))
}

/// The commits of all partitions of the topics.
fn commits<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &HashMap<String, Topic>,
) -> Result<HashMap<(String, i32), Commit>, KafkaError> {
    let partitions = topics.iter().flat_map(|(name, topic)| {
        let count = i32::try_from(topic.partitions).unwrap_or(0);
        (0..count).map(|partition| (name.as_str(), partition))
    });
    let found = committed(consumer, partitions, TIMEOUT)?;
    let commit = |found: Committed| {
        let (position, metadata) = (found.position(), found.host_metadata());
        ((found.topic, found.partition), Commit { position, metadata })
    };
    Ok(found.into_iter().map(commit).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, OnceLock, Weak};

    use async_channel::Receiver;
    use rdkafka::client::ClientContext;
    use rdkafka::consumer::CommitMode;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use rdkafka::topic_partition_list::Offset;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use rdkafka::{ClientConfig, TopicPartitionList};

    use super::*;
    use crate::delivery::Delivery;
    use crate::group::GroupMember;
    use crate::partition::{Block, Condition, Partition, PartitionContext};

    const BOUND: Duration = Duration::from_secs(30);
    /// Offset 1 is retried for the third time, and offset 2 is finished.
    const METADATA: &str = "host2 0 1 0 2 mwm0nk74 0:3:0:0";

    fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + BOUND;
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(Instant::now() < end, "{what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn config(cluster: &MockCluster<'_, impl ClientContext>) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest");
        // Requests of a consumer wait for its fetch.
        config.set("fetch.wait.max.ms", "10");
        config
    }

    fn publish(config: &ClientConfig, partitions: impl Iterator<Item = i32>) {
        let producer: BaseProducer = config.create().expect("a producer");
        for partition in partitions {
            let record = BaseRecord::<(), str>::to("t").payload("x").partition(partition);
            producer.send(record).expect("queued");
        }
        producer.flush(BOUND).expect("published");
    }

    /// A member, what to set for its end, and the partitions that may have messages.
    fn join(
        config: &ClientConfig,
        reset: OffsetReset,
    ) -> (GroupMember, Arc<AtomicBool>, Receiver<Weak<Partition>>) {
        let (ready, list) = async_channel::unbounded();
        let context = Arc::new(PartitionContext {
            group: "g".to_owned(),
            is_retry: false,
            ordering: settings::Ordering::Key,
            held_keys: None,
            decisions: None,
            ready,
            runtime: tokio::runtime::Handle::current(),
            health: Arc::default(),
            memory: Arc::default(),
            has_regressed: AtomicBool::default(),
            has_large_headers: AtomicBool::default(),
            on_uncommitted: OnceLock::new(),
        });
        let stop = Arc::new(AtomicBool::default());
        let member =
            GroupMember::join(config, "g", &["t"], context, reset, Duration::from_secs(1), Arc::clone(&stop));
        (member.expect("joined"), stop, list)
    }

    fn take(list: &Receiver<Weak<Partition>>, taken: &mut Vec<Delivery>) {
        while let Some(partition) = list.try_recv().ok().and_then(|partition| partition.upgrade()) {
            let mut batch = Vec::new();
            partition.take(10, &mut batch);
            taken.append(&mut batch);
        }
    }

    fn is_blocked(member: &GroupMember) -> bool {
        let partitions = member.health().partitions();
        partitions.iter().any(|status| status.condition == Condition::Blocked(Block::Commit))
    }

    /// librdkafka repeats the lookup of a logical offset that a seek has overtaken, and goes there.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_that_has_no_leader_yet_is_read_from_its_first_message() {
        const PARTITIONS: i32 = 16;
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t", PARTITIONS, 1).expect("a topic");
        let config = config(&cluster);
        publish(&config, 0..PARTITIONS);
        let lead = |partition, leader| cluster.partition_leader("t", partition, leader).expect("a leader");
        (0..PARTITIONS).for_each(|partition| lead(partition, None));
        let (member, stop, list) = join(&config, OffsetReset::Earliest);
        eventually("it waits", || is_blocked(&member).then_some(()));
        // Lookups are under way for some time.
        cluster.broker_round_trip_time(1, Duration::from_millis(100)).expect("a slow broker");
        let mut batch = Vec::new();
        for partition in 0..PARTITIONS {
            lead(partition, Some(1));
            // At any time between two attempts of the client.
            thread::sleep(Duration::from_millis(70));
            take(&list, &mut batch);
        }
        eventually("every message", || {
            take(&list, &mut batch);
            (batch.len() == PARTITIONS as usize).then_some(())
        });
        drop(batch);
        stop.store(true, Ordering::Relaxed);
        member.join_thread();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_read_before_the_commits_are_known() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t", 1, 1).expect("a topic");
        let config = config(&cluster);
        publish(&config, [0; 4].into_iter());
        let client: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition("t", 0).set_offset(Offset::Offset(1)).expect("an offset");
        list.find_partition("t", 0).expect("the element").set_metadata(METADATA);
        client.commit(&list, CommitMode::Sync).expect("committed");

        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::OffsetFetch, &[refused; 5]);
        let (member, stop, list) = join(&config, OffsetReset::Latest);
        eventually("it waits", || is_blocked(&member).then_some(()));
        let mut batch = Vec::new();
        let mut take = || {
            take(&list, &mut batch);
            batch.iter().map(|delivery| (delivery.message().offset(), delivery.attempt())).collect::<Vec<_>>()
        };
        let attempts = eventually("the messages", || Some(take()).filter(|taken| taken.len() == 2));
        assert_eq!(attempts, [(1, 3), (3, 1)]);
        drop(batch);
        stop.store(true, Ordering::Relaxed);
        member.join_thread();
    }
}
