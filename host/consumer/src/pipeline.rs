//! The processing of a message: the call, the handling of its outcome, and the publishing of failed messages.

pub mod batch;
mod publish;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use base::text;
use contract::Outcome;
use kafka::decisions::{Decision, Decisions};
use kafka::delivery::Delivery;
use kafka::headers::{DeadLetterInfo, REPLAY};
use kafka::held_keys::HeldKeys;
use kafka::publisher::{Destination, Publisher};
use kafka::window::RetryState;
use kafka_topics::topic_watch::TopicChain;
use sandbox::Plugin;
use sandbox::cause::{Cause, LeadsTo};
use sandbox::output::{At, Place};
use settings::Action;

use self::publish::{NextDelivery, Omitted};
use crate::gate::{Gate, Probe};
use crate::message::{Record, named};
use crate::metrics::{self, MessageCounters};
use crate::policy::{BLOCKING_BOUND, Failed, Policy, Step};
use crate::reports::{Outcomes, ReplayTag, Report};
use crate::rules::Ruling;
use crate::subscription::Subscription;

/// Processes the messages of one plugin.
pub struct Pipeline {
    /// The plugin.
    pub plugin: Plugin,
    /// Its subscription and retry policy.
    pub subscription: Subscription,
    /// The counters of its messages.
    pub counters: MessageCounters,
    /// Publishes failed messages.
    pub publisher: Arc<Publisher>,
    /// The retry topics, one per tier.
    pub retry: Vec<Destination>,
    /// The dead-letter topic.
    pub dead_letter: Destination,
    /// The keys whose messages are held, if the plugin holds any.
    pub held_keys: Option<Arc<HeldKeys>>,
    /// What operators have decided about messages that wait in the retry topics, if there are any.
    pub decisions: Option<Arc<Decisions>>,
    /// Reports the outcomes of replayed messages to the desk.
    pub outcomes: Option<Outcomes>,
    /// Whether the plugin is handed messages.
    pub gate: Arc<Gate>,
}

/// The end of a delivery.
enum Settled {
    /// The outcome is durable.
    Durable,
    /// The message is retried in place.
    InPlace(RetryState),
    /// Nothing was done: the partition is being closed, or the plugin is paused or rests.
    Nothing,
}

/// A failed call with the rule for its failure.
struct FailedCall {
    cause: Cause,
    ruling: Ruling,
}

/// Who has given a message up, why, and its latest failure.
fn given_up_detail(delivery: &Delivery, decision: &Decision) -> String {
    let failure = DeadLetterInfo::read(delivery.message().headers());
    let Decision { by, reason, .. } = decision;
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let code = failure.code.or(failure.cause).unwrap_or("unknown");
    format!("given up by {by}{reason} (after {code}: {})", failure.detail.unwrap_or_default())
}

impl Pipeline {
    /// The plugin's topics.
    pub fn topic_chain(&self) -> TopicChain {
        TopicChain {
            plan: self.subscription.topic_plan(),
            retry: self.retry.clone(),
            dead_letter: self.dead_letter.clone(),
            held_keys: self.held_keys.as_ref().map(|held| held.topic().clone()),
        }
    }

    /// Processes a message: calls the plugin, makes the outcome durable, and finishes the delivery, which
    /// lets the commit position pass it. `slot` is the worker's capacity for the call; it is released before
    /// anything is published.
    ///
    /// A message that the gate does not let through is given back; `probe` lets it through while the plugin rests.
    ///
    /// A delivery that is cancelled stays unfinished, and the next owner of its partition repeats it.
    pub async fn run<S>(&self, delivery: Delivery, slot: S, probe: Option<Probe>) {
        self.run_from(delivery, slot, probe, None).await;
    }

    /// Makes a dead letter of a message that an operator has given up while it waited. The plugin is not called.
    pub async fn give_up(&self, delivery: Delivery) {
        let Some(decision) = delivery.given_up() else { return };
        let cause = Cause::given_up(&given_up_detail(&delivery, decision));
        let partition = Arc::clone(delivery.partition());
        tokio::select! {
            biased;
            _ = self.publish_dead_letter(&delivery, &cause) => delivery.finish(),
            () = partition.until_cut_off() => {}
        }
    }

