//! A message that somebody works on.

use std::borrow::Cow;
use std::sync::Arc;

use crate::headers::{self, Origin, Trail};
use crate::partition::Partition;
use crate::raw::Message;
use crate::window::Past;

/// A message under way. Only `finish` and `finish_held` let the partition's commit position pass
/// it; dropped in another way, it stays unfinished.
pub struct Delivery {
    message: Message,
    trail: Option<Box<Trail>>,
    follows: bool,
    claim: Claim,
}

/// What a message under way occupies in its partition, until it is dropped.
pub struct Claim {
    partition: Arc<Partition>,
    /// The number of its delivery in the partition.
    pub(super) number: u64,
    /// Its offset.
    pub(super) offset: i64,
    /// Bytes of key and value.
    pub(super) size: usize,
    /// What it shares its turn with, where messages are ordered.
    pub(super) key: Option<u64>,
    /// How it ended.
    pub(super) end: End,
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Without an outcome.
    Dropped,
    /// The outcome is durable.
    Finished,
    /// Likewise, and what follows of its key is held.
    Held,
    /// It is to be tried again in its place.
    Postponed,
}

impl Claim {
    pub(super) fn new(
        partition: Arc<Partition>,
        number: u64,
        offset: i64,
        size: usize,
        key: Option<u64>,
    ) -> Self {
        Self { partition, number, offset, size, key, end: End::Dropped }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.partition.end(self);
    }
}

impl Delivery {
    pub(super) fn new(message: Message, trail: Option<Box<Trail>>, follows: bool, claim: Claim) -> Self {
        Self { message, trail, follows, claim }
    }

    /// The outcome is durable.
    pub fn finish(mut self) {
        self.claim.end = End::Finished;
    }

    /// It is a dead letter, and so will be what follows it in its key.
    pub fn finish_held(mut self) {
        self.claim.end = End::Held;
    }

    /// It is to be tried again in its place.
    pub fn postpone(self, past: Past) {
        let Self { message, mut claim, .. } = self;
        claim.partition.postpone(&claim, message, past);
        claim.end = End::Postponed;
    }

    /// Whether it follows a dead letter of its key.
    pub fn follows_dead_letter(&self) -> bool {
        self.follows
    }

    /// The record.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The partition it was read from.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.claim.partition
    }

    /// The number of this delivery, from 1. On a source topic it is 1, whatever the headers say.
    pub fn attempt(&self) -> u32 {
        self.trail.as_ref().map_or(1, |trail| trail.attempt)
    }

    /// When it is due, in milliseconds since the Unix epoch; None on a source topic.
    pub fn due_ms(&self) -> Option<i64> {
        self.trail.as_ref()?.due_ms
    }

    /// When the message failed first, in milliseconds since the Unix epoch.
    pub fn first_failed_ms(&self) -> Option<i64> {
        self.trail.as_ref()?.first_failed_ms
    }

    /// Where the message was first published.
    pub fn origin(&self) -> Origin<'_> {
        let here = Origin {
            topic: self.claim.partition.topic(),
            partition: self.claim.partition.index(),
            offset: self.message.offset(),
            timestamp: self.message.timestamp(),
        };
        match &self.trail {
            Some(trail) => trail.origin(&here),
            None => here,
        }
    }

    /// The sender's headers, without the block that this host or Spring Kafka added last.
    pub fn sender_headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let trail = self.trail.as_deref();
        let headers = self.message.headers().enumerate();
        headers
            .filter(move |(index, _)| !trail.is_some_and(|trail| trail.owns(*index)))
            .map(|(_, header)| header)
    }

    /// The message's id: the sender's, else made of what stays the same over every redelivery.
    pub fn id(&self) -> Cow<'_, str> {
        headers::id(self.sender_headers(), &self.origin())
    }
}
