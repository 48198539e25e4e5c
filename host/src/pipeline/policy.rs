//! What follows a failed delivery: which retry topic, when, or the dead-letter topic.

use std::time::Duration;

/// The longest delay a plugin may choose for one message.
pub const MAX_CHOSEN_DELAY: Duration = Duration::from_secs(3600);
/// How long after its first failure a message may be tried again at most.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Attempts are written as 1 to 32767; far fewer retries than that make sense.
const MAX_RETRIES: u32 = 1000;
/// Each tier is a topic.
const MAX_TIERS: usize = 32;

/// The numbers of a retry policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Deliveries after the first one.
    pub retries: u32,
    /// Before the first retry.
    pub delay_ms: u64,
    /// What each further delay is multiplied by; 1 or more.
    pub multiplier: f64,
    /// No delay is longer.
    pub max_delay_ms: u64,
    /// The share of a delay, 0 to 1, by which it may be longer at random.
    pub jitter: f64,
    /// How long after its first failure a message may still be tried again.
    pub max_age_ms: u64,
}

/// A failed delivery, for the policy.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// Its number, from 1.
    pub attempt: u32,
    /// The delay the plugin asked for, which spends no attempt.
    pub after_ms: Option<u64>,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// When the message failed first.
    pub first_failed_ms: i64,
    /// Chance: 0 to 1.
    pub random: f64,
}

