//! Throttled log messages.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(30);

/// A condition that is logged when it begins, and then at intervals while it lasts.
#[derive(Default)]
pub(super) struct Throttle(Option<Instant>);

impl Throttle {
    /// Whether to log the condition now.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= INTERVAL);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }

    /// Ends the condition; returns whether it had been logged.
    pub fn clear(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_condition_is_logged_once_per_interval() {
        let mut throttle = Throttle::default();
        assert!(!throttle.clear());
        assert!(throttle.is_due() && !throttle.is_due());
        assert!(throttle.clear() && !throttle.clear());
        assert!(throttle.is_due());
    }
}
