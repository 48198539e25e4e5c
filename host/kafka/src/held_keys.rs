//! The keys of a consumer group whose messages are held after a dead letter (`on-dead = "hold"`).
//!
//! Each is a record of a compacted topic, which every host of the group reads: the last record of a key counts, and one
//! without a value releases it. Nothing of a partition is handled before its host has read that topic to its end.

mod reader;
mod record;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::thread::Thread;

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

pub use self::reader::Reader;
use self::record::Change;
pub use self::record::Held;
use crate::key_order::{OrderKey, order_key};
use crate::publisher::{Derived, Destination, Placed, Publisher};
use crate::raw::HeaderList;
use crate::raw::admin::TopicId;

/// The partition that has the records: a key keeps its place although its source grows.
pub const PARTITION: i32 = 0;

/// The topic of the held keys of a source topic. Consumer groups of the same source share it.
pub fn topic_of(source: &str) -> String {
    format!("{source}-held")
}

/// The held keys of a consumer group, as far as the topic has been read.
pub struct HeldKeys {
    group: String,
    topic: Destination,
    state: Mutex<State>,
    /// The thread that reads.
    reader: OnceLock<Thread>,
}

#[derive(Default)]
struct State {
    keys: HashMap<OrderKey, Entry>,
    /// Where the topic is read; None until it is known to exist.
    reading: Option<Reading>,
}

struct Entry {
    held: Held,
    /// The offset of its record; None if it was read from an earlier topic of this name.
    offset: Option<i64>,
}

/// The reading of a topic from its beginning on.
struct Reading {
    /// None if the brokers are older than Kafka 2.8.
    topic: Option<TopicId>,
    /// Whether the reader has begun.
    has_begun: bool,
    /// The offset of the next record.
    next: i64,
}

impl HeldKeys {
    /// The held keys of `group`, which are records of `topic`. Nothing is read before [`Reader::start`].
    pub fn new(group: &str, topic: Destination) -> Arc<Self> {
        Arc::new(Self { group: group.to_owned(), topic, state: Mutex::default(), reader: OnceLock::new() })
    }

    /// The topic.
    pub fn topic(&self) -> &Destination {
        &self.topic
    }

    /// Whether a message of this key is held. One from before the dead letter is not: it is delivered again after a crash,
    /// although it may have been handled. An earlier offset of a younger message is that of a topic created again.
    pub fn holds(&self, key: OrderKey, partition: i32, offset: i64, timestamp_ms: Option<i64>) -> bool {
        self.state.lock().keys.get(&key).is_some_and(|Entry { held, .. }| {
            let is_older = timestamp_ms.is_some_and(|time| time <= held.since_ms);
            (partition, is_older) != (held.partition, true) || offset >= held.offset
        })
    }

    /// Whether this key is held.
    pub fn contains(&self, key: OrderKey) -> bool {
        self.state.lock().keys.contains_key(&key)
    }

