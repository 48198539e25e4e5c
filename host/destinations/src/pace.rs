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
        Self {
            interval: minute / count.get(),
            burst: minute,
            full_at: Mutex::default(),
            turnstile: Default::default(),
        }
    }

    /// Takes one use.
    ///
    /// # Errors
    /// There is none now; there will be one at this time.
    pub fn take(&self) -> Result<(), Instant> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Result<(), Instant> {
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

    #[test]
    fn after_a_burst_uses_are_spread_evenly() {
        let (pace, start) = (pace(60), Instant::now());
        for _ in 0..60 {
            assert_eq!(pace.take_at(start), Ok(()));
        }
        for second in 1..=5 {
            let due = start + Duration::from_secs(second);
            assert_eq!(pace.take_at(due - Duration::from_millis(1)), Err(due), "early");
            assert_eq!(pace.take_at(due), Ok(()));
        }
        let later = start + Duration::from_secs(600);
        assert!((0..60).all(|_| pace.take_at(later).is_ok()) && pace.take_at(later).is_err());
    }

    #[test]
    fn a_use_that_is_given_back_is_there_for_the_next() {
        let (pace, now) = (pace(1), Instant::now());
        assert_eq!(pace.take_at(now), Ok(()));
        assert_eq!(pace.take_at(now), Err(now + Duration::from_secs(60)));
        pace.give_back();
        assert_eq!(pace.take_at(now), Ok(()));
    }

    #[tokio::test]
    async fn waiting_uses_are_never_early() {
        let pace = pace(1200);
        let start = Instant::now();
        for _ in 0..1200 {
            pace.wait().await;
        }
        for n in 1..=3 {
            pace.wait().await;
            assert!(start.elapsed() >= Duration::from_millis(50 * n));
        }
    }
}
