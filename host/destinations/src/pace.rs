//! A maximum rate, as a token bucket.

use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A maximum number of uses per minute. All of them may come in one burst; after that they are spread evenly.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the bucket is full again (the "theoretical arrival time" of the generic cell rate algorithm).
    full_at: Mutex<Option<Instant>>,
    /// Waiting uses queue here, in their order.
    turnstile: tokio::sync::Mutex<()>,
}

impl Pace {
    /// At most this many uses per minute.
    pub fn per_minute(count: NonZeroU32) -> Self {
        let minute = Duration::from_secs(60);
        Self { interval: minute / count.get(), burst: minute, full_at: Mutex::default(), turnstile: Default::default() }
    }

    /// Takes one use.
    ///
    /// # Errors
    /// There is none now; there will be one at this time.
    pub fn take(&self) -> Result<(), Instant> {
        let now = Instant::now();
        let mut full_at = self.full_at.lock();
        let next = full_at.map_or(now, |at| at.max(now)) + self.interval;
        if next > now + self.burst {
            return Err(next - self.burst);
        }
        *full_at = Some(next);
        Ok(())
    }

    /// Waits until it can take one use, in the order of the calls.
    pub async fn wait(&self) {
        let _turn = self.turnstile.lock().await;
        while let Err(at) = self.take() {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Gives a use back that did not take place.
    pub fn give_back(&self) {
        let mut full_at = self.full_at.lock();
        *full_at = full_at.and_then(|at| at.checked_sub(self.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(count: u32) -> Pace {
        Pace::per_minute(NonZeroU32::new(count).expect("not 0"))
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_uses_are_spread_evenly_and_never_early() {
        let pace = pace(60);
        let start = Instant::now();
        for _ in 0..60 {
            pace.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for n in 1..=5 {
            pace.wait().await;
            let waited = start.elapsed();
            let due = Duration::from_secs(n);
            assert!(waited >= due && waited < due + Duration::from_millis(10), "{n}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_use_that_is_given_back_is_there_for_the_next() {
        let pace = pace(1);
        assert_eq!(pace.take(), Ok(()));
        let next = pace.take().expect_err("one per minute");
        assert_eq!(next - Instant::now(), Duration::from_secs(60));
        pace.give_back();
        assert_eq!(pace.take(), Ok(()));
    }
}
