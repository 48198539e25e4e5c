//! The retry policy: the retry topic and due time after a failed delivery, or the dead-letter topic.

use std::iter;
use std::time::Duration;

use base::clock::millis_u64;
use settings::RuleSettings;

use crate::rules::{Rules, Ruling};

/// The maximum delay that a plugin may choose for a message.
pub const MAX_CHOSEN_DELAY: Duration = Duration::from_secs(3600);
/// The minimum of that delay for a message that has failed for the first time. It uses no attempt, so that only the
/// maximum age would end a loop without a pause. Later it is half the age, so that a provider that always requests
/// the same short delay is asked less and less often.
const MIN_CHOSEN_DELAY: Duration = Duration::from_millis(100);
/// The maximum of that minimum.
const MAX_FLOOR: Duration = Duration::from_secs(60);
/// The maximum time between a message's first failure and its last retry.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// The maximum number of retries. Headers can represent attempts up to 32767.
pub const MAX_RETRIES: u32 = 1000;
/// The maximum number of blocking tries.
pub const MAX_BLOCKING_TRIES: u32 = 10;
/// The maximum time for the blocking tries of a message, from the start of the first call to the start of the
/// last. It is part of the drain bound.
pub const BLOCKING_BOUND: Duration = Duration::from_secs(3);
/// The maximum pause before a blocking try.
const MAX_BLOCKING_DELAY: Duration = Duration::from_secs(1);
/// The maximum number of tiers, each of which is a topic.
const MAX_TIERS: usize = 32;

/// The values of a retry policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// The number of deliveries after the first one.
    pub retries: u32,
    /// The delay before the first retry, in milliseconds.
    pub delay_ms: u64,
    /// The factor of each further delay; 1 or more.
    pub multiplier: f64,
    /// The maximum delay, in milliseconds.
    pub max_delay_ms: u64,
    /// The maximum random extension of a delay, as a fraction of it from 0 to 1.
    pub jitter: f64,
    /// The maximum time between a message's first failure and a retry, in milliseconds.
    pub max_age_ms: u64,
    /// The number of blocking tries: further calls in place before a delivery counts as failed.
    pub blocking_tries: u32,
    /// The pause before a blocking try, in milliseconds.
    pub blocking_delay_ms: u64,
}

/// A failed delivery.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// Its number, from 1.
    pub attempt: u32,
    /// The number of retries for its failure; see [`Policy::ruling`].
    pub retries: u32,
    /// The delay that the plugin chose, in milliseconds. It uses no attempt.
    pub after_ms: Option<u64>,
    /// The current time in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// The time of the message's first failure in milliseconds since the Unix epoch.
    pub first_failed_ms: i64,
    /// A random number from 0 to 1, for the jitter.
    pub random: f64,
}

/// A retry policy: the delay before each retry, and the tiers, which are the distinct delays with one retry
/// topic each.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    retry: Retry,
    rules: Rules,
    has_blocking_tries: bool,
    delays_ms: Vec<u64>,
    tiers_ms: Vec<u64>,
}

/// The step after a failed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Publish to the retry topic of this tier.
    Retry {
        /// The tier, from 0.
        tier: usize,
        /// The number of the next delivery.
        attempt: u32,
        /// The due time in milliseconds since the Unix epoch.
        due_ms: i64,
    },
    /// Publish to the dead-letter topic.
    Dead,
}

impl Policy {
    /// A policy with rules, which are checked in order.
    ///
    /// # Errors
    /// A value is out of range, or a rule is invalid.
    pub fn new(retry: Retry, rules: Vec<RuleSettings>) -> Result<Self, String> {
        check(&retry)?;
        let rules = Rules::new(rules, &retry)?;
        let delays_ms = delays(&retry, rules.max_retries(&retry));
        let mut tiers_ms = delays_ms.clone();
        tiers_ms.dedup();
        if tiers_ms.len() > MAX_TIERS {
            return Err(format!(
                "{} different delays, including the retries of rules; the maximum is {MAX_TIERS}",
                tiers_ms.len()
            ));
        }
        let has_blocking_tries = rules.have_blocking_tries(&retry);
        Ok(Self { retry, rules, has_blocking_tries, delays_ms, tiers_ms })
    }

    /// The policy's values.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// The rules, in the order in which they are checked.
    pub fn rules(&self) -> &[RuleSettings] {
        self.rules.settings()
    }

    /// The distinct delays in milliseconds, ascending, with one retry topic each.
    pub fn tiers_ms(&self) -> &[u64] {
        &self.tiers_ms
    }

    /// The number of the last delivery, unless a rule for the failure code has its own number of retries.
    pub fn max_attempts(&self) -> u32 {
        self.retry.retries.saturating_add(1)
    }

