//! Which offset of a partition may be committed.
//!
//! Messages finish in any order; the commit position moves only over the finished ones at the
//! front. Order means order of delivery: compaction and transaction markers leave gaps between
//! offsets, and a gap holds nothing back.

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
    /// Takes note of a message that is about to be worked on. Returns its delivery number, which
    /// `finish` takes.
    pub fn deliver(&mut self, offset: i64) -> u64 {
        let number = self.first + self.window.len() as u64;
        self.window.push_back(Delivery { offset, finished: false });
        self.unfinished += 1;
        number
    }

    /// The end of the partition was reached at `offset`: what lies between it and the last message
    /// is transaction markers and aborted messages, which nobody delivers. Whether there was
    /// something.
    pub fn reach(&mut self, offset: i64) -> bool {
        let moves = self.end().is_none_or(|end| end < offset);
        if moves {
            let number = self.deliver(offset - 1);
            self.finish(number);
        }
        moves
    }

    /// The outcome of a delivery is durable. A second call for the same number changes nothing.
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

    /// The offset of the first message that is not finished, or the one after the last.
    pub fn next(&self) -> Option<i64> {
        self.window.front().map(|delivery| delivery.offset).or(self.position)
    }

    /// The offset after the last delivery. None before the first one.
    pub fn end(&self) -> Option<i64> {
        self.window.back().map(|last| last.offset + 1).or(self.position)
    }

    /// The offsets of those that are not finished, rising.
    pub fn unfinished_offsets(&self) -> impl Iterator<Item = i64> {
        self.window.iter().filter(|delivery| !delivery.finished).map(|delivery| delivery.offset)
    }

    /// How many deliveries are not finished.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// How many deliveries lie at or behind the first unfinished one: what a crash would repeat.
    pub fn window(&self) -> usize {
        self.window.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_committed_before_something_finished() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.position, None);
        tracker.deliver(7);
        assert_eq!(tracker.position, None);
    }

    #[test]
    fn an_unfinished_message_holds_back_what_comes_after_it() {
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
        /// The rule itself, on a model that keeps everything: the position is the offset after
        /// the longest finished prefix, never further and never less.
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
