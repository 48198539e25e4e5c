//! What follows a failed delivery: which retry topic, when, or the dead-letter topic.

use std::time::Duration;

/// The longest delay a plugin may choose for one message.
pub const MAX_CHOSEN_DELAY: Duration = Duration::from_secs(3600);
/// How long after its first failure a message may still be tried again.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Attempts are written as 1 to 32767; far fewer retries than that make sense.
const MAX_RETRIES: u32 = 1000;
/// Each tier is a topic.
const MAX_TIERS: usize = 32;

/// A retry policy: the delays before each retry, and the tiers (distinct delays, one topic each).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    delays_ms: Vec<u64>,
    tiers_ms: Vec<u64>,
}

/// What follows a failed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Publish to the retry topic of this tier.
    Retry {
        /// Which tier, from 0.
        tier: usize,
        /// The number of the delivery to come.
        attempt: u32,
        /// When it is due, in milliseconds since the Unix epoch.
        due_ms: i64,
    },
    /// Publish to the dead-letter topic.
    Dead,
}

impl Policy {
    /// Delays of `delay_ms`, multiplied each time, never above `max_delay_ms`.
    ///
    /// # Errors
    /// A sentence that says which value is out of its range.
    pub fn new(retries: u32, delay_ms: u64, multiplier: f64, max_delay_ms: u64) -> Result<Self, String> {
        let longest = u64::try_from(MAX_AGE.as_millis()).unwrap_or(u64::MAX);
        if retries > MAX_RETRIES {
            return Err(format!("retries is {retries}; at most {MAX_RETRIES} are possible"));
        }
        if !(multiplier.is_finite() && multiplier >= 1.0) {
            return Err(format!("multiplier is {multiplier}; it must be 1 or more"));
        }
        if !(1..=longest).contains(&delay_ms) || !(delay_ms..=longest).contains(&max_delay_ms) {
            return Err(format!(
                "delay is {delay_ms} ms and the largest delay {max_delay_ms} ms; \
                 1 <= delay <= largest delay <= {longest} (24 h) must hold"
            ));
        }
        let delays_ms: Vec<u64> = (0..retries)
            .map(|retry| delay_ms as f64 * multiplier.powi(retry.cast_signed()))
            .map(|delay| (delay.round() as u64).min(max_delay_ms))
            .collect();
        let mut tiers_ms = delays_ms.clone();
        tiers_ms.dedup();
        if tiers_ms.len() > MAX_TIERS {
            return Err(format!("{} different delays; at most {MAX_TIERS} are possible", tiers_ms.len()));
        }
        Ok(Self { delays_ms, tiers_ms })
    }

    /// The distinct delays in milliseconds, rising: one retry topic each.
    pub fn tiers_ms(&self) -> &[u64] {
        &self.tiers_ms
    }

    /// The number of the last delivery.
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.delays_ms.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// What follows the failure of delivery `attempt` (from 1) at `now_ms`. `after_ms` is the
    /// delay the plugin asked for, which spends no attempt.
    pub fn next(&self, attempt: u32, after_ms: Option<u64>, now_ms: i64, first_failed_ms: i64) -> Step {
        let planned = attempt.checked_sub(1).and_then(|index| self.delays_ms.get(index as usize));
        let (delay_ms, attempt) = match (after_ms, planned) {
            (Some(after), _) => (after.min(millis(MAX_CHOSEN_DELAY)), attempt),
            (None, Some(delay)) => (*delay, attempt.saturating_add(1)),
            (None, None) => return Step::Dead,
        };
        let due_ms = now_ms.saturating_add_unsigned(delay_ms);
        if due_ms.saturating_sub(first_failed_ms) > millis(MAX_AGE).cast_signed() {
            return Step::Dead;
        }
        // A chosen delay waits in the next longer tier, or in the longest there is.
        let tier = self.tiers_ms.iter().position(|tier| *tier >= delay_ms);
        match tier.or(self.tiers_ms.len().checked_sub(1)) {
            Some(tier) => Step::Retry { tier, attempt, due_ms },
            None => Step::Dead,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_792_000_000_000;

    fn doubling() -> Policy {
        Policy::new(5, 1000, 2.0, 3_600_000).unwrap()
    }

    #[test]
    fn five_retries_double_their_delay_and_then_it_is_dead() {
        let policy = doubling();
        assert_eq!(policy.tiers_ms(), [1000, 2000, 4000, 8000, 16000]);
        assert_eq!(policy.max_attempts(), 6);
        for (attempt, delay) in [(1, 1000), (2, 2000), (3, 4000), (4, 8000), (5, 16000)] {
            let tier = attempt as usize - 1;
            let step = Step::Retry { tier, attempt: attempt + 1, due_ms: NOW + delay };
            assert_eq!(policy.next(attempt, None, NOW, NOW), step);
        }
        assert_eq!(policy.next(6, None, NOW, NOW), Step::Dead);
        assert_eq!(policy.next(u32::MAX, None, NOW, NOW), Step::Dead);
        assert_eq!(policy.next(0, None, NOW, NOW), Step::Dead);
    }

    #[test]
    fn a_capped_delay_shares_one_tier() {
        let policy = Policy::new(6, 1000, 2.0, 4000).unwrap();
        assert_eq!(policy.tiers_ms(), [1000, 2000, 4000]);
        let step = Step::Retry { tier: 2, attempt: 7, due_ms: NOW + 4000 };
        assert_eq!(policy.next(6, None, NOW, NOW), step);
    }

    #[test]
    fn a_chosen_delay_spends_no_attempt_and_rounds_its_tier_up() {
        let policy = doubling();
        let step = Step::Retry { tier: 2, attempt: 1, due_ms: NOW + 2500 };
        assert_eq!(policy.next(1, Some(2500), NOW, NOW), step);
        let longest = Step::Retry { tier: 4, attempt: 6, due_ms: NOW + 3_600_000 };
        assert_eq!(policy.next(6, Some(u64::MAX), NOW, NOW), longest);
    }

    #[test]
    fn age_ends_what_attempts_do_not() {
        let policy = doubling();
        let day = millis(MAX_AGE).cast_signed();
        assert!(matches!(policy.next(1, Some(1000), NOW, NOW - day + 1000), Step::Retry { .. }));
        assert_eq!(policy.next(1, Some(1000), NOW, NOW - day + 999), Step::Dead);
    }

    #[test]
    fn no_retries_means_dead_at_once() {
        let policy = Policy::new(0, 1000, 2.0, 1000).unwrap();
        assert_eq!(policy.next(1, None, NOW, NOW), Step::Dead);
        assert_eq!(policy.next(1, Some(10), NOW, NOW), Step::Dead);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (retries, delay, multiplier, max) in [
            (1001, 1, 1.0, 1),
            (5, 0, 2.0, 1000),
            (5, 1000, 0.5, 1000),
            (5, 1000, f64::NAN, 1000),
            (5, 1000, f64::INFINITY, 1000),
            (5, 1000, 2.0, 999),
            (5, 1000, 2.0, u64::MAX),
            (100, 1, 1.1, 86_400_000),
        ] {
            assert!(
                Policy::new(retries, delay, multiplier, max).is_err(),
                "{retries} {delay} {multiplier} {max}"
            );
        }
    }
}