    /// The action and the retries for a failure. `rejected` means that the plugin returned `reject`.
    pub fn ruling(&self, code: &str, rejected: bool) -> Ruling {
        self.rules.ruling(code, rejected, &self.retry)
    }

    /// Whether any failure has blocking tries.
    pub fn has_blocking_tries(&self) -> bool {
        self.has_blocking_tries
    }

    /// The pause before a blocking try.
    pub fn blocking_delay(&self) -> Duration {
        Duration::from_millis(self.retry.blocking_delay_ms)
    }

    /// The step after a failed delivery. Without retries there is no retry topic, also for a delay that the
    /// plugin chose.
    pub fn next(&self, failed: &Failed) -> Step {
        let planned = failed.attempt.checked_sub(1).filter(|spent| *spent < failed.retries);
        let planned = planned.and_then(|spent| self.delays_ms.get(spent as usize));
        let (delay_ms, attempt) = match (failed.after_ms, planned) {
            (Some(chosen), _) if failed.retries > 0 => {
                (chosen_delay_ms(chosen, failed, self.retry.max_age_ms), failed.attempt)
            }
            (None, Some(delay)) => (*delay, failed.attempt.saturating_add(1)),
            _ => return Step::Dead,
        };
        // A chosen delay has no jitter.
        let jitter = if failed.after_ms.is_some() { 0.0 } else { self.retry.jitter * failed.random };
        let late_ms = (delay_ms as f64 * jitter) as u64;
        let due_ms = failed.now_ms.saturating_add_unsigned(delay_ms.saturating_add(late_ms));
        if due_ms.saturating_sub(failed.first_failed_ms) > self.retry.max_age_ms.cast_signed() {
            return Step::Dead;
        }
        // A chosen delay uses the next longer tier, or the longest one.
        let tier = self.tiers_ms.iter().position(|tier| *tier >= delay_ms);
        match tier.or(self.tiers_ms.len().checked_sub(1)) {
            Some(tier) => Step::Retry { tier, attempt, due_ms },
            None => Step::Dead,
        }
    }
}

/// A chosen delay within its bounds, in milliseconds. The growing minimum never extends it beyond the maximum age.
fn chosen_delay_ms(chosen_ms: u64, failed: &Failed, max_age_ms: u64) -> u64 {
    let age_ms = failed.now_ms.saturating_sub(failed.first_failed_ms).max(0).unsigned_abs();
    let floor_ms = (age_ms / 2).min(millis_u64(MAX_FLOOR)).min(max_age_ms.saturating_sub(age_ms));
    chosen_ms.clamp(millis_u64(MIN_CHOSEN_DELAY), millis_u64(MAX_CHOSEN_DELAY)).max(floor_ms)
}

fn check(retry: &Retry) -> Result<(), String> {
    let &Retry { retries, delay_ms, multiplier, max_delay_ms, jitter, max_age_ms, .. } = retry;
    let max = millis_u64(MAX_AGE);
    if retries > MAX_RETRIES {
        return Err(format!("retries is {retries}; the maximum is {MAX_RETRIES}"));
    }
    if !(multiplier.is_finite() && multiplier >= 1.0) {
        return Err(format!("multiplier is {multiplier}; it must be 1 or more"));
    }
    if !(1..=max).contains(&delay_ms) || !(delay_ms..=max).contains(&max_delay_ms) {
        return Err(format!(
            "delay is {delay_ms} ms and max-delay {max_delay_ms} ms; \
             1 <= delay <= max-delay <= {max} (24 h) is required"
        ));
    }
    if !(0.0..=1.0).contains(&jitter) {
        return Err(format!("jitter is {jitter}; it must be a fraction of the delay from 0 to 1"));
    }
    if !(1..=max).contains(&max_age_ms) {
        return Err(format!("max-age is {max_age_ms} ms; it must be 1 to {max} (24 h)"));
    }
    check_blocking(retry)
}

fn check_blocking(retry: &Retry) -> Result<(), String> {
    let &Retry { blocking_tries, blocking_delay_ms, .. } = retry;
    if blocking_tries > MAX_BLOCKING_TRIES {
        return Err(format!("blocking-tries is {blocking_tries}; the maximum is {MAX_BLOCKING_TRIES}"));
    }
    let max = millis_u64(MAX_BLOCKING_DELAY);
    if blocking_delay_ms > max {
        return Err(format!("blocking-delay is {blocking_delay_ms} ms; the maximum is {max} ms"));
    }
    Ok(())
}

/// The delays before each retry. They are part of the topics' names and so computed as by spring-retry's
/// `ExponentialBackOffPolicy`: each is the previous delay times the multiplier, without its fraction.
fn delays(retry: &Retry, count: u32) -> Vec<u64> {
    let next = |delay: &u64| Some(((*delay as f64 * retry.multiplier) as u64).min(retry.max_delay_ms));
    iter::successors(Some(retry.delay_ms), next).take(count as usize).collect()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
