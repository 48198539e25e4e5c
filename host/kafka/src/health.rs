//! How a group's member fares, for health checks.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use base::clock;

/// A round takes this long at most: a rebalance may drain before it returns.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// How a member fares.
#[derive(Debug, Default)]
pub struct Health {
    joined: AtomicBool,
    failed: AtomicBool,
    polled_ms: AtomicI64,
}

impl Health {
    /// Whether it has been given its partitions (possibly none) at least once.
    pub fn is_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Whether its thread does its rounds; without it nothing is committed any more.
    pub fn is_alive(&self) -> bool {
        let silent = clock::now_ms().saturating_sub(self.polled_ms.load(Ordering::Relaxed));
        !self.failed.load(Ordering::Relaxed) && silent < LONGEST_ROUND.as_millis() as i64
    }

    /// It has been given its partitions.
    pub(super) fn join(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// Nothing but a restart helps.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn beat(&self) {
        self.polled_ms.store(clock::now_ms(), Ordering::Relaxed);
    }
}
