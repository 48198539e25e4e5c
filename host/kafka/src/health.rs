//! The health of a group member, and the state of its partitions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::partition::Condition;

/// The maximum time between two polls of a live member.
const MAX_POLL_GAP: Duration = Duration::from_secs(60);

/// The start of the process, more or less. The system's clock may be set.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The health of a group member.
#[derive(Debug, Default)]
pub struct Health {
    joined: AtomicBool,
    member_id: Mutex<Option<String>>,
    failed: AtomicBool,
    /// The milliseconds after the start at which it counts as dead unless it polls.
    alive_until: AtomicU64,
    partitions: Mutex<Vec<PartitionStatus>>,
    lost: OnceLock<String>,
}

/// The state of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The group of the source topic.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Whether it is read.
    pub condition: Condition,
    /// For how long it has not been read.
    pub lasts: Duration,
    /// Offsets from the first unfinished message to the end.
    pub lag: i64,
    /// Deliveries in progress.
    pub in_flight: usize,
    /// Keys whose messages are held after a dead letter.
    pub held_keys: usize,
}

impl Health {
    /// Whether the member has received an assignment, which may be empty.
    pub fn is_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Whether the member's thread polls, without which nothing is committed.
    pub fn is_alive(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
            && millis(Instant::now()) < self.alive_until.load(Ordering::Relaxed)
    }

    /// The state of the assigned partitions, at most a second ago.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.partitions.lock().clone()
    }

    /// The reason why the member is out of its group for good.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// The id by which Kafka knows the member in its group; None before its first assignment.
    pub fn member_id(&self) -> Option<String> {
        self.member_id.lock().clone()
    }

    /// The member has received an assignment, under this id.
    pub(super) fn join(&self, member_id: Option<String>) {
        *self.member_id.lock() = member_id;
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
        self.alive_at(Instant::now());
    }

    /// The member drains partitions, and will not poll before that is done.
    pub(super) fn drain(&self, until: Instant) {
        self.alive_at(until);
    }

    fn alive_at(&self, at: Instant) {
        self.alive_until.store(millis(at + MAX_POLL_GAP), Ordering::Relaxed);
    }

    /// Sets the state of the assigned partitions.
    pub fn set_partitions(&self, partitions: Vec<PartitionStatus>) {
        *self.partitions.lock() = partitions;
    }
}

fn millis(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*START).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_alive_while_it_polls_or_drains() {
        let health = Health::default();
        health.beat();
        assert!(health.is_alive());
        health.alive_until.store(0, Ordering::Relaxed);
        assert!(!health.is_alive());
        health.drain(Instant::now() + Duration::from_secs(600));
        assert!(health.is_alive());
        assert!(health.alive_until.load(Ordering::Relaxed) >= 600_000);
        health.fail();
        assert!(!health.is_alive());
    }
}
