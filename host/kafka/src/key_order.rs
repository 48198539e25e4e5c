//! Ordering by key: which messages of a partition may be processed concurrently.

use std::collections::{HashMap, VecDeque};

use settings::Ordering;
use sha2::{Digest, Sha256};

use crate::partition::Limit;
use crate::window::{FAILED_HOLE, HOLE, MAX_LEN};

/// The bytes of commit metadata that are available for holes.
const METADATA_BYTES: usize = MAX_LEN - 28;

/// A record key as a number. Nobody can find a second record key for one that others use.
pub type OrderKey = u128;

/// The key that a message is ordered by; None if it is not ordered.
pub fn order_key(ordering: Ordering, key: Option<&[u8]>) -> Option<OrderKey> {
    match ordering {
        Ordering::Unordered => None,
        Ordering::Key => key.map(hash),
        Ordering::Partition => Some(0),
    }
}

/// Must not change between versions: records of held keys contain it.
fn hash(key: &[u8]) -> OrderKey {
    let digest: [u8; 32] = Sha256::digest(key).into();
    digest.first_chunk().map_or(0, |first| OrderKey::from_be_bytes(*first))
}

/// The ordered messages of a partition. At most one message per key is in progress, and the space that all of
/// them take in a commit's metadata is bounded.
pub struct KeyOrder<T> {
    ordering: Ordering,
    /// Keys with a message in progress or awaiting a retry, each with the messages queued behind it.
    queues: HashMap<OrderKey, VecDeque<T>>,
    /// The number of messages without a key that are in progress or await a retry.
    unkeyed: usize,
    /// The number of messages in `queues`.
    queued: usize,
    /// Messages whose predecessor has finished.
    ready: VecDeque<T>,
}

impl<T> KeyOrder<T> {
    /// An empty order.
    pub fn new(ordering: Ordering) -> Self {
        Self { ordering, queues: HashMap::new(), unkeyed: 0, queued: 0, ready: VecDeque::new() }
    }

    /// Returns the message if it may start now; otherwise queues it behind its key.
    pub fn admit(&mut self, key: Option<OrderKey>, message: T) -> Option<T> {
        let Some(key) = key else {
            self.unkeyed += 1;
            return Some(message);
        };
        match self.queues.get_mut(&key) {
            Some(queue) => {
                queue.push_back(message);
                self.queued += 1;
                None
            }
            None => {
                self.queues.insert(key, VecDeque::new());
                Some(message)
            }
        }
    }

    /// A message of this key has finished: the next one of the key becomes ready.
    pub fn finish(&mut self, key: Option<OrderKey>) {
        let Some(key) = key else {
            self.unkeyed = self.unkeyed.saturating_sub(1);
            return;
        };
        match self.queues.get_mut(&key).map(VecDeque::pop_front) {
            Some(Some(message)) => {
                self.queued -= 1;
                self.ready.push_back(message);
            }
            Some(None) => {
                self.queues.remove(&key);
            }
            None => {}
        }
    }

    /// Takes a ready message.
    pub fn pop_ready(&mut self) -> Option<T> {
        self.ready.pop_front()
    }

    /// Whether a message is ready.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The number of messages that may still be read. All messages must fit into a commit's metadata, even if
    /// every one of them fails.
    pub fn capacity(&self) -> usize {
        match self.ordering {
            Ordering::Unordered => usize::MAX,
            Ordering::Partition => usize::from(self.queues.is_empty()),
            Ordering::Key => {
                let failing = (self.queues.len() + self.unkeyed) * FAILED_HOLE;
                let taken = failing + self.queued * HOLE;
                METADATA_BYTES.saturating_sub(taken) / FAILED_HOLE
            }
        }
    }

    /// Why it is at its limit, when its capacity is 0.
    pub fn limit(&self) -> Limit {
        if self.ordering == Ordering::Partition { Limit::Predecessor } else { Limit::Keys }
    }

    /// Discards the messages that have not started.
    pub fn clear(&mut self) {
        self.queues.values_mut().for_each(VecDeque::clear);
        self.ready.clear();
        self.queued = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_without_a_key_are_not_ordered() {
        assert_eq!(order_key(Ordering::Key, None), None);
        assert_ne!(order_key(Ordering::Key, Some(b"")), None);
        let mut order = KeyOrder::new(Ordering::Key);
        assert_eq!((order.admit(None, 1), order.admit(None, 2)), (Some(1), Some(2)));
    }

    #[test]
    fn a_partition_is_one_key() {
        assert_eq!(order_key(Ordering::Partition, None), order_key(Ordering::Partition, Some(b"x")));
        let mut order = KeyOrder::new(Ordering::Partition);
        assert_eq!(order.capacity(), 1);
        assert_eq!(order.admit(Some(0), 1), Some(1));
        assert_eq!(order.capacity(), 0);
        order.finish(Some(0));
        assert_eq!(order.capacity(), 1);
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(
            order_key(Ordering::Key, Some(b"user-1")),
            Some(264_197_245_559_193_103_802_457_056_277_534_325_937)
        );
    }

    proptest! {
        /// One message per key at a time, in the order of admission, and never more than the metadata can
        /// hold.
        #[test]
        fn messages_of_a_key_start_in_order(steps in prop::collection::vec((any::<bool>(), 0..12_u128, any::<prop::sample::Index>()), 0..600)) {
            let mut order = KeyOrder::new(Ordering::Key);
            let mut running: Vec<(Option<OrderKey>, usize)> = Vec::new();
            let mut started: HashMap<OrderKey, usize> = HashMap::new();
            for (number, (read, key, pick)) in steps.into_iter().enumerate() {
                // Key 0 represents no key.
                let key = (key > 0).then_some(key);
                let mut begun = Vec::new();
                if read && order.capacity() > 0 {
                    begun.extend(order.admit(key, (key, number)));
                } else if !running.is_empty() {
                    let (key, _) = running.swap_remove(pick.index(running.len()));
                    order.finish(key);
                    begun.extend(order.pop_ready());
                }
                for (key, number) in begun {
                    prop_assert!(key.is_none() || running.iter().all(|other| other.0 != key));
                    if let Some(last) = key.and_then(|key| started.insert(key, number)) {
                        prop_assert!(last < number);
                    }
                    running.push((key, number));
                }
                let taken = running.len() * FAILED_HOLE + order.queued * HOLE;
                prop_assert!(taken <= METADATA_BYTES, "{} running, {} queued", running.len(), order.queued);
            }
        }
    }
}
