//! Which consumer groups read a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::groups::GroupInfo;

use crate::commands::assignment;
use crate::kafka::client::KafkaArgs;
use crate::kafka::committed::committed;
use crate::kafka::errors::Context;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long all of them may take together.
const ALL: Duration = Duration::from_secs(10);

/// The groups that read some topics.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// The groups of each topic: those with members on it, and those that have committed there.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// How many groups could not be asked what they have committed.
    pub unseen: usize,
}

/// Asks Kafka. Blocks for up to 20 s.
pub(super) fn of(kafka: &KafkaArgs, topics: &BTreeSet<String>) -> KafkaResult<Readers> {
    let consumer: BaseConsumer<Context> = kafka.config(&[]).create_with_context(Context::default())?;
    let mut partitions: Vec<(String, i32)> = Vec::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let found = metadata.topics().iter().filter(|found| found.name() == topic);
        partitions.extend(found.flat_map(|topic| {
            topic.partitions().iter().map(|partition| (topic.name().to_owned(), partition.id()))
        }));
    }
    let mut readers = Readers::default();
    let until = Instant::now() + ALL;
    let listed = consumer.fetch_group_list(None, TIMEOUT)?;
    for group in listed.groups() {
        let read = assigned(group);
        let mut unknown: BTreeSet<&String> = topics.iter().collect();
        for topic in topics.iter().filter(|topic| read.contains(*topic)) {
            unknown.remove(topic);
            readers.groups.entry(topic.clone()).or_default().insert(group.name().to_owned());
        }
        let asked: Vec<(&str, i32)> = partitions
            .iter()
            .filter(|(topic, _)| unknown.contains(topic))
            .map(|(topic, partition)| (topic.as_str(), *partition))
            .collect();
        if asked.is_empty() {
            continue;
        }
        let found = if Instant::now() < until { committed_by(kafka, group.name(), &asked).ok() } else { None };
        let Some(found) = found else {
            readers.unseen += 1;
            continue;
        };
        for topic in found {
            readers.groups.entry(topic).or_default().insert(group.name().to_owned());
        }
    }
    Ok(readers)
}

/// The topics that a group's members are assigned.
fn assigned(group: &GroupInfo) -> BTreeSet<String> {
    if group.protocol_type() != "consumer" {
        return BTreeSet::new();
    }
    let assignments = group.members().iter().filter_map(|member| assignment::decode(member.assignment()?));
    assignments.flatten().map(|(topic, _)| topic).collect()
}

fn committed_by(kafka: &KafkaArgs, group: &str, partitions: &[(&str, i32)]) -> KafkaResult<BTreeSet<String>> {
    let own = [("group.id", group), ("enable.auto.commit", "false")];
    let consumer: BaseConsumer<Context> = kafka.config(&own).create_with_context(Context::default())?;
    let found = committed(&consumer, partitions.iter().copied(), TIMEOUT)?;
    Ok(found.into_iter().map(|found| found.topic).collect())
}
