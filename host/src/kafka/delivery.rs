//! A message that somebody works on.

use std::borrow::Cow;
use std::str;
use std::sync::Arc;

use super::headers::{self, Origin, Trail};
use super::partition::Partition;
use super::raw::Message;

/// A message under way. It counts as under way until it is finished or dropped; only `finish`
/// lets the partition's commit position pass it.
pub struct Delivery {
    message: Message,
    trail: Option<Box<Trail>>,
    number: u64,
    size: usize,
    partition: Arc<Partition>,
    finished: bool,
}

impl Delivery {
    pub(super) fn new(
        partition: Arc<Partition>,
        number: u64,
        message: Message,
        trail: Option<Box<Trail>>,
    ) -> Self {
        let size = message.value().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len);
        Self { message, trail, number, size, partition, finished: false }
    }

    /// The outcome is durable.
    pub fn finish(mut self) {
        self.finished = true;
    }

    /// The record.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The partition it was read from.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Bytes of key and value.
    pub fn size(&self) -> usize {
        self.size
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
            topic: self.partition.topic(),
            partition: self.partition.index(),
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
        let own = self.sender_headers().filter(|(name, _)| *name == headers::ID).last();
        let own = own.and_then(|(_, value)| str::from_utf8(value?).ok()).filter(|id| !id.is_empty());
        own.map_or_else(|| self.coordinates().into(), Cow::Borrowed)
    }

    fn coordinates(&self) -> String {
        let Origin { topic, partition, offset, timestamp } = self.origin();
        let millis = timestamp.map_or(0, |(millis, _)| millis);
        format!("{topic}/{partition}/{offset}/{millis}")
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.partition.end(self.number, self.size, self.finished);
    }
}