    /// The number of held keys.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.state.lock().keys.len()
    }

    /// The held keys, the earliest first.
    pub fn list(&self) -> Vec<(OrderKey, Held)> {
        let keys = self.state.lock();
        let mut all: Vec<_> = keys.keys.iter().map(|(key, entry)| (*key, entry.held.clone())).collect();
        all.sort_by(|(_, a), (_, b)| (a.since_ms, &a.key).cmp(&(b.since_ms, &b.key)));
        all
    }

    /// The number of held keys of each partition of the source, as it was when their dead letter was read.
    pub fn counts(&self) -> HashMap<i32, usize> {
        let mut counts = HashMap::new();
        self.state
            .lock()
            .keys
            .values()
            .for_each(|entry| *counts.entry(entry.held.partition).or_default() += 1);
        counts
    }

    /// Holds a message's key. From then on its later messages are held, also by the next owner of its partition.
    ///
    /// # Errors
    /// The record was not published, or may not have been.
    pub async fn hold(&self, publisher: &Publisher, key: &[u8], held: &Held) -> Result<(), RDKafkaErrorCode> {
        let Some(key) = order_key(settings::Ordering::Key, Some(key)) else { return Ok(()) };
        let value = record::value(held);
        let placed = self.publish(publisher, key, Some(&value)).await?;
        self.apply(placed.offset, Change { key, held: Some(held.clone()) });
        Ok(())
    }

    /// Releases those of these keys that are held. Returns their number.
    ///
    /// # Errors
    /// A record was not published, or may not have been; later keys are still held.
    pub async fn release(&self, publisher: &Publisher, keys: &[OrderKey]) -> Result<usize, RDKafkaErrorCode> {
        let mut released = 0;
        for &key in keys.iter().filter(|key| self.contains(**key)) {
            let placed = self.publish(publisher, key, None).await?;
            self.apply(placed.offset, Change { key, held: None });
            released += 1;
        }
        Ok(released)
    }

    async fn publish(
        &self,
        publisher: &Publisher,
        key: OrderKey,
        value: Option<&[u8]>,
    ) -> Result<Placed, RDKafkaErrorCode> {
        let record_key = record::key(&self.group, key);
        let headers = || HeaderList::with_capacity(0);
        // Any time will do where this machine's clock is wrong: compaction goes by offsets.
        let timestamp_ms = Some(1);
        let record = Derived { partition: PARTITION, timestamp_ms, key: Some(&record_key), value };
        publisher.publish(&self.topic, record, &headers).await
    }

    /// Whether this topic has been read up to `end`. A topic other than the one that is read is read from its beginning,
    /// and its keys are held instead.
    pub fn is_read_to(&self, topic: Option<TopicId>, end: i64) -> bool {
        let mut state = self.state.lock();
        if let Some(reading) = state.reading.as_ref().filter(|reading| reading.topic == topic) {
            return reading.next >= end;
        }
        if state.reading.is_some() {
            tracing::warn!(topic = %self.topic.name(), "the topic was created again: keys that are held only by the earlier one are released");
        }
        state.keys.values_mut().for_each(|entry| entry.offset = None);
        state.reading = Some(Reading { topic, has_begun: false, next: 0 });
        drop(state);
        self.reader.get().inspect(|thread| thread.unpark());
        end == 0
    }

    /// Whether the reader has to read the topic from its beginning.
    fn begins(&self) -> bool {
        let mut state = self.state.lock();
        state.reading.as_mut().is_some_and(|reading| !std::mem::replace(&mut reading.has_begun, true))
    }

    /// A record was read, or has been published. One that was read may follow it, and then counts.
    fn apply(&self, offset: i64, change: Change) {
        let mut state = self.state.lock();
        if state.reading.as_ref().is_some_and(|reading| offset < reading.next) {
            return;
        }
        match change.held {
            Some(held) => {
                state.keys.insert(change.key, Entry { held, offset: Some(offset) });
            }
            None => {
                state.keys.remove(&change.key);
            }
        }
    }

    /// The record at `offset` was read. Without a change it belongs to another group or is no record of a host.
    fn read(&self, offset: i64, change: Option<Change>) {
        let mut state = self.state.lock();
        // The log was cut, and its records from there on are others.
        if state.reading.as_ref().is_some_and(|reading| offset < reading.next) {
            state.keys.retain(|_, entry| entry.offset.is_none_or(|held| held < offset));
            state.reading.iter_mut().for_each(|reading| reading.next = offset);
        }
        drop(state);
        if let Some(change) = change {
            self.apply(offset, change);
        }
        self.state.lock().reading.iter_mut().for_each(|reading| reading.next = offset + 1);
    }

    /// The end of the topic was reached: keys that were held only by an earlier one are released.
    fn read_all(&self, end: i64) {
        let mut state = self.state.lock();
        state.keys.retain(|_, entry| entry.offset.is_some());
        state.reading.iter_mut().for_each(|reading| reading.next = reading.next.max(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_keys() -> Arc<HeldKeys> {
        HeldKeys::new("g", Destination::new("s-held", 1).expect("a topic"))
    }

    fn held(key: &str) -> Held {
        Held { key: key.as_bytes().to_vec(), partition: 0, offset: 7, code: "c".into(), since_ms: 1 }
    }

    fn hold(key: OrderKey) -> Change {
        Change { key, held: Some(held("k")) }
    }

    fn release(key: OrderKey) -> Change {
        Change { key, held: None }
    }

    fn keys(of: &HeldKeys) -> Vec<OrderKey> {
        let mut keys: Vec<_> = of.list().into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn the_topic_counts_as_read_only_up_to_the_record_that_was_read() {
        let all = held_keys();
        assert!(!all.is_read_to(Some(TopicId(1)), 3), "not begun");
        assert!(all.begins() && !all.begins(), "once");
        all.read(0, Some(hold(5)));
        all.read(1, None);
        assert!(!all.is_read_to(Some(TopicId(1)), 3));
        all.read_all(3);
        assert!(all.is_read_to(Some(TopicId(1)), 3) && all.contains(5));
    }

    #[test]
    fn messages_from_before_the_dead_letter_are_not_held() {
        let all = held_keys();
        all.is_read_to(None, 0);
        // By partition 0, offset 7, at 1 ms.
        all.read(0, Some(hold(5)));
        assert!(!all.holds(5, 0, 6, Some(1)));
        assert!(all.holds(5, 0, 7, Some(1)) && all.holds(5, 0, 8, Some(1)));
        assert!(all.holds(5, 1, 6, Some(1)), "moved to another partition");
        assert!(all.holds(5, 0, 6, Some(2)), "the topic was created again");
        assert!(all.holds(5, 0, 6, None));
        assert!(!all.holds(6, 0, 8, Some(1)), "another key");
    }

    #[test]
    fn what_was_published_does_not_undo_what_was_read_behind_it() {
        let all = held_keys();
        all.is_read_to(None, 0);
        all.read(0, Some(hold(5)));
        all.read(1, Some(release(5)));
        all.apply(0, hold(5));
        assert!(keys(&all).is_empty(), "released by another host meanwhile");
        all.apply(2, hold(6));
        assert_eq!(keys(&all), [6], "before it is read");
        all.read(2, Some(hold(6)));
        all.read(3, Some(release(6)));
        assert!(keys(&all).is_empty());
    }

    #[test]
    fn keys_stay_held_until_another_topic_has_been_read() {
        let all = held_keys();
        all.is_read_to(Some(TopicId(1)), 0);
        assert!(all.begins());
        all.read(0, Some(hold(5)));
        all.read(1, Some(hold(6)));
        assert!(!all.is_read_to(Some(TopicId(2)), 1) && all.begins());
        all.read(0, Some(hold(6)));
        assert_eq!(keys(&all), [5, 6]);
        all.read_all(1);
        assert_eq!(keys(&all), [6]);
    }

    #[test]
    fn records_of_a_log_that_was_cut_do_not_count() {
        let all = held_keys();
        all.is_read_to(Some(TopicId(1)), 0);
        (0..3_u8).for_each(|offset| all.read(offset.into(), Some(hold(offset.into()))));
        all.read(1, Some(hold(9)));
        assert_eq!(keys(&all), [0, 9]);
        assert!(!all.is_read_to(Some(TopicId(1)), 3));
    }
}
