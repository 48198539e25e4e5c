//! Throttled log messages.

use std::time::{Duration, Instant};

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
}