    /// [`Pipeline::run`], with the outcome of the first call if it was part of a batch.
    async fn run_from<S>(&self, delivery: Delivery, slot: S, probe: Option<Probe>, outcome: Option<Outcome>) {
        let partition = Arc::clone(delivery.partition());
        let settled = async {
            if !self.gate.lets(probe.as_ref()) {
                return Settled::Nothing;
            }
            let mut replay = None;
            let outcome = self.handle(&delivery, &mut replay, outcome).await;
            drop(slot);
            if self.rests_after(&delivery, &outcome, probe) {
                return Settled::Nothing;
            }
            let failed = outcome.is_err();
            let settled = self.settle(&delivery, outcome).await;
            if let Some(tag) = replay.filter(|_| !matches!(settled, Settled::Nothing)) {
                self.report(&delivery, tag, failed);
            }
            settled
        };
        tokio::select! {
            biased;
            settled = settled => match settled {
                Settled::Durable => delivery.finish(),
                Settled::InPlace(retry_state) => delivery.postpone(retry_state),
                Settled::Nothing => delivery.give_back(),
            },
            () = partition.until_cut_off() => {}
        }
    }

    /// Tells the gate how a call ended. Returns whether the plugin rests for it, so that the message is given back.
    fn rests_after(
        &self,
        delivery: &Delivery,
        outcome: &Result<Outcome, FailedCall>,
        probe: Option<Probe>,
    ) -> bool {
        match outcome {
            Ok(_) => self.gate.succeeded(),
            Err(FailedCall { cause, ruling }) => {
                let is_outcome = matches!(cause.leads_to, LeadsTo::Retry | LeadsTo::Wait(_));
                if is_outcome && cause.is_requested_retry() && ruling.action == Action::Retry {
                    let origin = delivery.origin();
                    return self.gate.failed((origin.partition, origin.offset), &cause.code, probe.as_ref());
                }
            }
        }
        false
    }

