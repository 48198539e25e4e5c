//! Whose turn it is: which messages of a partition may be under way side by side.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hasher;

use fnv::FnvHasher;
use settings::Ordering;

use crate::window::{FAILED_HOLE, HELD_KEY, HOLE, MAX_LEN};

/// The room that the metadata of a commit has for holes and held keys.
const ROOM: usize = MAX_LEN - 60;

/// What a message must wait for; None is nothing. Two keys may be taken for the same one, which costs them time
/// and no order.
pub fn wait_key(ordering: Ordering, key: Option<&[u8]>) -> Option<u64> {
    match ordering {
        Ordering::Unordered => None,
        Ordering::Key => key.map(hash),
        Ordering::Partition => Some(0),
    }
}

/// The same in every version: it is kept in commits.
fn hash(key: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(key);
    hasher.finish()
}

/// The messages of a partition that are ordered: at most one of a key is under way, and the room
/// they take in a commit's metadata is bounded.
pub struct Turns<T> {
    ordering: Ordering,
    /// Keys with a message under way or to be tried again, and those that wait behind it.
    busy: HashMap<u64, VecDeque<T>>,
    /// Those without a key that are under way or to be tried again.
    alone: usize,
    waiting: usize,
    /// Whose turn has come.
    next: VecDeque<T>,
    /// Keys whose messages follow a dead letter.
    held: BTreeSet<u64>,
}

impl<T> Turns<T> {
    /// Nobody is under way.
    pub fn new(ordering: Ordering) -> Self {
        let (busy, next, held) = (HashMap::new(), VecDeque::new(), BTreeSet::new());
        Self { ordering, busy, alone: 0, waiting: 0, next, held }
    }

    /// Gives a message back where its turn is now; else it waits.
    pub fn admit(&mut self, key: Option<u64>, message: T) -> Option<T> {
        let Some(key) = key else {
            self.alone += 1;
            return Some(message);
        };
        match self.busy.get_mut(&key) {
            Some(behind) => {
                behind.push_back(message);
                self.waiting += 1;
                None
            }
            None => {
                self.busy.insert(key, VecDeque::new());
                Some(message)
            }
        }
    }

    /// A message is finished: the next one of its key has its turn.
    pub fn finish(&mut self, key: Option<u64>) {
        let Some(key) = key else {
            self.alone = self.alone.saturating_sub(1);
            return;
        };
        match self.busy.get_mut(&key).map(VecDeque::pop_front) {
            Some(Some(message)) => {
                self.waiting -= 1;
                self.next.push_back(message);
            }
            Some(None) => {
                self.busy.remove(&key);
            }
            None => {}
        }
    }

    /// One whose turn has come.
    pub fn pop(&mut self) -> Option<T> {
        self.next.pop_front()
    }

    /// Whether somebody's turn has come.
    pub fn has_next(&self) -> bool {
        !self.next.is_empty()
    }

    /// How many more messages may be read: those that are there must all fit a commit's metadata,
    /// also if every one of them fails.
    pub fn room(&self) -> usize {
        match self.ordering {
            Ordering::Unordered => usize::MAX,
            Ordering::Partition => usize::from(self.busy.is_empty()),
            Ordering::Key => {
                let failing = (self.busy.len() + self.alone) * FAILED_HOLE;
                let taken = failing + self.waiting * HOLE + self.held.len() * HELD_KEY;
                ROOM.saturating_sub(taken) / FAILED_HOLE
            }
        }
    }

    /// From now on the messages of this key follow a dead letter.
    pub fn hold(&mut self, keys: impl IntoIterator<Item = u64>) {
        self.held.extend(keys);
    }

    /// The keys whose messages follow a dead letter.
    pub fn held(&self) -> &BTreeSet<u64> {
        &self.held
    }

    /// Forgets those that wait.
    pub fn clear(&mut self) {
        self.busy.values_mut().for_each(VecDeque::clear);
        self.next.clear();
        self.waiting = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn those_without_a_key_wait_for_nobody() {
        assert_eq!(wait_key(Ordering::Key, None), None);
        assert_ne!(wait_key(Ordering::Key, Some(b"")), None);
        let mut turns = Turns::new(Ordering::Key);
        assert_eq!((turns.admit(None, 1), turns.admit(None, 2)), (Some(1), Some(2)));
    }

    #[test]
    fn a_partition_is_one_key() {
        assert_eq!(wait_key(Ordering::Partition, None), wait_key(Ordering::Partition, Some(b"x")));
        let mut turns = Turns::new(Ordering::Partition);
        assert_eq!(turns.room(), 1);
        assert_eq!(turns.admit(Some(0), 1), Some(1));
        assert_eq!(turns.room(), 0);
        turns.finish(Some(0));
        assert_eq!(turns.room(), 1);
    }

    #[test]
    fn hashes_are_those_of_every_version() {
        assert_eq!(wait_key(Ordering::Key, Some(b"user-1")), Some(17_891_572_797_655_370_708));
    }

    proptest! {
        /// One of a key at a time, each key in the order of admission, and never more than fits.
        #[test]
        fn turns_come_in_order(steps in prop::collection::vec((any::<bool>(), 0..12_u64, any::<prop::sample::Index>()), 0..600)) {
            let mut turns = Turns::new(Ordering::Key);
            let mut running: Vec<(Option<u64>, usize)> = Vec::new();
            let mut started: HashMap<u64, usize> = HashMap::new();
            for (number, (read, key, pick)) in steps.into_iter().enumerate() {
                // Key 0 stands for none.
                let key = (key > 0).then_some(key);
                let mut begun = Vec::new();
                if read && turns.room() > 0 {
                    begun.extend(turns.admit(key, (key, number)));
                } else if !running.is_empty() {
                    let (key, _) = running.swap_remove(pick.index(running.len()));
                    turns.finish(key);
                    begun.extend(turns.pop());
                }
                for (key, number) in begun {
                    prop_assert!(key.is_none() || running.iter().all(|other| other.0 != key));
                    if let Some(last) = key.and_then(|key| started.insert(key, number)) {
                        prop_assert!(last < number);
                    }
                    running.push((key, number));
                }
                let taken = running.len() * FAILED_HOLE + turns.waiting * HOLE;
                prop_assert!(taken <= ROOM, "{} running, {} waiting", running.len(), turns.waiting);
            }
        }
    }
}
