//! The life of one message.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use base::text;
use contract::{Header, Message, Outcome};
use kafka::delivery::Delivery;
use kafka::headers::{BLOCK_LEN, REPLAY, Stamp};
use kafka::publisher::{Destination, PUBLISH_BOUND, Publisher};
use kafka::raw::HeaderList;
use kafka::watch::Chain;
use kafka::window::Past;
use rdkafka::error::RDKafkaErrorCode;
use sandbox::Plugin;
use sandbox::cause::{Cause, LeadsTo};
use sandbox::output::{At, Place};
use settings::{Action, OnDead};
use tokio::time::timeout;

use crate::blocked::Blocked;
use crate::metrics::{self, Messages};
use crate::policy::{BLOCKING_BOUND, Failed, Policy, Step};
use crate::reports::{Outcomes, Report, Tag};
use crate::rules::Ruling;
use crate::subscription::Subscription;

/// What one plugin's messages go through.
pub struct Pipeline {
    /// What handles them.
    pub plugin: Plugin,
    /// Which they are, and what becomes of failures.
    pub subscription: Subscription,
    /// What becomes of them, counted.
    pub counted: Messages,
    /// Where failed ones go.
    pub publisher: Arc<Publisher>,
    /// The retry topics, one per tier.
    pub retry: Vec<Destination>,
    /// The dead-letter topic.
    pub dead_letter: Destination,
    /// Where the desk hears what became of replayed messages.
    pub outcomes: Option<Outcomes>,
}

/// What a dead letter goes without, because its topic refused more for its size.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    Value,
    /// Value, key and the sender's headers; the origin says where they can be read.
    Everything,
}

/// What became of a delivery.
enum Settled {
    /// Its outcome is durable.
    Durable,
    /// Likewise: it is a dead letter.
    Dead,
    /// It is to be tried again in its place.
    InPlace(Past),
}

/// A failed call, and what its failure leads to.
struct Failing {
    cause: Cause,
    ruling: Ruling,
}

/// What a failed delivery leads to.
struct Next<'a> {
    to: &'a Destination,
    attempt: u32,
    due_ms: i64,
    first_failed_ms: i64,
}

impl Pipeline {
    /// The topics of its messages.
    pub fn chain(&self) -> Chain {
        Chain {
            source: self.subscription.topic.clone(),
            retry: self.retry.clone(),
            dead_letter: self.dead_letter.clone(),
        }
    }

    /// Calls the plugin, makes the outcome durable, and lets the commit position pass. `slot` is
    /// what the call occupies; it is free again before anything is published.
    ///
    /// A delivery that is cut off stays unfinished: the partition's next owner repeats it.
    pub async fn run<S>(&self, delivery: Delivery, slot: S) {
        let partition = Arc::clone(delivery.partition());
        let settled = async {
            let mut replay = None;
            let outcome = self.handle(&delivery, &mut replay).await;
            drop(slot);
            let failed = outcome.is_err();
            let settled = self.settle(&delivery, outcome).await;
            if let Some(tag) = replay {
                self.report(&delivery, tag, failed);
            }
            settled
        };
        tokio::select! {
            biased;
            settled = settled => match settled {
                Settled::Durable => delivery.finish(),
                Settled::Dead if self.subscription.on_dead == OnDead::Hold => delivery.finish_held(),
                Settled::Dead => delivery.finish(),
                Settled::InPlace(past) => delivery.postpone(past),
            },
            () = partition.until_cut_off() => {}
        }
    }

    /// The first try of a replayed message has its outcome.
    fn report(&self, delivery: &Delivery, tag: Tag, failed: bool) {
        let Some(outcomes) = &self.outcomes else { return };
        let partition = delivery.partition();
        outcomes.report(Report {
            tag,
            group: self.subscription.group.clone(),
            topic: partition.topic().to_owned(),
            partition: partition.index(),
            offset: delivery.message().offset(),
            failed,
        });
    }

    fn policy(&self) -> &Policy {
        &self.subscription.policy
    }

    /// Calls the plugin, and calls it again in place as often as the failure allows. All of these
    /// calls are one attempt.
    /// Says in `replay` which one the message belongs to, where this is its first try.
    async fn handle(&self, delivery: &Delivery, replay: &mut Option<Tag>) -> Result<Outcome, Failing> {
        if delivery.follows_dead_letter() {
            delivery
                .sender_headers()
                .for_each(|(name, value)| self.note_replay(delivery, name, value, replay));
            let ruling = Ruling { action: Action::Reject, retries: 0, blocking_tries: 0 };
            return Err(Failing { cause: Cause::follows_dead_letter(), ruling });
        }
        if let Some(due_ms) = delivery.due_ms() {
            let late_ms = clock::now_ms().saturating_sub(due_ms);
            metrics::late(delivery.partition().topic(), Duration::from_millis(late_ms.max(0).unsigned_abs()));
        }
        let began = self.policy().tries_in_place().then(Instant::now);
        let mut again = 0;
        loop {
            let failing = match self.judge(self.call(delivery, replay).await) {
                Ok(outcome) => return Ok(outcome),
                Err(failing) => failing,
            };
            let allowed =
                failing.cause.leads_to.after_ms().is_none() && again < failing.ruling.blocking_tries;
            let Some(began) = began.filter(|_| allowed) else { return Err(failing) };
            if !self.pause(delivery, began).await {
                return Err(failing);
            }
            again += 1;
        }
    }

