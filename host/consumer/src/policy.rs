//! What follows a failed delivery: which retry topic, when, or the dead-letter topic.

use std::iter;
use std::time::Duration;

use settings::RuleSettings;

use crate::rules::{Rules, Ruling};

/// The longest delay a plugin may choose for one message.
pub const MAX_CHOSEN_DELAY: Duration = Duration::from_secs(3600);
/// The shortest one: it spends no attempt, so only the largest age would end a loop without a pause.
const MIN_CHOSEN_DELAY: Duration = Duration::from_millis(100);
/// How long after its first failure a message may be tried again at most.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Attempts are written as 1 to 32767; far fewer retries than that make sense.
pub const MAX_RETRIES: u32 = 1000;
/// How many further calls in place are possible.
pub const MAX_BLOCKING_TRIES: u32 = 10;
/// How long a message may be called again in place: no call begins later than this after the first
/// one began. It is a part of how long a partition takes to drain.
pub const BLOCKING_BOUND: Duration = Duration::from_secs(3);
/// The longest pause between two calls in place.
const MAX_BLOCKING_DELAY: Duration = Duration::from_secs(1);
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
    /// Further calls in place, before a delivery counts as failed.
    pub blocking_tries: u32,
    /// Before each of them.
    pub blocking_delay_ms: u64,
}

/// A failed delivery, for the policy.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// Its number, from 1.
    pub attempt: u32,
    /// How many retries its failure has; see [`Policy::ruling`].
    pub retries: u32,
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
    rules: Rules,
    tries_in_place: bool,
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
    /// A sentence that says which value is out of its range, or which rule is not possible.
    pub fn new(retry: Retry, rules: Vec<RuleSettings>) -> Result<Self, String> {
        check(&retry)?;
        let rules = Rules::new(rules, &retry)?;
        let delays_ms = delays(&retry, rules.most_retries(&retry));
        let mut tiers_ms = delays_ms.clone();
        tiers_ms.dedup();
        if tiers_ms.len() > MAX_TIERS {
            return Err(format!(
                "{} different delays, the rules' retries included; at most {MAX_TIERS} are possible",
                tiers_ms.len()
            ));
        }
        let tries_in_place = rules.try_in_place(&retry);
        Ok(Self { retry, rules, tries_in_place, delays_ms, tiers_ms })
    }

    /// Its numbers.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Its rules, in the order in which they are asked.
    pub fn rules(&self) -> &[RuleSettings] {
        self.rules.settings()
    }

    /// The distinct delays in milliseconds, rising: one retry topic each.
    pub fn tiers_ms(&self) -> &[u64] {
        &self.tiers_ms
    }

    /// The number of the last delivery, where no rule says otherwise.
    pub fn max_attempts(&self) -> u32 {
        self.retry.retries.saturating_add(1)
    }

    /// What holds for a failure, where `rejected` says that the plugin gave the message up.
    pub fn ruling(&self, code: &str, rejected: bool) -> Ruling {
        self.rules.ruling(code, rejected, &self.retry)
    }

    /// Whether there is a failure that is tried again in place.
    pub fn tries_in_place(&self) -> bool {
        self.tries_in_place
    }

    /// The pause before a call in place.
    pub fn blocking_delay(&self) -> Duration {
        Duration::from_millis(self.retry.blocking_delay_ms)
    }

    /// What follows a failed delivery. Without retries there is nowhere to wait, also for what the
    /// plugin chose.
    pub fn next(&self, failed: &Failed) -> Step {
        let planned = failed.attempt.checked_sub(1).filter(|spent| *spent < failed.retries);
        let planned = planned.and_then(|spent| self.delays_ms.get(spent as usize));
        let (delay_ms, attempt) = match (failed.after_ms, planned) {
            (Some(chosen), _) if failed.retries > 0 => {
                (chosen.clamp(millis(MIN_CHOSEN_DELAY), millis(MAX_CHOSEN_DELAY)), failed.attempt)
            }
            (None, Some(delay)) => (*delay, failed.attempt.saturating_add(1)),
            _ => return Step::Dead,
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

fn check(retry: &Retry) -> Result<(), String> {
    let &Retry { retries, delay_ms, multiplier, max_delay_ms, jitter, max_age_ms, .. } = retry;
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
    check_blocking(retry)
}

fn check_blocking(retry: &Retry) -> Result<(), String> {
    let &Retry { blocking_tries, blocking_delay_ms, .. } = retry;
    if blocking_tries > MAX_BLOCKING_TRIES {
        return Err(format!("blocking-tries is {blocking_tries}; at most {MAX_BLOCKING_TRIES} are possible"));
    }
    let longest = millis(MAX_BLOCKING_DELAY);
    if blocking_delay_ms > longest {
        return Err(format!("blocking-delay is {blocking_delay_ms} ms; at most {longest} ms are possible"));
    }
    Ok(())
}

/// The delays before each retry, as spring-retry's `ExponentialBackOffPolicy` counts them, since they
/// are a part of the topics' names: each is the one before times the multiplier, its fraction cut off.
fn delays(retry: &Retry, count: u32) -> Vec<u64> {
    let next = |delay: &u64| Some(((*delay as f64 * retry.multiplier) as u64).min(retry.max_delay_ms));
    iter::successors(Some(retry.delay_ms), next).take(count as usize).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
