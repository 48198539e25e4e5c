//! What a member commits, and what it finds committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::GroupContext;
use crate::partition::Partition;
use crate::raw;
use crate::window::Window;

/// How long a commit may wait for its answer before the next one is sent all the same.
const COMMIT_BOUND: Duration = Duration::from_secs(60);
/// The pause before a commit that was not taken is tried again, when it is the last chance.
const COMMIT_RETRY: Duration = Duration::from_millis(200);
/// How long the look for what was committed before may take, and one try of it.
const LOOK_UP: Duration = Duration::from_secs(30);
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(5);

impl GroupContext {
    /// The last chance to commit: what is not taken now is repeated by the next owner.
    pub(super) fn commit_before(
        &self,
        until: Instant,
        consumer: &BaseConsumer<Self>,
        revoked: &[Arc<Partition>],
    ) {
        let mut list = uncommitted(revoked);
        if list.count() == 0 {
            return;
        }
        while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            if is_too_large(&error) {
                revoked.iter().for_each(|partition| partition.commit_plainly());
            }
            if is_fenced(&error) || Instant::now() >= until {
                tracing::warn!(group = self.group, %error, "given back uncommitted");
                return;
            }
            thread::sleep(COMMIT_RETRY);
            list = uncommitted(revoked);
        }
    }

    /// What the broker does not take is handed in again at a later turn.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>) {
        if self.committing.lock().is_some_and(|since| since.elapsed() < COMMIT_BOUND) {
            return;
        }
        let list = uncommitted(self.partitions.lock().values());
        if list.count() == 0 {
            return;
        }
        *self.committing.lock() = Some(Instant::now());
        if let Err(error) = raw::commit(consumer, &list) {
            *self.committing.lock() = None;
            tracing::warn!(group = self.group, %error, "commit not taken, will be tried again");
        }
    }

    /// The broker's answer counts for each partition by itself.
    pub(super) fn committed(&self, list: &TopicPartitionList) {
        let partitions = self.partitions.lock();
        for element in list.elements() {
            let Some(partition) = partitions.get(&(element.topic().to_owned(), element.partition())) else {
                continue;
            };
            match (element.offset(), element.error()) {
                (Offset::Offset(position), Ok(())) => partition.set_committed(position),
                (_, Err(error)) if is_too_large(&error) => partition.commit_plainly(),
                _ => {}
            }
        }
    }

    /// What was committed for partitions that are about to be read. None where nobody says so in
    /// time: then some of what is finished already is repeated.
    pub(super) fn committed_before(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
    ) -> Option<TopicPartitionList> {
        let until = Instant::now() + LOOK_UP;
        loop {
            let mut asked = TopicPartitionList::with_capacity(list.count());
            for element in list.elements() {
                asked.add_partition(element.topic(), element.partition());
            }
            let answer = consumer.committed_offsets(asked, COMMITTED_TIMEOUT).and_then(|committed| {
                committed.elements().iter().try_for_each(|element| element.error())?;
                Ok(committed)
            });
            match answer {
                Ok(committed) => return Some(committed),
                Err(error) if Instant::now() >= until || self.stop.load(Ordering::Relaxed) => {
                    tracing::warn!(
                        group = self.group, %error,
                        "cannot find out what is finished behind the committed offsets; some of it may be repeated"
                    );
                    return None;
                }
                Err(_) => thread::sleep(COMMIT_RETRY),
            }
        }
    }
}

/// Positions that the broker has not confirmed.
fn uncommitted<'a>(partitions: impl IntoIterator<Item = &'a Arc<Partition>>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        let Some((position, window)) = partition.uncommitted() else { continue };
        let mut element = list.add_partition(partition.topic(), partition.index());
        // Refuses only offsets that are none.
        if element.set_offset(Offset::Offset(position)).is_ok() && !window.is_empty() {
            element.set_metadata(window);
        }
    }
    list
}

/// What was committed beside a partition's offset, by a host.
pub(super) fn window(committed: &TopicPartitionList, topic: &str, index: i32) -> Option<Window> {
    let element = committed.find_partition(topic, index)?;
    let Offset::Offset(base) = element.offset() else { return None };
    Window::decode(base, &raw::metadata(committed, topic, index)?)
}

pub(super) fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OffsetMetadataTooLarge)
}

/// Whether somebody else has the partition already, or its topic is gone: made again, it must not
/// inherit the position.
fn is_fenced(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::FencedInstanceId
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}