    /// Reports the outcome of the first delivery of a replayed message.
    fn report(&self, delivery: &Delivery, tag: ReplayTag, failed: bool) {
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

    /// Calls the plugin, and repeats the call in place if the rule for its failure has blocking tries.
    /// All of these calls are one attempt. Sets `replay` if this is the first delivery of a replayed message.
    async fn handle(
        &self,
        delivery: &Delivery,
        replay: &mut Option<ReplayTag>,
        mut of_batch: Option<Outcome>,
    ) -> Result<Outcome, FailedCall> {
        if delivery.follows_dead_letter() || of_batch.is_some() {
            delivery
                .sender_headers()
                .for_each(|(name, value)| self.note_replay(delivery, name, value, replay));
        }
        if delivery.follows_dead_letter() {
            let ruling = Ruling { action: Action::Reject, retries: 0, blocking_tries: 0 };
            return Err(FailedCall { cause: Cause::follows_dead_letter(), ruling });
        }
        if let Some(due_ms) = delivery.due_ms() {
            let late_ms = clock::now_ms().saturating_sub(due_ms);
            metrics::late(delivery.partition().topic(), Duration::from_millis(late_ms.max(0).unsigned_abs()));
        }
        let began = self.policy().has_blocking_tries().then(Instant::now);
        let mut repeated = 0;
        loop {
            let called = match of_batch.take() {
                Some(outcome) => Ok(outcome),
                None => self.call(delivery, replay).await,
            };
            let failed = match self.classify(called) {
                Ok(outcome) => return Ok(outcome),
                Err(failed) => failed,
            };
            let must_end = self.gate.is_paused() || delivery.partition().is_closed();
            if failed.cause.leads_to == LeadsTo::Again && !must_end {
                continue;
            }
            let waits = matches!(failed.cause.leads_to, LeadsTo::Wait(_) | LeadsTo::Nothing | LeadsTo::Again);
            let allowed = !waits && repeated < failed.ruling.blocking_tries;
            let Some(began) = began.filter(|_| allowed) else { return Err(failed) };
            if !self.pause(delivery, began).await {
                return Err(failed);
            }
            repeated += 1;
        }
    }

    /// Waits before a blocking try. Returns false if there is no time for one: a partition that is being
    /// revoked must drain, and a plugin that is paused or rests gets no further call.
    async fn pause(&self, delivery: &Delivery, began: Instant) -> bool {
        let delay = self.policy().blocking_delay();
        let may_continue = |after| {
            let must_end = !self.gate.is_open() || delivery.partition().is_closed();
            began.elapsed() + after <= BLOCKING_BOUND && !must_end
        };
        if !may_continue(delay) {
            return false;
        }
        tokio::time::sleep(delay).await;
        may_continue(Duration::ZERO)
    }

    /// Sets `replay` from a header of the first delivery.
    fn note_replay(
        &self,
        delivery: &Delivery,
        name: &[u8],
        value: Option<&[u8]>,
        replay: &mut Option<ReplayTag>,
    ) {
        if self.outcomes.is_some() && name == REPLAY && delivery.attempt() == 1 {
            *replay = value.and_then(ReplayTag::read);
        }
    }

    async fn call(&self, delivery: &Delivery, replay: &mut Option<ReplayTag>) -> Result<Outcome, Cause> {
        let headers = delivery
            .sender_headers()
            .inspect(|(name, value)| self.note_replay(delivery, name, *value, replay));
        let record = Record {
            id: &delivery.id(),
            origin: delivery.origin(),
            key: delivery.message().key(),
            value: delivery.message().value(),
            headers: &named(headers),
            attempt: delivery.attempt(),
        };
        let place = Place {
            plugin: Arc::clone(&self.plugin.name),
            at: At::Record {
                topic: delivery.partition().shared_topic(),
                partition: delivery.partition().index(),
                offset: delivery.message().offset(),
            },
        };
        let closing = || async {
            tokio::select! {
                () = delivery.partition().until_closed() => {}
                () = self.gate.until_paused() => {}
            }
        };
        self.plugin.handle(&self.subscription.group, record.message(self.policy()), place, closing).await
    }

    /// Separates failures from completed calls, and looks up the rule for a failure.
    fn classify(&self, outcome: Result<Outcome, Cause>) -> Result<Outcome, FailedCall> {
        let cause = match Cause::of(outcome) {
            Ok(outcome) => return Ok(outcome),
            Err(cause) => cause,
        };
        if !matches!(cause.leads_to, LeadsTo::Nothing | LeadsTo::Again) {
            self.counters.failed(&cause.code);
        }
        let ruling = self.policy().ruling(&cause.code, cause.leads_to == LeadsTo::Reject);
        Err(FailedCall { cause, ruling })
    }

    /// Makes an outcome durable, or schedules a retry in place.
    async fn settle(&self, delivery: &Delivery, outcome: Result<Outcome, FailedCall>) -> Settled {
        match outcome {
            Ok(outcome) => self.count(&outcome),
            // Without an outcome, because the partition is closed or the plugin is paused.
            Err(FailedCall { cause: Cause { leads_to: LeadsTo::Nothing | LeadsTo::Again, .. }, .. }) => {
                return Settled::Nothing;
            }
            Err(failed) => match failed.ruling.action {
                // Boxed, so that they do not make the future of every message larger.
                Action::Retry => return Box::pin(self.retry(delivery, &failed)).await,
                Action::Reject => {
                    return Box::pin(self.publish_dead_letter(delivery, &failed.cause)).await;
                }
                Action::Discard => self.discard(delivery, &failed.cause),
            },
        }
        Settled::Durable
    }

    fn count(&self, completed: &Outcome) {
        match completed {
            Outcome::Skipped(_) => self.counters.skipped(),
            _ => self.counters.done(),
        }
    }

    fn discard(&self, delivery: &Delivery, cause: &Cause) {
        let origin = delivery.origin();
        tracing::warn!(
            plugin = %self.plugin.name, topic = origin.topic, partition = origin.partition,
            offset = origin.offset, code = text::line(cause.code.as_bytes()),
            "a failed message was discarded by a rule"
        );
        self.counters.discarded();
    }

    async fn retry(&self, delivery: &Delivery, failed: &FailedCall) -> Settled {
        let FailedCall { cause, ruling } = failed;
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
            return self.publish_dead_letter(delivery, cause).await;
        };
        if self.subscription.ordering.is_in_place() {
            self.counters.retried(0);
            return Settled::InPlace(RetryState { attempt, due_ms, first_failed_ms });
        }
        let Some(to) = self.retry.get(tier) else { return self.publish_dead_letter(delivery, cause).await };
        let next = NextDelivery { to, attempt, due_ms, first_failed_ms };
        if self.publish(delivery, cause, &next, Omitted::Nothing).await {
            self.counters.retried(tier);
            return Settled::Durable;
        }
        // The retry topic refuses a record of this size, so that the message becomes a dead letter.
        self.publish_dead_letter(delivery, cause).await
    }
}
