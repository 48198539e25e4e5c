//! The keys of a consumer group whose messages are held after a dead letter (`on-dead = "hold"`).
//!
//! Each is a record of a compacted topic, which every host of the group reads: the last record of a key counts, and one
//! without a value releases it. Nothing of a partition is handled before its host has read that topic to its end.

mod record;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::thread::Thread;

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use self::record::Change;
pub use self::record::Held;
use crate::compacted::{Log, PARTITION, ReadTo, Table};
use crate::key_order::{OrderKey, order_key};
use crate::publisher::{Derived, Destination, Placed, Publisher};
use crate::raw::HeaderList;
use crate::raw::admin::TopicId;

/// The topic of the held keys of a source topic. Consumer groups of the same source share it.
pub fn topic_of(source: &str) -> String {
    format!("{source}-held")
}

/// The held keys of a consumer group, as far as the topic has been read.
pub struct HeldKeys {
    group: String,
    topic: Destination,
    table: Mutex<Table<OrderKey, Held>>,
    /// The thread that reads.
    reader: OnceLock<Thread>,
}

impl HeldKeys {
    /// The held keys of `group`, which are records of `topic`. Nothing is read before [`Reader::start`].
    pub fn new(group: &str, topic: Destination) -> Arc<Self> {
        Arc::new(Self { group: group.to_owned(), topic, table: Mutex::default(), reader: OnceLock::new() })
    }

    /// The topic.
    pub fn topic(&self) -> &Destination {
        &self.topic
    }

    /// Whether a message of this key is held. One from before the dead letter is not: it is delivered again after a crash,
    /// although it may have been handled. An earlier offset of a younger message is that of a topic created again.
    pub fn holds(&self, key: OrderKey, partition: i32, offset: i64, timestamp_ms: Option<i64>) -> bool {
        self.table.lock().get(&key).is_some_and(|held| {
            let is_older = timestamp_ms.is_some_and(|time| time <= held.since_ms);
            (partition, is_older) != (held.partition, true) || offset >= held.offset
        })
    }

    /// Whether this key is held.
    pub fn contains(&self, key: OrderKey) -> bool {
        self.table.lock().get(&key).is_some()
    }

    /// The number of held keys.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// The held keys, the earliest first.
    pub fn list(&self) -> Vec<(OrderKey, Held)> {
        let table = self.table.lock();
        let mut all: Vec<_> = table.iter().map(|(key, held)| (*key, held.clone())).collect();
        all.sort_by(|(_, a), (_, b)| (a.since_ms, &a.key).cmp(&(b.since_ms, &b.key)));
        all
    }

    /// The number of held keys of each partition of the source, as it was when their dead letter was read.
    pub fn counts(&self) -> HashMap<i32, usize> {
        let mut counts = HashMap::new();
        let table = self.table.lock();
        table.iter().for_each(|(_, held)| *counts.entry(held.partition).or_default() += 1);
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
        self.table.lock().apply(placed.offset, key, Some(held.clone()));
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
            self.table.lock().apply(placed.offset, key, None);
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
        let read = self.table.lock().is_read_to(topic, end);
        if let ReadTo::Begins { is_first } = read {
            if !is_first {
                tracing::warn!(topic = %self.topic.name(), "the topic was created again: keys that are held only by the earlier one are released");
            }
            self.reader.get().inspect(|thread| thread.unpark());
            return end == 0;
        }
        read == ReadTo::Yes
    }
}

impl Log for HeldKeys {
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
        self.table.lock().read(offset, change.map(|Change { key, held }| (key, held)));
    }

    fn read_all(&self, end: i64) {
        self.table.lock().read_all(end);
    }
}

#[cfg(test)]
mod tests {
    use base::topic_name::owner;

    use super::*;

    #[test]
    fn no_plugin_publishes_to_the_topics_of_held_keys_and_of_decisions() {
        for name in [topic_of("orders"), crate::decisions::topic_of("orders")] {
            assert_eq!(owner(&name), Some("the host"), "{name}");
        }
    }

    fn held_keys() -> Arc<HeldKeys> {
        HeldKeys::new("g", Destination::new("s-held", 1).expect("a topic"))
    }

    fn held(key: &str) -> Held {
        Held { key: key.as_bytes().to_vec(), partition: 0, offset: 7, code: "c".into(), since_ms: 1 }
    }

    fn hold(key: OrderKey) -> Option<(OrderKey, Option<Held>)> {
        Some((key, Some(held("k"))))
    }

    fn release(key: OrderKey) -> Option<(OrderKey, Option<Held>)> {
        Some((key, None))
    }

    fn read(all: &HeldKeys, offset: i64, change: Option<(OrderKey, Option<Held>)>) {
        all.table.lock().read(offset, change);
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
        read(&all, 0, hold(5));
        read(&all, 1, None);
        assert!(!all.is_read_to(Some(TopicId(1)), 3));
        all.read_all(3);
        assert!(all.is_read_to(Some(TopicId(1)), 3) && all.contains(5));
    }

    #[test]
    fn messages_from_before_the_dead_letter_are_not_held() {
        let all = held_keys();
        all.is_read_to(None, 0);
        // By partition 0, offset 7, at 1 ms.
        read(&all, 0, hold(5));
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
        read(&all, 0, hold(5));
        read(&all, 1, release(5));
        all.table.lock().apply(0, 5, Some(held("k")));
        assert!(keys(&all).is_empty(), "released by another host meanwhile");
        all.table.lock().apply(2, 6, Some(held("k")));
        assert_eq!(keys(&all), [6], "before it is read");
        read(&all, 2, hold(6));
        read(&all, 3, release(6));
        assert!(keys(&all).is_empty());
    }

    #[test]
    fn keys_stay_held_until_another_topic_has_been_read() {
        let all = held_keys();
        all.is_read_to(Some(TopicId(1)), 0);
        assert!(all.begins());
        read(&all, 0, hold(5));
        read(&all, 1, hold(6));
        assert!(!all.is_read_to(Some(TopicId(2)), 1) && all.begins());
        read(&all, 0, hold(6));
        assert_eq!(keys(&all), [5, 6]);
        all.read_all(1);
        assert_eq!(keys(&all), [6]);
    }

    #[test]
    fn records_of_a_log_that_was_cut_do_not_count() {
        let all = held_keys();
        all.is_read_to(Some(TopicId(1)), 0);
        (0..3_u8).for_each(|offset| read(&all, offset.into(), hold(offset.into())));
        read(&all, 1, hold(9));
        assert_eq!(keys(&all), [0, 9]);
        assert!(!all.is_read_to(Some(TopicId(1)), 3));
    }
}
