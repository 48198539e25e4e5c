//! The health of a group member.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use base::clock;

/// The maximum time between two polls of a live member: a rebalance may drain during a poll.
const MAX_POLL_GAP: Duration = Duration::from_secs(60);

/// The health of a group member.
#[derive(Debug, Default)]
pub struct Health {
    joined: AtomicBool,
    failed: AtomicBool,
    polled_ms: AtomicI64,
    lost: OnceLock<String>,
}

impl Health {
    /// Whether the member has received an assignment, which may be empty.
    pub fn is_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Whether the member's thread polls, without which nothing is committed.
    pub fn is_alive(&self) -> bool {
        let silent = clock::now_ms().saturating_sub(self.polled_ms.load(Ordering::Relaxed));
        !self.failed.load(Ordering::Relaxed) && silent < MAX_POLL_GAP.as_millis() as i64
    }

    /// The reason why the member is out of its group for good.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// The member has received an assignment.
    pub(super) fn join(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// The member has failed and needs a restart of the host.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The member is out of its group for good, and the host must end.
    pub(super) fn lose(&self, reason: String) {
        self.fail();
        let _ = self.lost.set(reason);
    }

    /// The member has polled.
    pub(super) fn beat(&self) {
        self.polled_ms.store(clock::now_ms(), Ordering::Relaxed);
    }
}
