//! The offset of a partition that may be committed.
//!
//! Messages finish in any order. The commit position is the offset after the longest prefix of finished messages, in
//! order of delivery: compaction and transaction markers leave gaps between offsets, which do not block the position.
//!
//! Deliveries are kept while they are recent. Of earlier ones only those that are not finished are kept, so that a
//! message that waits for a day does not hold back the others of its partition.

use std::collections::{BTreeMap, VecDeque};

const LIMITS: Limits = Limits { recent: 1_000, earlier: 400, all_recent: 10_000 };

/// The limits of a tracker, in deliveries.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The number of recent deliveries that are kept in any case.
    recent: usize,
    /// The maximum number of earlier deliveries. A commit's metadata has room for so many.
    earlier: usize,
    /// The maximum number of recent deliveries, when the earlier ones are at their maximum.
    all_recent: usize,
}

/// The deliveries of one partition since it was assigned.
#[derive(Debug)]
pub struct Tracker {
    limits: Limits,
    /// Unfinished deliveries from before the recent ones, by number.
    earlier: BTreeMap<u64, Delivery>,
    /// The number of the delivery `recent[0]`, which is unfinished.
    first: u64,
    recent: VecDeque<Delivery>,
    /// After the last of the finished deliveries that are not kept.
    position: Option<Position>,
    unfinished: usize,
}

/// An offset to commit, or the end of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset.
    pub offset: i64,
    /// The leader epoch of the record at or before it (KIP-320), if it is known.
    pub epoch: Option<i32>,
}

#[derive(Debug, Clone, Copy)]
struct Delivery {
    offset: i64,
    epoch: i32,
    finished: bool,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::with(LIMITS)
    }
}

impl Tracker {
    fn with(limits: Limits) -> Self {
        let (earlier, recent) = (BTreeMap::new(), VecDeque::new());
        Self { limits, earlier, first: 0, recent, position: None, unfinished: 0 }
    }

    /// Records the delivery of a message. Returns its number, which [`finish`](Self::finish) takes.
    pub fn deliver(&mut self, offset: i64, epoch: Option<i32>) -> u64 {
        if self.recent.len() >= self.limits.recent && self.earlier.len() < self.limits.earlier {
            self.set_aside();
        }
        let number = self.first + self.recent.len() as u64;
        self.recent.push_back(Delivery { offset, epoch: epoch.unwrap_or(-1), finished: false });
        self.unfinished += 1;
        number
    }

    /// The end of the partition was reached at `offset`. Offsets between it and the last message are
    /// transaction markers and aborted messages, which are not delivered. Returns whether there are any.
    pub fn reach(&mut self, offset: i64) -> bool {
        let end = self.end();
        let moves = end.is_none_or(|end| end.offset < offset);
        if moves {
            let number = self.deliver(offset - 1, end.and_then(|end| end.epoch));
            self.finish(number);
        }
        moves
    }

    /// The outcome of a delivery is durable. A second call with the same number has no effect.
    pub fn finish(&mut self, number: u64) {
        let Some(index) = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else {
            if let Some(delivery) = self.earlier.remove(&number) {
                self.unfinished -= 1;
                self.pass(delivery);
            }
            return;
        };
        match self.recent.get_mut(index) {
            Some(delivery) if !delivery.finished => delivery.finished = true,
            _ => return,
        }
        self.unfinished -= 1;
        self.pass_finished();
    }

    /// The offset to commit: that of the first unfinished message, or the one after the last message. None
    /// before the first delivery.
    pub fn next(&self) -> Option<Position> {
        let first = self.earlier.first_key_value().map(|(_, first)| first).or_else(|| self.recent.front());
        first.map(|first| first.position(first.offset)).or(self.position)
    }

    /// The offset after the last delivery. None before the first delivery.
    pub fn end(&self) -> Option<Position> {
        let last = self.recent.back().map(|last| last.position(last.offset + 1));
        last.or(self.position)
    }

    /// The offsets of unfinished deliveries, in ascending order.
    pub fn unfinished_offsets(&self) -> impl Iterator<Item = i64> {
        let recent = self.recent.iter().filter(|delivery| !delivery.finished);
        self.earlier.values().chain(recent).map(|delivery| delivery.offset)
    }

    /// The number of unfinished deliveries.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Whether no more messages should be delivered, since a commit's metadata could not describe them and too many
    /// would be repeated.
    pub fn is_full(&self) -> bool {
        self.recent.len() >= self.limits.all_recent
    }

    /// Keeps the first of the recent deliveries, which is unfinished, as an earlier one.
    fn set_aside(&mut self) {
        if let Some(delivery) = self.recent.pop_front() {
            self.earlier.insert(self.first, delivery);
            self.first += 1;
            self.pass_finished();
        }
    }

    fn pass_finished(&mut self) {
        while let Some(delivery) = self.recent.pop_front_if(|front| front.finished) {
            self.first += 1;
            self.pass(delivery);
        }
    }

    fn pass(&mut self, delivery: Delivery) {
        let after = delivery.position(delivery.offset + 1);
        if self.position.is_none_or(|position| position.offset < after.offset) {
            self.position = Some(after);
        }
    }
}

