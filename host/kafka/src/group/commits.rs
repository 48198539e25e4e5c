//! The commits of a group member.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::membership::CurrentClient;
use super::{COMMIT_INTERVAL, MemberContext};
use crate::committed::add_commit;
use crate::partition::{OnUncommitted, Partition};
use crate::raw;

/// The time after which the next commit is sent although the previous one has not been answered.
const COMMIT_BOUND: Duration = Duration::from_secs(60);
/// The pause before a failed request is retried.
const COMMIT_RETRY: Duration = Duration::from_millis(200);

/// The commits in flight and to come.
pub(super) struct Commits {
    /// The start of the commit in flight. Only one at a time: librdkafka repeats a commit that the broker or a
    /// rebalance refuses, so that an older commit could overwrite a newer one.
    pub in_flight: Option<Instant>,
    /// The earliest time of the next one.
    pub next: Instant,
    /// Whether the next one is the first of an assignment. It has the positions where reading starts, mostly, and the first
    /// messages do not wait because of it.
    pub is_first: bool,
}

/// Commits in the worker's thread: the member's own may be asleep until the next commit is due.
pub(super) fn commit_at_once(client: &CurrentClient) -> OnUncommitted {
    let client = Arc::clone(client);
    Box::new(move || {
        let current = client.read().upgrade();
        if let Some(consumer) = current {
            consumer.context().commit(&consumer);
        }
    })
}

impl MemberContext {
    /// Commits revoked partitions before `until`. Deliveries that are not committed then are repeated by the
    /// next owner.
    pub(super) fn commit_before(
        &self,
        until: Instant,
        consumer: &BaseConsumer<Self>,
        revoked: &[Arc<Partition>],
    ) {
        // What another thread has begun to commit comes first.
        drop(self.commits.lock());
        let mut list = uncommitted(revoked);
        if list.count() == 0 {
            return;
        }
        while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            if is_too_large(&error) {
                revoked.iter().for_each(|partition| partition.commit_offsets_only());
            }
            if is_fenced(&error) || Instant::now() >= until {
                tracing::warn!(group = self.group, %error, "partitions revoked without a commit");
                return;
            }
            thread::sleep(COMMIT_RETRY);
            list = uncommitted(revoked);
        }
    }

    /// Commits all partitions, unless it is too early. A failed commit is repeated by a later call.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>) {
        // Held until librdkafka has the commit: one of a revocation must not overtake it.
        let mut commits = self.commits.lock();
        let now = Instant::now();
        if now < commits.next || commits.in_flight.is_some_and(|since| now - since < COMMIT_BOUND) {
            return;
        }
        let list = uncommitted(self.partitions.lock().values());
        if list.count() == 0 {
            return;
        }
        let pause = if commits.is_first { Duration::ZERO } else { COMMIT_INTERVAL };
        *commits = Commits { in_flight: Some(now), next: now + pause, is_first: false };
        if let Err(error) = raw::commit(consumer, &list) {
            commits.in_flight = None;
            tracing::warn!(group = self.group, %error, "the commit failed and is retried");
        }
    }

    /// Handles the response to a commit, which has a result per partition.
    pub(super) fn committed(&self, list: &TopicPartitionList) {
        let partitions = self.partitions.lock();
        for element in list.elements() {
            let Some(partition) = partitions.get(&(element.topic().to_owned(), element.partition())) else {
                continue;
            };
            match (element.offset(), element.error()) {
                (Offset::Offset(position), Ok(())) => partition.set_committed(position),
                (_, Err(error)) if is_too_large(&error) => partition.commit_offsets_only(),
                _ => {}
            }
        }
    }
}

/// The positions that the broker has not confirmed.
fn uncommitted<'a>(partitions: impl IntoIterator<Item = &'a Arc<Partition>>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        let Some((position, metadata)) = partition.uncommitted() else { continue };
        let key = (partition.topic(), partition.index());
        if let Err(error) = add_commit(&mut list, key, position, &metadata) {
            tracing::error!(topic = key.0, partition = key.1, %error, "an offset cannot be committed");
        }
    }
    list
}

pub(super) fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OffsetMetadataTooLarge)
}

/// Whether another member owns the partition already, or its topic was deleted. A topic of the same name must
/// not inherit the position.
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
