//! The consumer groups that read topics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kafka::errors::Context;
use kafka::raw::admin::CommittedTopics;
use kafka::{assignment, group_list};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::groups::GroupInfo;

use crate::TIMEOUT;

/// The timeout of the requests for offsets together.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The number of groups whose offsets are asked for at the same time.
const CONCURRENCY: usize = 64;

/// The groups that read some topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readers {
    /// The groups of each topic: those with members assigned to it, and those with committed offsets.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// The topics that do not exist.
    pub missing: BTreeSet<String>,
    /// Number of groups whose committed offsets could not be read.
    pub unknown: usize,
}

/// Queries Kafka about these topics. Blocks for up to 20 s.
///
/// # Errors
/// Kafka does not answer.
pub fn of(consumer: &BaseConsumer<Context>, topics: &BTreeSet<String>) -> KafkaResult<Readers> {
    let mut readers = Readers::default();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let exists = |found: &rdkafka::metadata::MetadataTopic| {
            found.name() == topic && found.error().is_none() && !found.partitions().is_empty()
        };
        if !metadata.topics().iter().any(exists) {
            readers.missing.insert(topic.clone());
        }
    }
    // The embedded broker cannot list groups. Its only groups are the host's own.
    if base::kafka_args::is_embedded(consumer.client().fetch_cluster_id(Duration::ZERO).as_deref()) {
        return Ok(readers);
    }
    let listed = group_list::fetch(consumer, None, TIMEOUT)?;
    let mut rest = Vec::new();
    for group in listed.groups() {
        let assigned = assigned(group);
        readers.add(group.name(), assigned.intersection(topics).cloned());
        if !topics.is_subset(&assigned) {
            rest.push(group.name());
        }
    }
    add_committed(consumer, topics, &rest, &mut readers);
    Ok(readers)
}

impl Readers {
    fn add(&mut self, group: &str, topics: impl IntoIterator<Item = String>) {
        for topic in topics {
            self.groups.entry(topic).or_default().insert(group.to_owned());
        }
    }
}

/// Adds groups with committed offsets, several at a time.
fn add_committed(
    consumer: &BaseConsumer<Context>,
    topics: &BTreeSet<String>,
    groups: &[&str],
    readers: &mut Readers,
) {
    let until = Instant::now() + TOTAL_TIMEOUT;
    for some in groups.chunks(CONCURRENCY) {
        let asked: Vec<_> =
            some.iter().map(|group| (group, CommittedTopics::send(consumer, group, TIMEOUT))).collect();
        for (group, request) in asked {
            let left = until.saturating_duration_since(Instant::now()).min(TIMEOUT);
            match request.map(|request| request.answer(left)) {
                Some(Ok(found)) => readers.add(group, found.intersection(topics).cloned()),
                Some(Err(_)) | None => readers.unknown += 1,
            }
        }
    }
}

/// The topics assigned to a group's members.
fn assigned(group: &GroupInfo) -> BTreeSet<String> {
    if group.protocol_type() != "consumer" {
        return BTreeSet::new();
    }
    let assignments = group.members().iter().filter_map(|member| assignment::decode(member.assignment()?));
    assignments.flatten().map(|(topic, _)| topic).collect()
}
