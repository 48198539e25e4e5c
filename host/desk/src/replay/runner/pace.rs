//! The rate of a replay, and the size of its batches.

use std::time::Duration;

use desk_api::ReplayPlan;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio_util::sync::CancellationToken;

use crate::replay::items::WaitingItem;

/// Maximum number of dead letters that are sent concurrently and recorded together.
const MAX_BATCH: usize = 1000;
/// Maximum size of their keys and values, in bytes. A single larger dead letter is sent alone.
const MAX_BATCH_BYTES: i64 = 16 << 20;
/// Maximum time over which a batch is spread by the rate.
const MAX_SPREAD: Duration = Duration::from_millis(500);
/// The burst that the rate allows, as time: timers are no finer than a millisecond.
const BURST: Duration = Duration::from_millis(20);

/// The rate limit of a replay, if it has one.
pub(super) struct Pace {
    limiter: Option<DefaultDirectRateLimiter>,
    batch_size: usize,
}

impl Pace {
    pub fn new(plan: &ReplayPlan) -> Self {
        let spread = |rate: f64| ((rate * MAX_SPREAD.as_secs_f64()) as usize).clamp(1, MAX_BATCH);
        Self { limiter: plan.rate.and_then(limiter), batch_size: plan.rate.map_or(MAX_BATCH, spread) }
    }

    /// Maximum number of dead letters per batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Waits until the rate allows the next dead letter. Returns false if the replay is halted.
    pub async fn wait(&self, halt: &CancellationToken) -> bool {
        let clock = DefaultClock::default();
        while let Some(Err(until)) = self.limiter.as_ref().map(RateLimiter::check) {
            tokio::select! {
                () = tokio::time::sleep(until.wait_time_from(clock.now())) => {}
                () = halt.cancelled() => {}
            }
            if halt.is_cancelled() {
                break;
            }
        }
        !halt.is_cancelled()
    }
}

/// Limits to `rate` per second, evenly spaced.
fn limiter(rate: f64) -> Option<DefaultDirectRateLimiter> {
    let burst = (rate * BURST.as_secs_f64()).max(1.0) as u32;
    let quota = Quota::with_period(Duration::try_from_secs_f64(1.0 / rate).ok()?)?;
    Some(RateLimiter::direct(quota.allow_burst(burst.try_into().ok()?)))
}

/// The first dead letters that together do not exceed [`MAX_BATCH_BYTES`]; at least one.
pub(super) fn bounded(mut waiting: Vec<WaitingItem>) -> Vec<WaitingItem> {
    let mut bytes = 0_i64;
    let fitting = waiting.iter().take_while(|item| {
        bytes = bytes.saturating_add(item.size);
        bytes <= MAX_BATCH_BYTES
    });
    let count = fitting.count().max(1);
    waiting.truncate(count);
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_by_rate_and_size() {
        let batch_size = |rate| Pace::new(&ReplayPlan { rate, ..ReplayPlan::default() }).batch_size();
        assert_eq!(batch_size(None), MAX_BATCH);
        assert_eq!(batch_size(Some(0.1)), 1);
        assert_eq!(batch_size(Some(100.0)), 50);
        assert_eq!(batch_size(Some(1e6)), MAX_BATCH);
        let item = |size| WaitingItem { position: 1, dead_letter: String::new(), size };
        assert_eq!(bounded(vec![item(MAX_BATCH_BYTES + 1), item(1)]).len(), 1);
        assert_eq!(bounded(vec![item(MAX_BATCH_BYTES), item(0), item(1)]).len(), 2);
    }

    #[test]
    fn the_rate_limit_holds_from_the_first_dead_letter() {
        for rate in [0.5, 50.0, 1000.0, 1e6] {
            let limiter = limiter(rate).expect("a rate");
            let burst = (0..).take_while(|_| limiter.check().is_ok()).count();
            // A very fast one refills while it is counted.
            let max = (rate * BURST.as_secs_f64()).max(1.0) * 2.0;
            assert!(burst >= 1 && burst as f64 <= max, "{rate}: {burst}");
        }
        assert!(limiter(1e-9).is_none_or(|limiter| limiter.check().is_ok()));
    }
}