/// A retry policy: the delays before each retry, and the tiers (distinct delays, one topic each).
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    retry: Retry,
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
    /// # Errors
    /// A sentence that says which value is out of its range.
    pub fn new(retry: Retry) -> Result<Self, String> {
        let Retry { retries, delay_ms, multiplier, max_delay_ms, jitter, max_age_ms } = retry;
        let longest = millis(MAX_AGE);
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
        if !(0.0..=1.0).contains(&jitter) {
            return Err(format!("jitter is {jitter}; it is a share of the delay, 0 to 1"));
        }
        if !(1..=longest).contains(&max_age_ms) {
            return Err(format!("the largest age is {max_age_ms} ms; it must be 1 to {longest} (24 h)"));
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
        Ok(Self { retry, delays_ms, tiers_ms })
    }

    /// Its numbers.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// The distinct delays in milliseconds, rising: one retry topic each.
    pub fn tiers_ms(&self) -> &[u64] {
        &self.tiers_ms
    }

    /// The number of the last delivery.
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.delays_ms.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// What follows a failed delivery.
    pub fn next(&self, failed: &Failed) -> Step {
        let planned = failed.attempt.checked_sub(1).and_then(|index| self.delays_ms.get(index as usize));
        let (delay_ms, attempt) = match (failed.after_ms, planned) {
            (Some(after), _) => (after.min(millis(MAX_CHOSEN_DELAY)), failed.attempt),
            (None, Some(delay)) => (*delay, failed.attempt.saturating_add(1)),
            (None, None) => return Step::Dead,
        };
        // What the plugin chose is kept to.
        let share = if failed.after_ms.is_some() { 0.0 } else { self.retry.jitter * failed.random };
        let late_ms = (delay_ms as f64 * share) as u64;
        let due_ms = failed.now_ms.saturating_add_unsigned(delay_ms.saturating_add(late_ms));
        if due_ms.saturating_sub(failed.first_failed_ms) > self.retry.max_age_ms.cast_signed() {
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

    const DAY: u64 = 86_400_000;

    fn policy(retries: u32, delay_ms: u64, multiplier: f64, max_delay_ms: u64) -> Result<Policy, String> {
        Policy::new(Retry { retries, delay_ms, multiplier, max_delay_ms, jitter: 0.0, max_age_ms: DAY })
    }

    fn doubling() -> Policy {
        policy(5, 1000, 2.0, 3_600_000).unwrap()
    }

    fn failed(attempt: u32, after_ms: Option<u64>, first_failed_ms: i64) -> Failed {
        Failed { attempt, after_ms, now_ms: NOW, first_failed_ms, random: 0.5 }
    }

    #[test]
    fn five_retries_double_their_delay_and_then_it_is_dead() {
        let policy = doubling();
        assert_eq!(policy.tiers_ms(), [1000, 2000, 4000, 8000, 16000]);
        assert_eq!(policy.max_attempts(), 6);
        for (attempt, delay) in [(1, 1000), (2, 2000), (3, 4000), (4, 8000), (5, 16000)] {
            let tier = attempt as usize - 1;
            let step = Step::Retry { tier, attempt: attempt + 1, due_ms: NOW + delay };
            assert_eq!(policy.next(&failed(attempt, None, NOW)), step);
        }
        assert_eq!(policy.next(&failed(6, None, NOW)), Step::Dead);
        assert_eq!(policy.next(&failed(u32::MAX, None, NOW)), Step::Dead);
        assert_eq!(policy.next(&failed(0, None, NOW)), Step::Dead);
    }

    #[test]
    fn a_capped_delay_shares_one_tier() {
        let policy = policy(6, 1000, 2.0, 4000).unwrap();
        assert_eq!(policy.tiers_ms(), [1000, 2000, 4000]);
        let step = Step::Retry { tier: 2, attempt: 7, due_ms: NOW + 4000 };
        assert_eq!(policy.next(&failed(6, None, NOW)), step);
    }

    #[test]
    fn a_chosen_delay_spends_no_attempt_and_rounds_its_tier_up() {
        let policy = doubling();
        let step = Step::Retry { tier: 2, attempt: 1, due_ms: NOW + 2500 };
        assert_eq!(policy.next(&failed(1, Some(2500), NOW)), step);
        let longest = Step::Retry { tier: 4, attempt: 6, due_ms: NOW + 3_600_000 };
        assert_eq!(policy.next(&failed(6, Some(u64::MAX), NOW)), longest);
    }

    #[test]
    fn age_ends_what_attempts_do_not() {
        let policy = doubling();
        let day = millis(MAX_AGE).cast_signed();
        assert!(matches!(policy.next(&failed(1, Some(1000), NOW - day + 1000)), Step::Retry { .. }));
        assert_eq!(policy.next(&failed(1, Some(1000), NOW - day + 999)), Step::Dead);
    }

    #[test]
    fn no_retries_means_dead_at_once() {
        let policy = policy(0, 1000, 2.0, 1000).unwrap();
        assert_eq!(policy.next(&failed(1, None, NOW)), Step::Dead);
        assert_eq!(policy.next(&failed(1, Some(10), NOW)), Step::Dead);
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
            assert!(policy(retries, delay, multiplier, max).is_err(), "{retries} {delay} {multiplier} {max}");
        }
    }

    #[test]
    fn jitter_makes_a_delay_longer_and_leaves_its_tier() {
        let jitter = |random| {
            let policy = Policy::new(Retry { jitter: 0.2, ..*doubling().retry() }).unwrap();
            let step = policy.next(&Failed { random, ..failed(1, None, NOW) });
            let chosen = policy.next(&Failed { random, ..failed(1, Some(1000), NOW) });
            assert_eq!(chosen, Step::Retry { tier: 0, attempt: 1, due_ms: NOW + 1000 });
            step
        };
        assert_eq!(jitter(0.0), Step::Retry { tier: 0, attempt: 2, due_ms: NOW + 1000 });
        assert_eq!(jitter(1.0), Step::Retry { tier: 0, attempt: 2, due_ms: NOW + 1200 });
    }

    #[test]
    fn a_shorter_age_is_kept_to() {
        let policy = Policy::new(Retry { max_age_ms: 5000, ..*doubling().retry() }).unwrap();
        assert!(matches!(policy.next(&failed(3, None, NOW - 1000)), Step::Retry { .. }));
        assert_eq!(policy.next(&failed(3, None, NOW - 1001)), Step::Dead);
        for (jitter, max_age_ms) in [(-0.1, DAY), (1.1, DAY), (f64::NAN, DAY), (0.0, 0), (0.0, DAY + 1)] {
            let retry = Retry { jitter, max_age_ms, ..*doubling().retry() };
            assert!(Policy::new(retry).is_err(), "{jitter} {max_age_ms}");
        }
    }
}
