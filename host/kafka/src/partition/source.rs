//! Where the messages of a partition come from.

use std::sync::Arc;

use rdkafka::error::KafkaError;

use crate::raw::{Event, Queue};

/// What was fetched of a partition: by the client or, in a simulation, by a model of it.
pub trait Source: Send + Sync {
    /// Moves up to `max` available events into `into` without waiting. Returns their number, errors included: fewer
    /// than `max` mean that there are no more.
    fn read(&self, max: usize, into: &mut Vec<Event>, on_error: &mut dyn FnMut(KafkaError)) -> usize;

    /// The number of events that were fetched and not read.
    fn fetched(&self) -> usize;

    /// The offset of the partition's first record as of the last fetch. None before the first fetch.
    fn known_first(&self) -> Option<i64>;
}

impl Source for Arc<Queue> {
    fn read(&self, max: usize, into: &mut Vec<Event>, on_error: &mut dyn FnMut(KafkaError)) -> usize {
        Queue::read(self, max, into, on_error)
    }

    fn fetched(&self) -> usize {
        Queue::fetched(self)
    }

    fn known_first(&self) -> Option<i64> {
        Queue::known_first(self)
    }
}