impl Delivery {
    fn position(&self, offset: i64) -> Position {
        Position { offset, epoch: Some(self.epoch).filter(|epoch| *epoch >= 0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(tracker: &Tracker) -> Option<i64> {
        tracker.next().map(|position| position.offset)
    }

    #[test]
    fn an_unfinished_message_blocks_the_position() {
        let mut tracker = Tracker::default();
        assert_eq!(next(&tracker), None);
        let numbers: Vec<_> = [10, 11, 15].into_iter().map(|offset| tracker.deliver(offset, None)).collect();
        tracker.finish(numbers[2]);
        tracker.finish(numbers[1]);
        assert_eq!((next(&tracker), tracker.unfinished()), (Some(10), 1));
        tracker.finish(numbers[0]);
        assert_eq!((next(&tracker), tracker.unfinished()), (Some(16), 0));
    }

    #[test]
    fn the_end_is_committed_once_everything_before_it_has_finished() {
        let mut tracker = Tracker::default();
        let first = tracker.deliver(3, None);
        assert!(tracker.reach(7));
        assert_eq!((next(&tracker), tracker.unfinished()), (Some(3), 1));
        tracker.finish(first);
        assert_eq!(next(&tracker), Some(7));
        assert!(!tracker.reach(7));
        let second = tracker.deliver(7, None);
        assert!(!tracker.reach(8));
        assert_eq!(next(&tracker), Some(7));
        tracker.finish(second);
        assert_eq!(next(&tracker), Some(8));
    }

    #[test]
    fn a_partition_without_messages_is_committed_at_its_end() {
        let mut tracker = Tracker::default();
        assert!(tracker.reach(4));
        assert_eq!((next(&tracker), tracker.unfinished()), (Some(4), 0));
    }

    #[test]
    fn finishing_twice_or_unknown_changes_nothing() {
        let mut tracker = Tracker::default();
        let first = tracker.deliver(1, None);
        let second = tracker.deliver(2, None);
        tracker.finish(second);
        tracker.finish(second);
        tracker.finish(99);
        assert_eq!(tracker.unfinished(), 1);
        tracker.finish(first);
        tracker.finish(first);
        assert_eq!((next(&tracker), tracker.unfinished()), (Some(3), 0));
    }

    #[test]
    fn a_position_has_the_leader_epoch_of_its_record() {
        let mut tracker = Tracker::default();
        let first = tracker.deliver(1, Some(4));
        tracker.deliver(2, Some(5));
        assert_eq!(tracker.next(), Some(Position { offset: 1, epoch: Some(4) }));
        tracker.finish(first);
        assert_eq!(tracker.next(), Some(Position { offset: 2, epoch: Some(5) }));
        assert_eq!(tracker.end(), Some(Position { offset: 3, epoch: Some(5) }));
    }

    #[test]
    fn one_message_that_waits_holds_back_no_other() {
        let mut tracker = Tracker::default();
        let waiting = tracker.deliver(0, None);
        for offset in 1..1_000_000 {
            let number = tracker.deliver(offset, None);
            tracker.finish(number);
            assert!(!tracker.is_full());
        }
        assert_eq!((next(&tracker), tracker.unfinished()), (Some(0), 1));
        assert!(tracker.recent.len() + tracker.earlier.len() <= LIMITS.recent);
        tracker.finish(waiting);
        assert_eq!((next(&tracker), tracker.unfinished()), (Some(1_000_000), 0));
    }

    #[test]
    fn the_messages_that_would_be_repeated_are_bounded() {
        let mut tracker = Tracker::default();
        let mut offset = 0;
        while !tracker.is_full() {
            let number = tracker.deliver(offset, None);
            // More of them wait than a commit's metadata can describe.
            if offset % 10 > 0 {
                tracker.finish(number);
            }
            offset += 1;
        }
        assert_eq!(tracker.earlier.len(), LIMITS.earlier);
        assert_eq!(tracker.recent.len(), LIMITS.all_recent);
    }

    /// Steps: deliver the next message (with a gap before it), or finish one of those delivered.
    fn steps() -> impl Strategy<Value = Vec<(bool, u8, prop::sample::Index)>> {
        prop::collection::vec((any::<bool>(), 0..4u8, any::<prop::sample::Index>()), 0..200)
    }

    proptest! {
        /// Against a model that keeps all deliveries: the position is that of the first unfinished one.
        #[test]
        fn position_follows_the_finished_prefix(steps in steps(), recent in 1..8_usize, earlier in 0..8_usize) {
            let mut tracker = Tracker::with(Limits { recent, earlier, all_recent: usize::MAX });
            let mut model: Vec<(u64, i64, bool)> = Vec::new();
            let mut offset = 0;
            for (deliver, gap, pick) in steps {
                if deliver || model.is_empty() {
                    offset += 1 + i64::from(gap);
                    model.push((tracker.deliver(offset, None), offset, false));
                } else {
                    let chosen = pick.index(model.len());
                    tracker.finish(model[chosen].0);
                    model[chosen].2 = true;
                }
                let unfinished: Vec<i64> = model.iter().filter(|entry| !entry.2).map(|entry| entry.1).collect();
                prop_assert_eq!(next(&tracker), unfinished.first().copied().or(Some(offset + 1)));
                prop_assert_eq!(tracker.end().map(|end| end.offset), Some(offset + 1));
                prop_assert_eq!(tracker.unfinished(), unfinished.len());
                prop_assert_eq!(tracker.unfinished_offsets().collect::<Vec<_>>(), unfinished);
                prop_assert!(tracker.earlier.len() <= earlier);
            }
        }
    }
}
