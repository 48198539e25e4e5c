//! The consumer groups that read a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use kafka::assignment;
use kafka::client;
use kafka::committed::committed;
use kafka::errors::Context;
use kafka::group_list;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::groups::GroupInfo;
use settings::KafkaArgs;

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Concurrent requests for offsets.
const CONCURRENCY: usize = 8;
/// Timeout of all of them together.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The groups that read some topics.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// The groups of each topic: those with members assigned to it, and those with committed offsets.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Number of groups whose committed offsets could not be read.
    pub unknown: usize,
}

/// Queries Kafka. Blocks for up to 20 s.
pub(super) fn of(kafka: &KafkaArgs, topics: &BTreeSet<String>) -> KafkaResult<Readers> {
    let consumer: BaseConsumer<Context> =
        client::config(kafka, &[]).create_with_context(Context::default())?;
    let mut partitions: Vec<(String, i32)> = Vec::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let found = metadata.topics().iter().filter(|found| found.name() == topic);
        partitions.extend(found.flat_map(|topic| {
            topic.partitions().iter().map(|partition| (topic.name().to_owned(), partition.id()))
        }));
    }
    let mut readers = Readers::default();
    let listed = group_list::fetch(&consumer, None, TIMEOUT)?;
    let mut rest = Vec::new();
    for group in listed.groups() {
        let assigned = assigned(group);
        let (known, others): (Vec<&String>, Vec<&String>) =
            topics.iter().partition(|topic| assigned.contains(*topic));
        readers.add(group.name(), known.into_iter().cloned());
        let candidates: Vec<(&str, i32)> = partitions
            .iter()
            .filter(|(topic, _)| others.contains(&topic))
            .map(|(topic, partition)| (topic.as_str(), *partition))
            .collect();
        if !candidates.is_empty() {
            rest.push((group.name(), candidates));
        }
    }
    add_committed(kafka, rest, &mut readers);
    Ok(readers)
}

impl Readers {
    fn add(&mut self, group: &str, topics: impl IntoIterator<Item = String>) {
        for topic in topics {
            self.groups.entry(topic).or_default().insert(group.to_owned());
        }
    }
}

/// Adds groups with committed offsets. Offsets are read with a client per group, several at a time.
fn add_committed(kafka: &KafkaArgs, groups: Vec<(&str, Vec<(&str, i32)>)>, readers: &mut Readers) {
    let until = Instant::now() + TOTAL_TIMEOUT;
    let (queue, readers) = (Mutex::new(groups), Mutex::new(readers));
    thread::scope(|scope| {
        for _ in 0..CONCURRENCY {
            scope.spawn(|| {
                loop {
                    // A statement of its own, so that the lock is released before the request.
                    let next = queue.lock().pop();
                    let Some((group, partitions)) = next else { return };
                    let found = if Instant::now() < until {
                        committed_topics(kafka, group, &partitions).ok()
                    } else {
                        None
                    };
                    let mut readers = readers.lock();
                    match found {
                        Some(found) => readers.add(group, found),
                        None => readers.unknown += 1,
                    }
                }
            });
        }
    });
}

/// The topics assigned to a group's members.
fn assigned(group: &GroupInfo) -> BTreeSet<String> {
    if group.protocol_type() != "consumer" {
        return BTreeSet::new();
    }
    let assignments = group.members().iter().filter_map(|member| assignment::decode(member.assignment()?));
    assignments.flatten().map(|(topic, _)| topic).collect()
}

fn committed_topics(
    kafka: &KafkaArgs,
    group: &str,
    partitions: &[(&str, i32)],
) -> KafkaResult<BTreeSet<String>> {
    let own = [("group.id", group), ("enable.auto.commit", "false")];
    let consumer: BaseConsumer<Context> =
        client::config(kafka, &own).create_with_context(Context::default())?;
    let found = committed(&consumer, partitions.iter().copied(), TIMEOUT)?;
    Ok(found.into_iter().map(|found| found.topic).collect())
}
