//! A compacted topic with one partition, which every host of a group reads from its beginning on: the last record of a
//! key counts, and one without a value removes it.

mod reader;

use std::collections::BTreeMap;
use std::thread::Thread;

pub use self::reader::Reader;
use crate::publisher::Destination;
use crate::raw::admin::TopicId;

/// The partition that has the records: a key keeps its place although its source grows.
pub const PARTITION: i32 = 0;

/// What is read from a compacted topic.
pub trait Log: Send + Sync + 'static {
    /// The consumer group for which it is read.
    fn group(&self) -> &str;

    /// The topic.
    fn topic(&self) -> &Destination;

    /// Sets the thread that reads. Only the first call has an effect.
    fn set_reader(&self, thread: Thread);

    /// Whether the topic has to be read from its beginning; true once.
    fn begins(&self) -> bool;

    /// The record at `offset` was read.
    fn read(&self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>);

    /// Several records were read.
    fn has_read(&self) {}

    /// The end of the topic was reached.
    fn read_all(&self, end: i64);
}

/// The entries of a compacted topic, as far as it has been read.
pub struct Table<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    /// Where the topic is read; None until it is known to exist.
    reading: Option<Reading>,
}

/// The value of a key.
struct Entry<V> {
    value: V,
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

/// How far a topic has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadTo {
    /// Up to the offset in question.
    Yes,
    /// Not so far yet.
    No,
    /// The topic is another one than before, if there was one, and is read from its beginning: the reader must be woken.
    Begins {
        /// Whether no topic was read before.
        is_first: bool,
    },
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), reading: None }
    }
}

impl<K: Ord, V> Table<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys with their values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// The keys from `first` to `last` with their values, in the order of the keys.
    pub fn range(&self, first: K, last: K) -> impl Iterator<Item = (&K, &V)> {
        self.entries.range(first..=last).map(|(key, entry)| (key, &entry.value))
    }

    /// Whether this topic has been read up to `end`. A topic other than the one that is read is read from its beginning;
    /// until its end the entries of both count.
    pub fn is_read_to(&mut self, topic: Option<TopicId>, end: i64) -> ReadTo {
        if let Some(reading) = self.reading.as_ref().filter(|reading| reading.topic == topic) {
            return if reading.next >= end { ReadTo::Yes } else { ReadTo::No };
        }
        let is_first = self.reading.is_none();
        self.entries.values_mut().for_each(|entry| entry.offset = None);
        self.reading = Some(Reading { topic, has_begun: false, next: 0 });
        ReadTo::Begins { is_first }
    }

    /// Whether the reader has to read the topic from its beginning; true once.
    pub fn begins(&mut self) -> bool {
        self.reading.as_mut().is_some_and(|reading| !std::mem::replace(&mut reading.has_begun, true))
    }

    /// A record was read, or has been published. One that was read may follow it, and then counts.
    pub fn apply(&mut self, offset: i64, key: K, value: Option<V>) {
        if self.reading.as_ref().is_some_and(|reading| offset < reading.next) {
            return;
        }
        match value {
            Some(value) => {
                self.entries.insert(key, Entry { value, offset: Some(offset) });
            }
            None => {
                self.entries.remove(&key);
            }
        }
    }

    /// The record at `offset` was read. Without a change it belongs to another group or is no record of a host.
    pub fn read(&mut self, offset: i64, change: Option<(K, Option<V>)>) {
        // The log was cut, and its records from there on are others.
        if self.reading.as_ref().is_some_and(|reading| offset < reading.next) {
            self.entries.retain(|_, entry| entry.offset.is_none_or(|read| read < offset));
            self.reading.iter_mut().for_each(|reading| reading.next = offset);
        }
        if let Some((key, value)) = change {
            self.apply(offset, key, value);
        }
        self.reading.iter_mut().for_each(|reading| reading.next = offset + 1);
    }

    /// The end of the topic was reached: entries that only an earlier one had are dropped.
    pub fn read_all(&mut self, end: i64) {
        self.entries.retain(|_, entry| entry.offset.is_some());
        self.reading.iter_mut().for_each(|reading| reading.next = reading.next.max(end));
    }
}
