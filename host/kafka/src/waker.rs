//! How a partition that has something to read comes to a worker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::partition::Partition;

/// Puts the partition on the ready list, once at a time.
pub struct Waker {
    queued: AtomicBool,
    ready: async_channel::Sender<Weak<Partition>>,
    /// Weak, so that librdkafka's callback never drops the last reference to a queue.
    partition: OnceLock<Weak<Partition>>,
}

impl Waker {
    /// Puts it on this list; whom, `wakes` says.
    pub fn new(ready: async_channel::Sender<Weak<Partition>>) -> Self {
        Self { queued: AtomicBool::new(false), ready, partition: OnceLock::new() }
    }

    /// Whom it wakes; only the first call has an effect.
    pub fn wakes(&self, partition: Weak<Partition>) {
        let _ = self.partition.set(partition);
    }

    /// Whom it wakes, while that one lives.
    pub fn partition(&self) -> Option<Arc<Partition>> {
        self.partition.get().and_then(Weak::upgrade)
    }

    /// Does so, unless it is there already.
    pub fn wake(&self) {
        let Some(partition) = self.partition.get() else { return };
        if !self.queued.swap(true, Ordering::AcqRel) {
            // The list is unbounded, but holds each partition once; closed means shutting down.
            let _ = self.ready.try_send(partition.clone());
        }
    }

    /// The partition is off the list: whatever arrives from now on puts it there again.
    pub fn rest(&self) {
        self.queued.store(false, Ordering::Release);
    }
}
