//! Throttled log messages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The maximum number of causes that are known at the same time.
const MAX_CAUSES: usize = 200;

/// A condition that is logged when it begins, and then once per interval while it lasts.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    last: Option<Instant>,
}

impl Throttle {
    /// A condition that has not been logged yet.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, last: None }
    }

    /// Whether to log the condition now. True at the first call, and once the interval has passed since the
    /// last time it was true.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|last| last.elapsed() >= self.interval);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }

    /// Ends the condition, so that the next one is logged at once. Returns whether it had been logged.
    pub fn clear(&mut self) -> bool {
        self.last.take().is_some()
    }
}

/// Lines that repeat for a lasting cause, with the number of those that were not logged.
#[derive(Debug)]
pub struct RepeatedLines {
    interval: Duration,
    causes: BTreeMap<(String, String), (Throttle, u64)>,
}

impl RepeatedLines {
    /// No cause is known yet.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, causes: BTreeMap::new() }
    }

    /// The number of lines of this cause since the last that was logged; None if this one is not logged.
    pub fn count(&mut self, facility: &str, cause: String) -> Option<u64> {
        if self.causes.len() >= MAX_CAUSES {
            self.causes.clear();
        }
        let unknown = || (Throttle::new(self.interval), 0);
        let (throttle, repeated) = self.causes.entry((facility.to_owned(), cause)).or_insert_with(unknown);
        if throttle.is_due() {
            return Some(std::mem::take(repeated));
        }
        *repeated += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_lasting_condition_is_logged_once_per_interval() {
        let mut throttle = Throttle::new(Duration::from_secs(3600));
        assert!(throttle.is_due() && !throttle.is_due() && !throttle.is_due());
        let mut brief = Throttle::new(Duration::from_millis(1));
        assert!(brief.is_due());
        thread::sleep(Duration::from_millis(2));
        assert!(brief.is_due());
    }

    #[test]
    fn a_new_condition_is_logged_at_once() {
        let mut throttle = Throttle::new(Duration::from_secs(3600));
        assert!(!throttle.clear());
        assert!(throttle.is_due());
        assert!(throttle.clear() && !throttle.clear());
        assert!(throttle.is_due());
    }

    #[test]
    fn lines_that_were_not_logged_are_counted_for_each_cause() {
        const INTERVAL: Duration = Duration::from_millis(200);
        let mut lines = RepeatedLines::new(INTERVAL);
        let begun = Instant::now();
        assert_eq!(lines.count("FAIL", "refused".to_owned()), Some(0));
        let unlogged = (0..500).filter(|_| lines.count("FAIL", "refused".to_owned()).is_none()).count();
        assert!(unlogged == 500 || begun.elapsed() >= INTERVAL, "{unlogged}");
        assert_eq!(lines.count("FAIL", "resolve".to_owned()), Some(0), "another cause is logged at once");
        thread::sleep(INTERVAL);
        assert_eq!(lines.count("FAIL", "refused".to_owned()), Some(unlogged as u64));
    }
}
