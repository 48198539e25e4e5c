//! The life of one message.

pub mod policy;
pub mod worker;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use tokio::time::timeout;

use self::policy::{Failed, Step};
use crate::clock;
use crate::kafka::delivery::Delivery;
use crate::kafka::headers::{BLOCK_LEN, Stamp};
use crate::kafka::publisher::{Destination, PUBLISH_BOUND, Publisher};
use crate::kafka::raw::HeaderList;
use crate::metrics::{self, Messages};
use crate::plugin::Plugin;
use crate::plugin::bindings::consumer::plugin::types::{Header, Message, Outcome, RetryLater};
use crate::plugin::cause::Cause;
use crate::plugin::output::Place;

/// The first and the longest wait before a publish is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a publish that keeps failing is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// What one plugin's messages go through.
pub struct Pipeline {
    /// What handles them.
    pub plugin: Plugin,
    /// What becomes of them, counted.
    pub counted: Messages,
    /// Where failed ones go.
    pub publisher: Arc<Publisher>,
    /// The retry topics, one per tier.
    pub retry: Vec<Destination>,
    /// The dead-letter topic.
    pub dead_letter: Destination,
}

/// What a dead letter goes without, because its topic refused more for its size.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    Value,
    /// Value, key and the sender's headers; the origin says where they can be read.
    Everything,
}

/// What a failed delivery leads to.
struct Next<'a> {
    to: &'a Destination,
    attempt: u32,
    due_ms: i64,
    first_failed_ms: i64,
}

impl Pipeline {
    /// Calls the plugin, makes the outcome durable, and lets the commit position pass. `slot` is
    /// what the call occupies; it is free again before anything is published.
    ///
    /// A delivery that is cut off stays unfinished: the partition's next owner repeats it.
    pub async fn run<S>(&self, delivery: Delivery, slot: S) {
        let partition = Arc::clone(delivery.partition());
        let durable = async {
            let outcome = self.call(&delivery).await;
            drop(slot);
            self.settle(&delivery, outcome).await;
        };
        tokio::select! {
            biased;
            () = durable => delivery.finish(),
            () = partition.until_cut_off() => {}
        }
    }

    async fn call(&self, delivery: &Delivery) -> Result<Outcome, Cause> {
        if let Some(due_ms) = delivery.due_ms() {
            let late_ms = clock::now_ms().saturating_sub(due_ms);
            metrics::late(delivery.partition().topic(), Duration::from_millis(late_ms.max(0).unsigned_abs()));
        }
        let message = delivery.message();
        let origin = delivery.origin();
        let names: Vec<_> =
            delivery.sender_headers().map(|(name, value)| (String::from_utf8_lossy(name), value)).collect();
        let headers: Vec<_> = names.iter().map(|(name, value)| Header { key: name, value: *value }).collect();
        let id = delivery.id();
        let message = Message {
            id: &id,
            topic: origin.topic,
            partition: origin.partition.cast_unsigned(),
            offset: origin.offset.cast_unsigned(),
            timestamp_ms: origin.timestamp.map_or(0, |(millis, _)| millis.max(0).cast_unsigned()),
            key: message.key(),
            value: message.value(),
            headers: &headers,
            attempt: delivery.attempt(),
            max_attempts: self.plugin.subscription.policy.max_attempts(),
            attributes: &[],
        };
        let place = Place {
            plugin: Arc::clone(&self.plugin.name),
            message: Some((Arc::clone(delivery.partition()), delivery.message().offset())),
        };
        self.plugin.handle(message, place).await
    }

    /// Makes an outcome durable.
    async fn settle(&self, delivery: &Delivery, outcome: Result<Outcome, Cause>) {
        match outcome {
            Ok(Outcome::Done(_)) => self.counted.done(),
            Ok(Outcome::Skipped(_)) => self.counted.skipped(),
            Ok(Outcome::Reject(failure)) => {
                let cause = Cause::reject(failure);
                self.counted.failed(&cause.code);
                self.dead(delivery, &cause).await;
            }
            Ok(Outcome::Retry(RetryLater { failure, after_ms })) => {
                self.retry(delivery, &Cause::retry(failure), after_ms).await;
            }
            Err(cause) => self.retry(delivery, &cause, None).await,
        }
    }

