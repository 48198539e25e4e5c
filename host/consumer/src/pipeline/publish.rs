//! The records of failed messages: their headers, and publishing until the broker acknowledges them.

use std::pin::pin;

use base::clock;
use kafka::delivery::Delivery;
use kafka::headers::{BLOCK_LEN, FailureHeaders, Origin};
use kafka::held_keys::Held;
use kafka::publisher::{Derived, Destination, PUBLISH_BOUND};
use kafka::raw::HeaderList;
use rdkafka::error::RDKafkaErrorCode;
use sandbox::cause::Cause;
use tokio::time::timeout;

use super::{Pipeline, Settled};
use crate::blocked_publish::BlockedPublish;

/// The parts that a dead letter is published without if its topic refuses a larger record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Omitted {
    Nothing,
    Value,
    /// Value, key and the sender's headers. They remain in the original record, which the headers of the origin name.
    Everything,
}

/// The next delivery of a failed message.
pub(super) struct NextDelivery<'a> {
    /// The retry or dead-letter topic.
    pub to: &'a Destination,
    pub attempt: u32,
    pub due_ms: i64,
    pub first_failed_ms: i64,
}

impl Pipeline {
    pub(super) async fn publish_dead_letter(&self, delivery: &Delivery, cause: &Cause) -> Settled {
        let now_ms = clock::now_ms_ceil();
        let next = NextDelivery {
            to: &self.dead_letter,
            attempt: delivery.attempts().saturating_add(1),
            due_ms: now_ms,
            first_failed_ms: delivery.first_failed_ms().unwrap_or(now_ms),
        };
        for omitted in [Omitted::Nothing, Omitted::Value, Omitted::Everything] {
            if self.publish(delivery, cause, &next, omitted).await {
                break;
            }
        }
        self.hold_key(delivery, cause).await;
        self.counters.dead();
        Settled::Durable
    }

    /// Holds the later messages of a dead letter's key, if the plugin does. Not those of a key that was held when the
    /// message started: it may have been released since.
    async fn hold_key(&self, delivery: &Delivery, cause: &Cause) {
        let Some(held_keys) = self.held_keys.as_ref().filter(|_| !delivery.follows_dead_letter()) else {
            return;
        };
        let Some(key) = delivery.message().key() else { return };
        let Origin { partition, offset, .. } = delivery.origin();
        let (code, since_ms) = (cause.code.to_string(), clock::now_ms());
        let held = Held { key: key.to_vec(), partition, offset, code, since_ms };
        let hold = || held_keys.hold(&self.publisher, key, &held);
        self.until_published(delivery, held_keys.topic(), false, hold).await;
    }

    /// Publishes a failed message. Returns false if the topic refuses a record of this size and something can still be
    /// omitted.
    pub(super) async fn publish(
        &self,
        delivery: &Delivery,
        cause: &Cause,
        next: &NextDelivery<'_>,
        omitted: Omitted,
    ) -> bool {
        let headers = || self.headers(delivery, cause, next, omitted);
        let message = delivery.message();
        let record = Derived {
            partition: delivery.origin().partition,
            timestamp_ms: message.timestamp().map(|(millis, _)| millis),
            key: message.key().filter(|_| omitted != Omitted::Everything),
            value: message.value().filter(|_| omitted == Omitted::Nothing),
        };
        let publish = || self.publisher.publish(next.to, record, &headers);
        self.until_published(delivery, next.to, omitted != Omitted::Everything, publish).await
    }

    /// Publishes a record, repeatedly until the broker acknowledges it. Meanwhile no delivery of the partition starts.
    /// Returns false if the topic refuses a record of this size and it `can_shrink`.
    async fn until_published<T, F: Future<Output = Result<T, RDKafkaErrorCode>>>(
        &self,
        delivery: &Delivery,
        to: &Destination,
        can_shrink: bool,
        publish: impl Fn() -> F,
    ) -> bool {
        let mut blocked = None;
        loop {
            let mut publishing = pin!(publish());
            let published = loop {
                // The publish is not abandoned after the timeout: repeating it could publish the record
                // twice.
                match timeout(PUBLISH_BOUND, &mut publishing).await {
                    Ok(published) => break published,
                    Err(_) => blocked
                        .get_or_insert_with(|| BlockedPublish::new(delivery, &self.publisher))
                        .report(to, None),
                }
            };
            match published {
                Ok(_) => return true,
                Err(RDKafkaErrorCode::MessageSizeTooLarge) if can_shrink => return false,
                Err(code) => {
                    let blocked =
                        blocked.get_or_insert_with(|| BlockedPublish::new(delivery, &self.publisher));
                    blocked.wait(to, code).await;
                }
            }
        }
    }

    fn headers(
        &self,
        delivery: &Delivery,
        cause: &Cause,
        next: &NextDelivery<'_>,
        omitted: Omitted,
    ) -> HeaderList {
        let message = delivery.message();
        let senders = delivery.sender_headers().count();
        let mut list = HeaderList::with_capacity(senders + BLOCK_LEN);
        if omitted != Omitted::Everything {
            delivery.sender_headers().for_each(|(name, value)| list.push(name, value));
        }
        FailureHeaders {
            origin: delivery.origin(),
            group: &self.subscription.group,
            exception: cause.exception,
            code: &cause.code,
            detail: &cause.detail,
            backtrace: &cause.backtrace,
            attempts: delivery.attempts(),
            next_attempt: next.attempt,
            due_ms: next.due_ms,
            first_failed_ms: next.first_failed_ms,
            plugin: &self.plugin.label,
            digest: &self.plugin.digest,
            value_cut: message.value().map(<[u8]>::len).filter(|_| omitted != Omitted::Nothing),
            key_cut: message.key().map(<[u8]>::len).filter(|_| omitted == Omitted::Everything),
            headers_cut: (omitted == Omitted::Everything).then_some(senders),
        }
        .write(&mut list);
        list
    }
}
