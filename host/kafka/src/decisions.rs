//! What operators have decided about messages that wait in retry topics: to run one now, to postpone it, or to give it up.
//!
//! A decision is a record of a compacted topic, which every host of the group reads: of several about a message, the last
//! one counts. The host that reads the partition of the message obeys it, and answers whether it came in time. Both records
//! are removed when the message's partition is committed past it. The topic is created with the first decision.

mod answers;
mod record;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::Thread;

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::JoinSet;

use crate::compacted::{Log, PARTITION, ReadTo, Table};
use crate::partition::Partition;
use crate::publisher::{Derived, Destination, Publisher};
use crate::raw::HeaderList;
use crate::raw::admin::TopicId;

/// The maximum length of a message id in a decision, in bytes; the rest is cut.
const MAX_ID: usize = 256;
/// The number of records that are published at once.
const BATCH: usize = 500;

/// The topic of the decisions about the retries of a source topic. Consumer groups of the same source share it.
pub fn topic_of(source: &str) -> String {
    format!("{source}-waiting")
}

/// A record of a retry topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The retry topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What happens to a message that is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is due now.
    RunNow,
    /// It is due at another time, earlier or later.
    Postpone {
        /// The due time in milliseconds since the Unix epoch.
        until_ms: i64,
    },
    /// It becomes a dead letter, without another attempt.
    GiveUp,
}

/// A decision about a message that is waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Tells it from other decisions about the message.
    pub number: u64,
    /// The message's id, from [`message_id`].
    pub message: String,
    /// What was decided.
    pub action: Action,
    /// The user's name, as given by the client.
    pub by: String,
    /// The reason given.
    pub reason: String,
    /// When it was decided, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// What has become of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The host that reads the partition has not answered yet.
    Decided,
    /// The message was waiting, and the decision applies.
    Obeyed,
    /// The message had started already, or is another one.
    TooLate,
}

/// A message's id in decisions.
pub fn message_id(id: &str) -> &str {
    &id[..id.floor_char_boundary(MAX_ID)]
}

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    target: Target,
    part: Part,
}

/// Decision and answer have keys of their own, so that an answer never replaces a later decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Decision,
    Answer,
}

/// The value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Decision(Arc<Decision>),
    /// The answer to the decision with this number.
    Answer {
        number: u64,
        obeyed: bool,
    },
}

/// The decisions of a consumer group, as far as their topic has been read.
pub struct Decisions {
    group: String,
    topic: Destination,
    table: Mutex<Table<Key, Entry>>,
    /// Counts the changes.
    version: AtomicU64,
    /// The partitions of retry topics that this process reads.
    partitions: Mutex<Vec<Weak<Partition>>>,
    /// The thread that reads.
    reader: OnceLock<Thread>,
}

impl Decisions {
    /// The decisions for `group`, which are records of `topic`. Nothing is read before [`crate::compacted::Reader::start`].
    pub fn new(group: &str, topic: Destination) -> Arc<Self> {
        Arc::new(Self {
            group: group.to_owned(),
            topic,
            table: Mutex::default(),
            version: AtomicU64::new(0),
            partitions: Mutex::default(),
            reader: OnceLock::new(),
        })
    }

    /// The topic.
    pub fn topic(&self) -> &Destination {
        &self.topic
    }

    /// Whether there are no decisions.
    pub fn is_empty(&self) -> bool {
        self.table.lock().is_empty()
    }

    /// Changes with every change of the decisions.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The decision about a message, and what has become of it.
    pub fn find(&self, target: &Target) -> Option<(Arc<Decision>, Standing)> {
        let table = self.table.lock();
        let Some(Entry::Decision(decision)) = table.get(&target.part(Part::Decision)) else { return None };
        Some((Arc::clone(decision), standing(&table, target, decision.number)))
    }

    /// The decisions about messages of a partition by offset.
    pub fn of(&self, topic: &str, partition: i32) -> BTreeMap<i64, (Arc<Decision>, Standing)> {
        let at = |offset| Target { topic: topic.to_owned(), partition, offset };
        let table = self.table.lock();
        let range = table.range(at(i64::MIN).part(Part::Decision), at(i64::MAX).part(Part::Answer));
        let decision = |(key, entry): (&Key, &Entry)| match entry {
            Entry::Decision(decision) => {
                let standing = standing(&table, &key.target, decision.number);
                Some((key.target.offset, (Arc::clone(decision), standing)))
            }
            Entry::Answer { .. } => None,
        };
        range.filter_map(decision).collect()
    }

    /// Publishes decisions. The topic must exist. Returns the number of those that Kafka has acknowledged, and the error
    /// of the first that it has not.
    pub async fn decide(
        &self,
        publisher: &Arc<Publisher>,
        decisions: Vec<(Target, Decision)>,
    ) -> (usize, Option<RDKafkaErrorCode>) {
        let entry = |(target, decision): (Target, Decision)| {
            (target.part(Part::Decision), Some(Entry::Decision(Arc::new(decision))))
        };
        self.publish(publisher, decisions.into_iter().map(entry).collect()).await
    }

