//! The offset of a partition that may be committed.
//!
//! Messages finish in any order. The commit position is the offset after the longest prefix of finished
//! messages, in order of delivery: compaction and transaction markers leave gaps between offsets, which do
//! not block the position.

use std::collections::VecDeque;

/// The deliveries of one partition since it was assigned.
#[derive(Debug, Default)]
pub struct Tracker {
    /// The delivery number of `window[0]`.
    first: u64,
    window: VecDeque<Delivery>,
    position: Option<i64>,
    unfinished: usize,
}

#[derive(Debug)]
struct Delivery {
    offset: i64,
    finished: bool,
}

impl Tracker {
    /// Records the delivery of a message. Returns its number, which [`finish`](Self::finish) takes.
    pub fn deliver(&mut self, offset: i64) -> u64 {
        let number = self.first + self.window.len() as u64;
        self.window.push_back(Delivery { offset, finished: false });
        self.unfinished += 1;
        number
    }

    /// The end of the partition was reached at `offset`. Offsets between it and the last message are
    /// transaction markers and aborted messages, which are not delivered. Returns whether there are any.
    pub fn reach(&mut self, offset: i64) -> bool {
        let moves = self.end().is_none_or(|end| end < offset);
        if moves {
            let number = self.deliver(offset - 1);
            self.finish(number);
        }
        moves
    }

    /// The outcome of a delivery is durable. A second call with the same number has no effect.
    pub fn finish(&mut self, number: u64) {
        let Some(index) = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok()) else {
            return;
        };
        match self.window.get_mut(index) {
            Some(delivery) if !delivery.finished => delivery.finished = true,
            _ => return,
        }
        self.unfinished -= 1;
        while let Some(delivery) = self.window.pop_front_if(|front| front.finished) {
            self.first += 1;
            self.position = Some(delivery.offset + 1);
        }
    }

    /// The offset to commit: that of the first unfinished message, or the one after the last message. None
    /// before the first delivery.
    pub fn next(&self) -> Option<i64> {
        self.window.front().map(|delivery| delivery.offset).or(self.position)
    }

    /// The offset after the last delivery. None before the first delivery.
    pub fn end(&self) -> Option<i64> {
        self.window.back().map(|last| last.offset + 1).or(self.position)
    }

    /// The offsets of unfinished deliveries, in ascending order.
    pub fn unfinished_offsets(&self) -> impl Iterator<Item = i64> {
        self.window.iter().filter(|delivery| !delivery.finished).map(|delivery| delivery.offset)
    }

    /// The number of unfinished deliveries.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// The number of deliveries from the first unfinished one to the last.
    pub fn window(&self) -> usize {
        self.window.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn there_is_no_position_before_the_first_finish() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.position, None);
        tracker.deliver(7);
        assert_eq!(tracker.position, None);
    }

    #[test]
    fn an_unfinished_message_blocks_the_position() {
        let mut tracker = Tracker::default();
        let numbers: Vec<_> = [10, 11, 15].into_iter().map(|offset| tracker.deliver(offset)).collect();
        tracker.finish(numbers[2]);
        tracker.finish(numbers[1]);
        assert_eq!(tracker.position, None);
        assert_eq!((tracker.unfinished(), tracker.window()), (1, 3));
        tracker.finish(numbers[0]);
        assert_eq!(tracker.position, Some(16));
        assert_eq!((tracker.unfinished(), tracker.window()), (0, 0));
    }

    #[test]
    fn the_end_is_committed_once_everything_before_it_has_finished() {
        let mut tracker = Tracker::default();
        let first = tracker.deliver(3);
        tracker.reach(7);
        assert_eq!((tracker.position, tracker.unfinished()), (None, 1));
        tracker.finish(first);
        assert_eq!((tracker.position, tracker.window()), (Some(7), 0));
        tracker.reach(7);
        assert_eq!((tracker.position, tracker.window()), (Some(7), 0));
        let second = tracker.deliver(7);
        tracker.reach(8);
        assert_eq!((tracker.position, tracker.window()), (Some(7), 1));
        tracker.finish(second);
        assert_eq!(tracker.position, Some(8));
    }

    #[test]
    fn a_partition_without_messages_is_committed_at_its_end() {
        let mut tracker = Tracker::default();
        tracker.reach(4);
        assert_eq!((tracker.position, tracker.unfinished(), tracker.window()), (Some(4), 0, 0));
    }

    #[test]
    fn finishing_twice_or_unknown_changes_nothing() {
        let mut tracker = Tracker::default();
        let first = tracker.deliver(1);
        let second = tracker.deliver(2);
        tracker.finish(second);
        tracker.finish(second);
        tracker.finish(99);
        assert_eq!(tracker.unfinished(), 1);
        tracker.finish(first);
        tracker.finish(first);
        assert_eq!((tracker.position, tracker.unfinished()), (Some(3), 0));
    }

    /// Steps: deliver the next message (with a gap before it), or finish one of those delivered.
    fn steps() -> impl Strategy<Value = Vec<(bool, u8, prop::sample::Index)>> {
        prop::collection::vec((any::<bool>(), 0..4u8, any::<prop::sample::Index>()), 0..200)
    }

    proptest! {
        /// Against a model that keeps all deliveries: the position is the offset after the longest finished
        /// prefix.
        #[test]
        fn position_follows_the_finished_prefix(steps in steps()) {
            let mut tracker = Tracker::default();
            let mut model: Vec<(u64, i64, bool)> = Vec::new();
            let mut offset = 0;
            for (deliver, gap, pick) in steps {
                if deliver || model.is_empty() {
                    offset += 1 + i64::from(gap);
                    model.push((tracker.deliver(offset), offset, false));
                } else {
                    let chosen = pick.index(model.len());
                    tracker.finish(model[chosen].0);
                    model[chosen].2 = true;
                }
                let prefix = model.iter().take_while(|entry| entry.2).count();
                let expected = prefix.checked_sub(1).map(|last| model[last].1 + 1);
                prop_assert_eq!(tracker.position, expected);
                prop_assert_eq!(tracker.unfinished(), model.iter().filter(|entry| !entry.2).count());
                prop_assert_eq!(tracker.window(), model.len() - prefix);
            }
        }
    }
}
