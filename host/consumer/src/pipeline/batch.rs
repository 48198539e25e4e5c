//! Batches: several messages of a partition in one call.

use std::sync::Arc;

use contract::Outcome;
use futures_util::future::join_all;
use kafka::delivery::Delivery;
use sandbox::Plugin;
use sandbox::output::{At, Place};

use crate::Pipeline;
use crate::message::{Record, named};
use crate::subscription::Subscription;

/// The maximum number of messages in a call of this plugin. With an order, each call has one: a message that is retried
/// in place would hold up the others of its batch.
pub fn max_batch(plugin: &Plugin, subscription: &Subscription) -> usize {
    if subscription.ordering.is_in_place() { 1 } else { plugin.max_batch() }
}

impl Pipeline {
    /// Processes first deliveries of one partition, like [`Pipeline::run`] each of them, but in one call. If there is no
    /// valid outcome for each of them, which one failed is not known: they are handled one by one, so that only the
    /// message that fails alone pays for it.
    pub async fn run_batch<S>(&self, batch: Vec<Delivery>, slot: S) {
        let Some(partition) = batch.first().map(|first| Arc::clone(first.partition())) else { return };
        let outcomes = if self.gate.lets(None) {
            tokio::select! {
                biased;
                outcomes = self.call_batch(&batch) => outcomes,
                () = partition.until_cut_off() => return,
            }
        } else {
            None
        };
        let Some(outcomes) = outcomes else { return self.run_each(batch).await };
        drop(slot);
        let mut unfinished = Vec::new();
        for (delivery, outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Done(_) | Outcome::Skipped(_) if !self.may_be_replayed(&delivery) => {
                    self.gate.succeeded();
                    self.count(&outcome);
                    delivery.finish();
                }
                outcome => unfinished.push(self.run_from(delivery, (), None, Some(outcome))),
            }
        }
        join_all(unfinished).await;
    }

    /// One after the other: the worker's capacity is that of one call.
    async fn run_each(&self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            if delivery.partition().is_closed() {
                // The partition must drain soon.
                delivery.give_back();
            } else {
                self.run(delivery, (), None).await;
            }
        }
    }

    async fn call_batch(&self, batch: &[Delivery]) -> Option<Vec<Outcome>> {
        let (first, last) = (batch.first()?, batch.last()?);
        let ids: Vec<_> = batch.iter().map(Delivery::id).collect();
        let headers: Vec<_> = batch.iter().map(|delivery| named(delivery.sender_headers())).collect();
        let messages = batch.iter().zip(&ids).zip(&headers).map(|((delivery, id), headers)| {
            let (key, value) = (delivery.message().key(), delivery.message().value());
            let (origin, attempt) = (delivery.origin(), delivery.attempt());
            Record { id, origin, key, value, headers, attempt }.message(self.policy())
        });
        let place = Place {
            plugin: Arc::clone(&self.plugin.name),
            at: At::Batch {
                topic: first.partition().shared_topic(),
                partition: first.partition().index(),
                offsets: (first.message().offset(), last.message().offset()),
            },
        };
        self.plugin.handle_batch(messages.collect(), place).await
    }

    /// Whether its outcome may have to be reported.
    fn may_be_replayed(&self, delivery: &Delivery) -> bool {
        let mut replay = None;
        delivery
            .sender_headers()
            .for_each(|(name, value)| self.note_replay(delivery, name, value, &mut replay));
        replay.is_some()
    }
}