    /// Publishes records until one fails, and applies those that were acknowledged.
    async fn publish(
        &self,
        publisher: &Arc<Publisher>,
        records: Vec<(Key, Option<Entry>)>,
    ) -> (usize, Option<RDKafkaErrorCode>) {
        let mut published = 0;
        for batch in records.chunks(BATCH) {
            let mut publishing = JoinSet::new();
            for (key, entry) in batch.iter().cloned() {
                let (publisher, topic) = (Arc::clone(publisher), self.topic.clone());
                let bytes = (record::key(&self.group, &key), entry.as_ref().map(record::value));
                publishing.spawn(async move {
                    let (record_key, value) = (&*bytes.0, bytes.1.as_deref());
                    // Any time will do where this machine's clock is wrong: compaction goes by offsets.
                    let timestamp_ms = Some(1);
                    let record = Derived { partition: PARTITION, timestamp_ms, key: Some(record_key), value };
                    let placed = publisher.publish(&topic, record, &|| HeaderList::with_capacity(0)).await;
                    (key, entry, placed)
                });
            }
            let mut failed = None;
            while let Some(ended) = publishing.join_next().await {
                match ended {
                    Ok((key, entry, Ok(placed))) => {
                        self.table.lock().apply(placed.offset, key, entry);
                        published += 1;
                    }
                    Ok((_, _, Err(code))) => failed = failed.or(Some(code)),
                    Err(_) => failed = failed.or(Some(RDKafkaErrorCode::Fail)),
                }
            }
            self.changed();
            if failed.is_some() {
                return (published, failed);
            }
        }
        (published, None)
    }

    /// Has a partition of a retry topic obey decisions.
    pub(crate) fn watch(&self, partition: &Arc<Partition>) {
        let mut partitions = self.partitions.lock();
        partitions.retain(|partition| partition.strong_count() > 0);
        partitions.push(Arc::downgrade(partition));
    }

    /// Whether this topic has been read up to `end`. A topic other than the one that is read is read from its beginning,
    /// and its decisions apply instead.
    pub fn is_read_to(&self, topic: Option<TopicId>, end: i64) -> bool {
        match self.table.lock().is_read_to(topic, end) {
            ReadTo::Begins { .. } => {
                self.reader.get().inspect(|thread| thread.unpark());
                end == 0
            }
            read => read == ReadTo::Yes,
        }
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        // Without the lock: a partition may be dropped here.
        let partitions: Vec<_> = self.partitions.lock().iter().filter_map(Weak::upgrade).collect();
        partitions.iter().for_each(|partition| partition.wake());
    }
}

fn standing(table: &Table<Key, Entry>, target: &Target, decision: u64) -> Standing {
    match table.get(&target.part(Part::Answer)) {
        Some(Entry::Answer { number, obeyed }) if *number == decision => {
            if *obeyed {
                Standing::Obeyed
            } else {
                Standing::TooLate
            }
        }
        _ => Standing::Decided,
    }
}

impl Target {
    fn part(&self, part: Part) -> Key {
        Key { target: self.clone(), part }
    }
}

impl Log for Decisions {
    fn group(&self) -> &str {
        &self.group
    }

    fn topic(&self) -> &Destination {
        &self.topic
    }

    fn set_reader(&self, thread: Thread) {
        let _ = self.reader.set(thread);
    }

    fn begins(&self) -> bool {
        self.table.lock().begins()
    }

    fn read(&self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let change = record::read(&self.group, key, value);
        self.table.lock().read(offset, change);
    }

    fn has_read(&self) {
        self.changed();
    }

    fn read_all(&self, end: i64) {
        self.table.lock().read_all(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(offset: i64) -> Target {
        Target { topic: "t-retry".into(), partition: 0, offset }
    }

    fn decision(number: u64) -> Entry {
        let (message, by, reason) = ("m".into(), "kim".into(), String::new());
        Entry::Decision(Arc::new(Decision { number, message, action: Action::GiveUp, by, reason, at_ms: 0 }))
    }

    fn read(decisions: &Decisions, offset: i64, target: &Target, entry: Option<Entry>) {
        let answers = matches!(entry, Some(Entry::Answer { .. }));
        let key = target.part(if answers { Part::Answer } else { Part::Decision });
        let value = entry.as_ref().map(record::value);
        Log::read(decisions, offset, Some(&record::key("g", &key)), value.as_deref());
    }

    #[test]
    fn the_last_decision_counts_and_an_answer_to_an_earlier_one_does_not_replace_it() {
        let decisions = Decisions::new("g", Destination::new("t-waiting", 1).expect("a topic"));
        decisions.is_read_to(None, 0);
        read(&decisions, 0, &target(5), Some(decision(1)));
        read(&decisions, 1, &target(5), Some(decision(2)));
        read(&decisions, 2, &target(5), Some(Entry::Answer { number: 1, obeyed: true }));
        let found =
            |offset| decisions.find(&target(offset)).map(|(decision, standing)| (decision.number, standing));
        assert_eq!(found(5), Some((2, Standing::Decided)));
        read(&decisions, 3, &target(5), Some(Entry::Answer { number: 2, obeyed: false }));
        assert_eq!(found(5), Some((2, Standing::TooLate)));
        read(&decisions, 4, &target(6), Some(decision(3)));
        let all: Vec<i64> = decisions.of("t-retry", 0).into_keys().collect();
        assert_eq!(all, [5, 6]);
        assert!(decisions.of("t-retry", 1).is_empty() && decisions.of("t", 0).is_empty());
        read(&decisions, 5, &target(5), None);
        assert_eq!(found(5), None);
    }

    #[test]
    fn long_ids_are_cut_between_characters() {
        assert_eq!(message_id("short"), "short");
        assert_eq!(message_id(&"가".repeat(100)).len(), 255);
    }
}
