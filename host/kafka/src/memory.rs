//! The memory of the messages that were read and are not finished, of all partitions together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::waker::Waker;

/// The default limit in bytes.
const LIMIT: usize = 32 << 20;

/// The memory that all partitions of a host share.
pub struct Memory {
    limit: usize,
    used: AtomicUsize,
    /// Partitions that wait for memory.
    waiting: Mutex<Vec<Weak<Waker>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit: LIMIT, used: AtomicUsize::new(0), waiting: Mutex::default() }
    }
}

/// The part of it that one partition uses.
pub struct HeldMemory {
    shared: Arc<Memory>,
    waker: Arc<Waker>,
    bytes: usize,
}

impl HeldMemory {
    /// No memory yet. The partition is woken by `waker` when it may read again.
    pub fn new(shared: Arc<Memory>, waker: Arc<Waker>) -> Self {
        Self { shared, waker, bytes: 0 }
    }

    /// The bytes that this partition uses.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether another message may be read: there is memory, or this partition uses none, so that none can be kept
    /// from reading for ever by the others. Otherwise the partition is woken when there is memory.
    pub fn may_grow(&self) -> bool {
        if self.bytes == 0 || self.shared.has_room() {
            return true;
        }
        let mut waiting = self.shared.waiting.lock();
        let waker = Arc::downgrade(&self.waker);
        if !waiting.iter().any(|other| other.ptr_eq(&waker)) {
            waiting.push(waker);
        }
        // It may have been released before this partition was in the list.
        self.shared.has_room()
    }

    /// A message of this size was read.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.shared.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A message of this size is finished.
    pub fn release(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.shared.release(bytes);
    }
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        self.shared.release(self.bytes);
    }
}

impl Memory {
    fn has_room(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit
    }

    fn release(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        if before >= self.limit && before - bytes < self.limit {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            waiting.iter().filter_map(Weak::upgrade).for_each(|waker| waker.wake());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_waits_while_others_use_the_memory() {
        let shared = Arc::new(Memory { limit: 100, ..Memory::default() });
        let (sender, _receiver) = async_channel::unbounded();
        let held = || HeldMemory::new(Arc::clone(&shared), Arc::new(Waker::new(sender.clone())));
        let (mut first, mut second) = (held(), held());
        first.add(60);
        second.add(50);
        assert!(!first.may_grow() && !second.may_grow());
        assert_eq!(shared.waiting.lock().len(), 2);
        assert!(held().may_grow(), "a partition without messages may always read one");
        first.release(60);
        assert!(second.may_grow());
        assert!(shared.waiting.lock().is_empty());
        drop(second);
        assert_eq!(shared.used.load(Ordering::Relaxed), 0);
    }
}