    async fn retry(&self, delivery: &Delivery, cause: &Cause, after_ms: Option<u64>) {
        self.counted.failed(&cause.code);
        let now_ms = clock::now_ms_ceil();
        let first_failed_ms = delivery.first_failed_ms().unwrap_or(now_ms);
        let random = fastrand::f64();
        let failed = Failed { attempt: delivery.attempt(), after_ms, now_ms, first_failed_ms, random };
        let step = self.plugin.subscription.policy.next(&failed);
        let Step::Retry { tier, attempt, due_ms } = step else {
            return self.dead(delivery, cause).await;
        };
        let Some(to) = self.retry.get(tier) else { return self.dead(delivery, cause).await };
        let next = Next { to, attempt, due_ms, first_failed_ms };
        if self.publish(delivery, cause, &next, Cut::Nothing).await {
            self.counted.retried(&next.to.name());
        } else {
            // No retry topic takes a record of this size; what failed is kept all the same.
            self.dead(delivery, cause).await;
        }
    }

    async fn dead(&self, delivery: &Delivery, cause: &Cause) {
        let now_ms = clock::now_ms_ceil();
        let next = Next {
            to: &self.dead_letter,
            attempt: delivery.attempt().saturating_add(1),
            due_ms: now_ms,
            first_failed_ms: delivery.first_failed_ms().unwrap_or(now_ms),
        };
        for cut in [Cut::Nothing, Cut::Value, Cut::Everything] {
            if self.publish(delivery, cause, &next, cut).await {
                return self.counted.dead();
            }
        }
    }

    /// Publishes until the broker has the record; meanwhile nothing more is taken from its
    /// partition. False where the topic does not take a record of this size, unless everything was
    /// cut out already.
    async fn publish(&self, delivery: &Delivery, cause: &Cause, next: &Next<'_>, cut: Cut) -> bool {
        let headers = || self.headers(delivery, cause, next, cut);
        let message = delivery.message();
        let value = message.value().filter(|_| cut == Cut::Nothing);
        let key = message.key().filter(|_| cut != Cut::Everything);
        let partition = delivery.origin().partition;
        let mut blocked = None;
        loop {
            let mut publishing = pin!(self.publisher.publish(next.to, partition, key, value, &headers));
            let published = loop {
                // The record is not given up: published anew, it could be there twice.
                match timeout(PUBLISH_BOUND, &mut publishing).await {
                    Ok(published) => break published,
                    Err(_) => blocked
                        .get_or_insert_with(|| Blocked::new(delivery))
                        .report(next.to, &"no acknowledgement"),
                }
            };
            match published {
                Ok(()) => return true,
                Err(RDKafkaErrorCode::MessageSizeTooLarge) if cut != Cut::Everything => return false,
                Err(code) => blocked.get_or_insert_with(|| Blocked::new(delivery)).wait(next.to, code).await,
            }
        }
    }

    fn headers(&self, delivery: &Delivery, cause: &Cause, next: &Next<'_>, cut: Cut) -> HeaderList {
        let message = delivery.message();
        let senders = delivery.sender_headers().count();
        let mut list = HeaderList::with_capacity(senders + BLOCK_LEN);
        if cut != Cut::Everything {
            delivery.sender_headers().for_each(|(name, value)| list.push(name, value));
        }
        Stamp {
            origin: delivery.origin(),
            group: &self.plugin.subscription.group,
            exception: cause.exception,
            code: &cause.code,
            detail: &cause.detail,
            backtrace: &cause.backtrace,
            attempts: delivery.attempt(),
            next_attempt: next.attempt,
            due_ms: next.due_ms,
            first_failed_ms: next.first_failed_ms,
            plugin: &self.plugin.label,
            digest: &self.plugin.digest,
            value_cut: message.value().map(<[u8]>::len).filter(|_| cut != Cut::Nothing),
            key_cut: message.key().map(<[u8]>::len).filter(|_| cut == Cut::Everything),
            headers_cut: (cut == Cut::Everything).then_some(senders),
        }
        .write(&mut list);
        list
    }
}

/// A publish that failed and is tried again: its partition waits.
struct Blocked<'a> {
    delivery: &'a Delivery,
    backoff: Duration,
}

impl<'a> Blocked<'a> {
    fn new(delivery: &'a Delivery) -> Self {
        delivery.partition().block();
        Self { delivery, backoff: BACKOFF.0 }
    }

    async fn wait(&mut self, to: &Destination, code: RDKafkaErrorCode) {
        self.report(to, &code);
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    /// Once for the partition, however many of its messages wait, and then at intervals.
    fn report(&self, to: &Destination, error: &impl std::fmt::Display) {
        metrics::publish_failed(&to.name(), error);
        let partition = self.delivery.partition();
        if partition.may_report(REPORT_INTERVAL) {
            tracing::error!(
                to = %to.name(), %error,
                topic = partition.topic(), partition = partition.index(), offset = self.delivery.message().offset(),
                "cannot publish a failed message; its partition waits until it can"
            );
        }
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.delivery.partition().unblock();
    }
}
