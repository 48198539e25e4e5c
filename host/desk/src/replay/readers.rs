//! Which consumer groups read a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use kafka::assignment;
use kafka::client;
use kafka::committed::committed;
use kafka::errors::Context;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::groups::GroupInfo;
use settings::KafkaArgs;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many groups are asked at once.
const SIDE_BY_SIDE: usize = 8;
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
    let listed = consumer.fetch_group_list(None, TIMEOUT)?;
    let mut rest = Vec::new();
    for group in listed.groups() {
        let read = assigned(group);
        let (sure, open): (Vec<&String>, Vec<&String>) =
            topics.iter().partition(|topic| read.contains(*topic));
        readers.add(group.name(), sure.into_iter().cloned());
        let asked: Vec<(&str, i32)> = partitions
            .iter()
            .filter(|(topic, _)| open.contains(&topic))
            .map(|(topic, partition)| (topic.as_str(), *partition))
            .collect();
        if !asked.is_empty() {
            rest.push((group.name(), asked));
        }
    }
    ask(kafka, rest, &mut readers);
    Ok(readers)
}

impl Readers {
    fn add(&mut self, group: &str, topics: impl IntoIterator<Item = String>) {
        for topic in topics {
            self.groups.entry(topic).or_default().insert(group.to_owned());
        }
    }
}

/// What the groups without members there have committed: each is asked by a client of its own, some side by
/// side.
fn ask(kafka: &KafkaArgs, groups: Vec<(&str, Vec<(&str, i32)>)>, readers: &mut Readers) {
    let until = Instant::now() + ALL;
    let (queue, readers) = (Mutex::new(groups), Mutex::new(readers));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    // Its own statement, so that nobody waits for the lock meanwhile.
                    let next = queue.lock().pop();
                    let Some((group, asked)) = next else { return };
                    let found =
                        if Instant::now() < until { committed_by(kafka, group, &asked).ok() } else { None };
                    let mut readers = readers.lock();
                    match found {
                        Some(found) => readers.add(group, found),
                        None => readers.unseen += 1,
                    }
                }
            });
        }
    });
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
    let consumer: BaseConsumer<Context> =
        client::config(kafka, &own).create_with_context(Context::default())?;
    let found = committed(&consumer, partitions.iter().copied(), TIMEOUT)?;
    Ok(found.into_iter().map(|found| found.topic).collect())
}