    /// The pause before a call in place. False where there is no time for one: a partition that is
    /// given back has to drain.
    async fn pause(&self, delivery: &Delivery, began: Instant) -> bool {
        let delay = self.policy().blocking_delay();
        let may_go_on =
            |after| began.elapsed() + after <= BLOCKING_BOUND && !delivery.partition().is_closed();
        if !may_go_on(delay) {
            return false;
        }
        tokio::time::sleep(delay).await;
        may_go_on(Duration::ZERO)
    }

    fn note_replay(&self, delivery: &Delivery, name: &[u8], value: Option<&[u8]>, replay: &mut Option<Tag>) {
        if self.outcomes.is_some() && name == REPLAY && delivery.attempt() == 1 {
            *replay = value.and_then(Tag::read);
        }
    }

    async fn call(&self, delivery: &Delivery, replay: &mut Option<Tag>) -> Result<Outcome, Cause> {
        let message = delivery.message();
        let origin = delivery.origin();
        let senders = delivery.sender_headers().map(|(name, value)| {
            self.note_replay(delivery, name, value, replay);
            (String::from_utf8_lossy(name), value)
        });
        let names: Vec<_> = senders.collect();
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
            headers,
            attempt: delivery.attempt(),
            // A rule may have given it more.
            max_attempts: self.policy().max_attempts().max(delivery.attempt()),
        };
        let place = Place {
            plugin: Arc::clone(&self.plugin.name),
            at: At::Record {
                topic: delivery.partition().shared_topic(),
                partition: delivery.partition().index(),
                offset: delivery.message().offset(),
            },
        };
        self.plugin.handle(&self.subscription.group, message, place).await
    }

    /// Tells failures from what is done or skipped.
    fn judge(&self, outcome: Result<Outcome, Cause>) -> Result<Outcome, Failing> {
        let cause = match Cause::of(outcome) {
            Ok(outcome) => return Ok(outcome),
            Err(cause) => cause,
        };
        self.counted.failed(&cause.code);
        let ruling = self.policy().ruling(&cause.code, cause.leads_to == LeadsTo::Reject);
        Err(Failing { cause, ruling })
    }

    /// Makes an outcome durable, or says when to try again.
    async fn settle(&self, delivery: &Delivery, outcome: Result<Outcome, Failing>) -> Settled {
        match outcome {
            Ok(Outcome::Skipped(_)) => self.counted.skipped(),
            Ok(_) => self.counted.done(),
            Err(failing) => match failing.ruling.action {
                Action::Retry => return self.retry(delivery, &failing).await,
                Action::Reject => return self.dead(delivery, &failing.cause).await,
                Action::Discard => self.discard(delivery, &failing.cause),
            },
        }
        Settled::Durable
    }

    fn discard(&self, delivery: &Delivery, cause: &Cause) {
        let origin = delivery.origin();
        tracing::warn!(
            plugin = %self.plugin.name, topic = origin.topic, partition = origin.partition,
            offset = origin.offset, code = text::line(cause.code.as_bytes()),
            "a failed message was discarded, as its rule says"
        );
        self.counted.discarded();
    }

    async fn retry(&self, delivery: &Delivery, failing: &Failing) -> Settled {
        let Failing { cause, ruling } = failing;
        let now_ms = clock::now_ms_ceil();
        let first_failed_ms = delivery.first_failed_ms().unwrap_or(now_ms);
        let step = self.policy().next(&Failed {
            attempt: delivery.attempt(),
            retries: ruling.retries,
            after_ms: cause.leads_to.after_ms(),
            now_ms,
            first_failed_ms,
            random: fastrand::f64(),
        });
        let Step::Retry { tier, attempt, due_ms } = step else {
            return self.dead(delivery, cause).await;
        };
        if self.subscription.ordering.is_in_place() {
            self.counted.retried(0);
            return Settled::InPlace(Past { attempt, due_ms, first_failed_ms });
        }
        let Some(to) = self.retry.get(tier) else { return self.dead(delivery, cause).await };
        let next = Next { to, attempt, due_ms, first_failed_ms };
        if self.publish(delivery, cause, &next, Cut::Nothing).await {
            self.counted.retried(tier);
            return Settled::Durable;
        }
        // No retry topic takes a record of this size; what failed is kept all the same.
        self.dead(delivery, cause).await
    }

    async fn dead(&self, delivery: &Delivery, cause: &Cause) -> Settled {
        let now_ms = clock::now_ms_ceil();
        let next = Next {
            to: &self.dead_letter,
            attempt: delivery.attempt().saturating_add(1),
            due_ms: now_ms,
            first_failed_ms: delivery.first_failed_ms().unwrap_or(now_ms),
        };
        for cut in [Cut::Nothing, Cut::Value, Cut::Everything] {
            if self.publish(delivery, cause, &next, cut).await {
                break;
            }
        }
        self.counted.dead();
        Settled::Dead
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
                        .get_or_insert_with(|| Blocked::new(delivery, &self.publisher))
                        .report(next.to, None),
                }
            };
            match published {
                Ok(_) => return true,
                Err(RDKafkaErrorCode::MessageSizeTooLarge) if cut != Cut::Everything => return false,
                Err(code) => {
                    let blocked = blocked.get_or_insert_with(|| Blocked::new(delivery, &self.publisher));
                    blocked.wait(next.to, code).await;
                }
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
            group: &self.subscription.group,
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
