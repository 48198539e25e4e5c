//! How many uses a destination takes at the same time, learned from its refusals.

use std::time::Duration;

use tokio::time::Instant;

/// The time after a refusal until one more use is tried. It doubles with every trial that is refused.
const FIRST_GROWTH: Duration = Duration::from_secs(30);
/// The maximum of that time.
const MAX_GROWTH: Duration = Duration::from_secs(600);

/// A limit between 1 and a configured maximum. It starts at 1 and grows with every success, so that a destination
/// with little room refuses one use, not many at once.
#[derive(Debug)]
pub struct Limit {
    max: usize,
    /// The highest number that was not refused: the maximum, or what was learned.
    ceiling: usize,
    current: usize,
    growth: Duration,
    /// When the ceiling may be raised.
    grow_at: Option<Instant>,
    /// Whether the ceiling was raised since the last refusal.
    grew: bool,
}

impl Limit {
    /// A limit that has learned nothing yet.
    pub fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { max, ceiling: max, current: 1, growth: FIRST_GROWTH, grow_at: None, grew: false }
    }

    /// The number of uses at the same time.
    pub fn current(&self) -> usize {
        self.current
    }

    /// What was learned: the highest number that the destination takes. None if it is the configured maximum.
    pub fn learned(&self) -> Option<usize> {
        (self.ceiling < self.max).then_some(self.ceiling)
    }

    /// Starts again at 1, as after an outage. What was learned remains.
    pub fn restart(&mut self) {
        self.current = 1;
    }

    /// A use succeeded. `full` tells whether all of the room was in use, without which nothing is learned.
    pub fn succeeded(&mut self, full: bool, now: Instant) {
        if !full {
            return;
        }
        if self.current < self.ceiling {
            self.current += 1;
        } else if self.ceiling < self.max && self.grow_at.is_none_or(|at| at <= now) {
            self.ceiling += 1;
            self.current = self.ceiling;
            self.grow_at = Some(now + self.growth);
            self.grew = true;
        }
    }

    /// The destination refused one of `in_use` uses because of their number, while it takes `others` of them.
    pub fn refused(&mut self, others: usize, in_use: usize, now: Instant) {
        // A lower limit was learned since these uses began.
        if in_use > self.current {
            return;
        }
        if self.grew {
            self.growth = (self.growth * 2).min(MAX_GROWTH);
        }
        self.grew = false;
        self.current = others.clamp(1, self.current.saturating_sub(1).max(1));
        self.ceiling = self.current;
        self.grow_at = Some(now + self.growth);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_grows_by_success_and_falls_to_the_number_that_was_accepted() {
        let now = Instant::now();
        let mut limit = Limit::new(10);
        for expected in 1..=10 {
            assert_eq!(limit.current(), expected);
            limit.succeeded(true, now);
        }
        assert_eq!((limit.current(), limit.learned()), (10, None));
        for in_use in (4..=10).rev() {
            limit.refused(3, in_use, now);
            assert_eq!((limit.current(), limit.learned()), (3, Some(3)), "a burst is one refusal");
        }
        limit.refused(3, 3, now);
        assert_eq!(limit.current(), 2, "a refusal within the limit lowers it");
        limit.restart();
        assert_eq!((limit.current(), limit.learned()), (1, Some(2)));
    }

    #[test]
    fn it_grows_back_slowly_and_more_slowly_after_a_refused_trial() {
        let start = Instant::now();
        let mut limit = Limit::new(10);
        limit.current = 4;
        limit.refused(3, 4, start);
        let mut trials = Vec::new();
        for second in 1..2000 {
            let now = start + Duration::from_secs(second);
            let before = limit.current();
            limit.succeeded(true, now);
            if limit.current() > before {
                trials.push(second);
                limit.refused(3, 4, now);
            }
        }
        assert_eq!(trials, [30, 90, 210, 450, 930, 1530]);
        limit.succeeded(false, start + Duration::from_secs(9999));
        assert_eq!(limit.current(), 3, "without demand nothing is tried");
    }

    proptest! {
        #[test]
        fn it_stays_between_1_and_the_maximum(max in 0usize..20, events in prop::collection::vec((any::<bool>(), 0usize..30), 0..200)) {
            let mut limit = Limit::new(max);
            let start = Instant::now();
            for (second, (success, others)) in events.into_iter().enumerate() {
                let now = start + Duration::from_secs(40 * second as u64);
                if success { limit.succeeded(true, now) } else { limit.refused(others, others + 1, now) }
                prop_assert!((1..=max.max(1)).contains(&limit.current()));
                prop_assert!(limit.current() <= limit.ceiling);
            }
        }
    }
}
