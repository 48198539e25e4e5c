//! Hands partitions with messages to read to the workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::partition::Partition;

/// Adds its partition to the ready list, at most once at a time.
pub struct Waker {
    queued: AtomicBool,
    ready: async_channel::Sender<Weak<Partition>>,
    /// Weak, so that librdkafka's callback never drops the last reference to a queue.
    partition: OnceLock<Weak<Partition>>,
}

impl Waker {
    /// A waker for this list; [`set_partition`](Self::set_partition) sets the partition.
    pub fn new(ready: async_channel::Sender<Weak<Partition>>) -> Self {
        Self { queued: AtomicBool::new(false), ready, partition: OnceLock::new() }
    }

    /// Sets the partition. Only the first call has an effect.
    pub fn set_partition(&self, partition: Weak<Partition>) {
        let _ = self.partition.set(partition);
    }

    /// The partition, unless it was dropped.
    pub fn partition(&self) -> Option<Arc<Partition>> {
        self.partition.get().and_then(Weak::upgrade)
    }

    /// Adds the partition to the list, unless it is on the list already.
    pub fn wake(&self) {
        let Some(partition) = self.partition.get() else { return };
        if !self.queued.swap(true, Ordering::AcqRel) {
            // The list is unbounded, but contains each partition once. It is closed at shutdown.
            let _ = self.ready.try_send(partition.clone());
        }
    }

    /// The partition was taken off the list: new messages add it again.
    pub fn rearm(&self) {
        self.queued.store(false, Ordering::Release);
    }
}
