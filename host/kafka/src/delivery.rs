//! A message that is being processed.

use std::borrow::Cow;
use std::sync::Arc;

use crate::decisions::Decision;
use crate::headers::{self, Origin, RetryInfo};
use crate::key_order::OrderKey;
use crate::partition::Partition;
use crate::raw::Message;
use crate::window::RetryState;

/// A message that is being processed. Only [`finish`](Self::finish) lets the partition's commit position pass it; a
/// delivery that is dropped in any other way stays unfinished.
pub struct Delivery {
    message: Message,
    retry_info: Option<Box<RetryInfo>>,
    follows_dead_letter: bool,
    given_up: Option<Arc<Decision>>,
    guard: DeliveryGuard,
}

/// Counts a delivery as in progress in its partition until it is dropped.
pub struct DeliveryGuard {
    partition: Arc<Partition>,
    /// The number of its delivery in the partition.
    pub(super) number: u64,
    /// Its offset.
    pub(super) offset: i64,
    /// Bytes of key and value.
    pub(super) size: usize,
    /// The key it is ordered by; see [`crate::key_order`].
    pub(super) key: Option<OrderKey>,
    /// The end of the delivery.
    pub(super) completion: Completion,
}

/// The end of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completion {
    /// Dropped without an outcome.
    Abandoned,
    /// The outcome is durable.
    Finished,
    /// It is retried in place.
    Postponed,
    /// Nothing was done: its partition delivers it again or, once closed, the next owner.
    Returned,
}

impl DeliveryGuard {
    pub(super) fn new(
        partition: Arc<Partition>,
        number: u64,
        offset: i64,
        size: usize,
        key: Option<OrderKey>,
    ) -> Self {
        Self { partition, number, offset, size, key, completion: Completion::Abandoned }
    }
}

impl Drop for DeliveryGuard {
    fn drop(&mut self) {
        self.partition.complete(self);
    }
}

impl Delivery {
    pub(super) fn new(
        message: Message,
        retry_info: Option<Box<RetryInfo>>,
        follows_dead_letter: bool,
        given_up: Option<Arc<Decision>>,
        guard: DeliveryGuard,
    ) -> Self {
        Self { message, retry_info, follows_dead_letter, given_up, guard }
    }

    /// The outcome is durable.
    pub fn finish(mut self) {
        self.guard.completion = Completion::Finished;
    }

    /// Nothing was done with the message. Its partition delivers it again, with the same attempt, after those that are
    /// due already. If the partition is closed, its next owner does.
    pub fn give_back(self) {
        let Self { message, retry_info, mut guard, .. } = self;
        guard.partition.take_back(&guard, message, retry_info);
        guard.completion = Completion::Returned;
    }

    /// The message is retried in place, as described by `retry_state`.
    pub fn postpone(self, retry_state: RetryState) {
        let Self { message, mut guard, .. } = self;
        guard.partition.postpone(&guard, message, retry_state);
        guard.completion = Completion::Postponed;
    }

    /// Whether the message is held because its key has a dead letter.
    pub fn follows_dead_letter(&self) -> bool {
        self.follows_dead_letter
    }

    /// The decision by which the message becomes a dead letter without another attempt.
    pub fn given_up(&self) -> Option<&Decision> {
        self.given_up.as_deref()
    }

    /// The number of attempts so far, with this one unless the message is given up.
    pub fn attempts(&self) -> u32 {
        self.attempt() - u32::from(self.given_up.is_some())
    }

    /// The record.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The partition it was read from.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.guard.partition
    }

    /// The number of this delivery, from 1. Retry headers in a source topic are ignored.
    pub fn attempt(&self) -> u32 {
        self.retry_info.as_ref().map_or(1, |retry_info| retry_info.attempt)
    }

    /// The due time in milliseconds since the Unix epoch; None if the message is not retried or has no due
    /// time.
    pub fn due_ms(&self) -> Option<i64> {
        self.retry_info.as_ref()?.due_ms
    }

    /// The time of the first failure in milliseconds since the Unix epoch.
    pub fn first_failed_ms(&self) -> Option<i64> {
        self.retry_info.as_ref()?.first_failed_ms
    }

    /// The original position of the message.
    pub fn origin(&self) -> Origin<'_> {
        let here = Origin {
            topic: self.guard.partition.topic(),
            partition: self.guard.partition.index(),
            offset: self.message.offset(),
            timestamp: self.message.timestamp(),
        };
        match &self.retry_info {
            Some(retry_info) => retry_info.origin(&here),
            None => here,
        }
    }

    /// The sender's headers, without the latest block of this host or Spring Kafka.
    pub fn sender_headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let retry_info = self.retry_info.as_deref();
        let headers = self.message.headers().enumerate();
        headers
            .filter(move |(index, _)| !retry_info.is_some_and(|retry_info| retry_info.owns(*index)))
            .map(|(_, header)| header)
    }

    /// The message's id: the sender's, otherwise one derived from the message's origin, which is the same for
    /// every redelivery.
    pub fn id(&self) -> Cow<'_, str> {
        headers::id(self.sender_headers(), &self.origin())
    }
}
