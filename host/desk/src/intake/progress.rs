//! A member's progress: positions read, stored and committed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use desk_api::Location;
use kafka::{client, raw};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

/// How long a commit may stay unanswered before the next one is sent.
const COMMIT_BOUND: Duration = Duration::from_secs(60);
/// Pause before a failed commit is retried.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// The offset of the next record, by topic and partition.
type Positions = HashMap<(String, i32), i64>;

/// Positions of a revoked partition are dropped: its next owner starts at the committed offset.
#[derive(Debug, Default)]
struct Progress {
    /// Positions after the last record read.
    read: Positions,
    /// Positions up to which everything is stored, and whose commit is not confirmed.
    stored: Positions,
    /// The earliest time of the next commit. Commits are sent one at a time: librdkafka resends a refused one,
    /// which could then overwrite a newer one.
    commit_at: Option<Instant>,
    /// Whether partitions were assigned since the last check of the group's members.
    assigned: bool,
    paused: bool,
}

impl Progress {
    fn read(&mut self, location: &Location) {
        self.read.insert((location.topic.clone(), location.partition), location.offset + 1);
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

    fn revoke(&mut self, topic: &str, partition: i32) {
        let key = (topic.to_owned(), partition);
        self.read.remove(&key);
        self.stored.remove(&key);
    }
}

/// Receives librdkafka's callbacks.
pub(super) struct Context {
    group: String,
    progress: Mutex<Progress>,
}

impl Context {
    pub(super) fn new(group: &str) -> Self {
        Self { group: group.to_owned(), progress: Mutex::default() }
    }

    /// Notes that a record was read.
    pub(super) fn read(&self, location: &Location) {
        self.progress.lock().read(location);
    }

    /// Notes that everything read is stored.
    pub(super) fn stored(&self) {
        self.progress.lock().stored();
    }

    /// Whether commits are outstanding.
    pub(super) fn is_behind(&self) -> bool {
        !self.progress.lock().stored.is_empty()
    }

    /// Whether there was a rebalance since the last [`Self::take_assigned`].
    pub(super) fn is_assigned(&self) -> bool {
        self.progress.lock().assigned
    }

    /// As [`Self::is_assigned`], and resets it.
    pub(super) fn take_assigned(&self) -> bool {
        std::mem::take(&mut self.progress.lock().assigned)
    }

    /// Returns whether this is a change.
    pub(super) fn set_paused(&self, paused: bool) -> bool {
        std::mem::replace(&mut self.progress.lock().paused, paused) != paused
    }

    /// Whether all partitions are paused.
    pub(super) fn is_paused(&self) -> bool {
        self.progress.lock().paused
    }

    /// Forgets all positions: they are those of another log.
    pub(super) fn forget(&self) {
        let mut progress = self.progress.lock();
        progress.read.clear();
        progress.stored.clear();
    }

    /// Commits the offsets of the stored records.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>) {
        let mut list = TopicPartitionList::new();
        {
            let mut progress = self.progress.lock();
            let is_early = progress.commit_at.is_some_and(|earliest| Instant::now() < earliest);
            if is_early || progress.stored.is_empty() {
                return;
            }
            for ((topic, partition), position) in &progress.stored {
                // Fails only for invalid offsets.
                let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*position));
            }
            progress.commit_at = Some(Instant::now() + COMMIT_BOUND);
        }
        if let Err(error) = raw::commit(consumer, &list) {
            self.retry_later(&error);
        }
    }

    fn retry_later(&self, error: &dyn std::fmt::Display) {
        self.progress.lock().commit_at = Some(Instant::now() + COMMIT_RETRY);
        tracing::debug!(group = self.group, %error, "commit failed, will be retried");
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(list) => {
                let mut progress = self.progress.lock();
                for element in list.elements() {
                    progress.revoke(element.topic(), element.partition());
                }
            }
            Rebalance::Error(error) => tracing::warn!(group = self.group, %error, "rebalance"),
        }
    }

    /// Assigned partitions are paused until the group's other members are known.
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
            return self.retry_later(&error);
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
    fn only_stored_records_of_owned_partitions_are_committed() {
        let location = |partition, offset| Location { topic: "t".to_owned(), partition, offset };
        let mut progress = Progress::default();
        progress.read(&location(0, 4));
        progress.read(&location(0, 5));
        progress.read(&location(1, 9));
        assert!(progress.stored.is_empty());
        progress.revoke("t", 1);
        progress.stored();
        assert_eq!(progress.stored, HashMap::from([(("t".to_owned(), 0), 6)]));
        progress.confirm("t", 0, 5);
        assert_eq!(progress.stored.len(), 1, "an older commit");
        progress.revoke("t", 0);
        // The partition is assigned again, and read from the committed offset.
        progress.read(&location(0, 4));
        progress.stored();
        progress.confirm("t", 0, 5);
        assert!(progress.stored.is_empty());
    }
}
