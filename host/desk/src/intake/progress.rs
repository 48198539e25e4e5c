//! How far a member has come: what it has read, what is in the store, and what is committed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kafka::{client, raw};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use crate::letter::Place;

/// How long a commit may wait for its answer before the next one is sent all the same.
const COMMIT_BOUND: Duration = Duration::from_secs(60);
/// The pause before a commit that was not taken is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// By topic and partition: the offset of the next record.
type Positions = HashMap<(String, i32), i64>;

/// What a partition is given back with is forgotten: its next owner begins at what is committed.
#[derive(Debug, Default)]
struct Progress {
    /// Behind the last record that was read.
    read: Positions,
    /// Up to here everything is in the store, and the broker has not confirmed it.
    stored: Positions,
    /// No commit before this moment: one at a time, since librdkafka sends a refused one again, and an
    /// older one could then undo a newer one.
    commit_at: Option<Instant>,
    /// Whether partitions have been assigned that nobody has looked at.
    assigned: bool,
    paused: bool,
}

impl Progress {
    fn read(&mut self, place: &Place) {
        self.read.insert((place.topic.clone(), place.partition), place.offset + 1);
    }

    fn stored(&mut self) {
        self.stored.extend(self.read.drain());
    }

    fn confirm(&mut self, topic: &str, partition: i32, position: i64) {
        let key = (topic.to_owned(), partition);
        if self.stored.get(&key) == Some(&position) {
            self.stored.remove(&key);
        }
    }

    fn give_back(&mut self, topic: &str, partition: i32) {
        let key = (topic.to_owned(), partition);
        self.read.remove(&key);
        self.stored.remove(&key);
    }
}

/// What librdkafka tells a member.
pub(super) struct Context {
    group: String,
    progress: Mutex<Progress>,
}

impl Context {
    pub(super) fn new(group: &str) -> Self {
        Self { group: group.to_owned(), progress: Mutex::default() }
    }

    /// This record was read.
    pub(super) fn read(&self, place: &Place) {
        self.progress.lock().read(place);
    }

    /// Everything that was read is in the store.
    pub(super) fn stored(&self) {
        self.progress.lock().stored();
    }

    /// Whether something is to be committed still.
    pub(super) fn is_behind(&self) -> bool {
        !self.progress.lock().stored.is_empty()
    }

    /// Whether there was a rebalance since the last [`Self::take_assigned`].
    pub(super) fn is_assigned(&self) -> bool {
        self.progress.lock().assigned
    }

    /// Likewise, and from now on there was none.
    pub(super) fn take_assigned(&self) -> bool {
        std::mem::take(&mut self.progress.lock().assigned)
    }

    /// Returns whether that is a change.
    pub(super) fn set_paused(&self, paused: bool) -> bool {
        std::mem::replace(&mut self.progress.lock().paused, paused) != paused
    }

    /// Hands what is stored to the broker.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>) {
        let mut list = TopicPartitionList::new();
        {
            let mut progress = self.progress.lock();
            let is_early = progress.commit_at.is_some_and(|moment| Instant::now() < moment);
            if is_early || progress.stored.is_empty() {
                return;
            }
            for ((topic, partition), position) in &progress.stored {
                // Refuses only offsets that are none.
                let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*position));
            }
            progress.commit_at = Some(Instant::now() + COMMIT_BOUND);
        }
        if let Err(error) = raw::commit(consumer, &list) {
            self.not_taken(&error);
        }
    }

    fn not_taken(&self, error: &dyn std::fmt::Display) {
        self.progress.lock().commit_at = Some(Instant::now() + COMMIT_RETRY);
        tracing::debug!(group = self.group, %error, "commit not taken, will be tried again");
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(list) => {
                let mut progress = self.progress.lock();
                for element in list.elements() {
                    progress.give_back(element.topic(), element.partition());
                }
            }
            Rebalance::Error(error) => tracing::warn!(group = self.group, %error, "rebalance"),
        }
    }

    /// What is assigned is not read before it is known who else is in the group.
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(_) = rebalance else { return };
        if let Err(error) = consumer.assignment().and_then(|all| consumer.pause(&all)) {
            tracing::warn!(group = self.group, %error, "consumer");
        }
        let mut progress = self.progress.lock();
        (progress.assigned, progress.paused) = (true, true);
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            return self.not_taken(&error);
        }
        let mut progress = self.progress.lock();
        progress.commit_at = None;
        for element in offsets.elements() {
            if let (Offset::Offset(position), Ok(())) = (element.offset(), element.error()) {
                progress.confirm(element.topic(), element.partition(), position);
            }
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(group = self.group, %error, reason, "client");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_stored_and_owned_is_committed() {
        let place = |partition, offset| Place { topic: "t".to_owned(), partition, offset };
        let mut progress = Progress::default();
        progress.read(&place(0, 4));
        progress.read(&place(0, 5));
        progress.read(&place(1, 9));
        assert!(progress.stored.is_empty());
        progress.give_back("t", 1);
        progress.stored();
        assert_eq!(progress.stored, HashMap::from([(("t".to_owned(), 0), 6)]));
        progress.confirm("t", 0, 5);
        assert_eq!(progress.stored.len(), 1, "an older commit");
        progress.give_back("t", 0);
        // It comes back, and is read again from what was committed.
        progress.read(&place(0, 4));
        progress.stored();
        progress.confirm("t", 0, 5);
        assert!(progress.stored.is_empty());
    }
}
