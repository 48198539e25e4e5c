//! The health of a group member, and the state of its partitions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use base::clock;
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
    group: OnceLock<String>,
    /// When it joined first, in milliseconds since the Unix epoch.
    joined_ms: OnceLock<i64>,
    answers: Mutex<Answers>,
}

/// Whether Kafka answers a member.
#[derive(Debug, Default)]
struct Answers {
    /// Since when it does, in milliseconds since the Unix epoch.
    since_ms: Option<i64>,
    outage: Option<Outage>,
}

/// Kafka does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Why, as far as the client knows.
    pub reason: String,
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
    /// The offset of the first unfinished message.
    pub next: i64,
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

    /// The member's group; None before it begins to join.
    pub fn group(&self) -> Option<&str> {
        self.group.get().map(String::as_str)
    }

    /// When it joined first, in milliseconds since the Unix epoch.
    pub fn joined_ms(&self) -> Option<i64> {
        self.joined_ms.get().copied()
    }

    /// The outage of Kafka, if there is one.
    pub fn outage(&self) -> Option<Outage> {
        self.answers.lock().outage.clone()
    }

    /// Since when Kafka answers, in milliseconds since the Unix epoch; None if it does not, or has not been asked.
    pub fn answers_since_ms(&self) -> Option<i64> {
        self.answers.lock().since_ms
    }

    /// Kafka has answered.
    pub fn answered(&self) {
        let mut answers = self.answers.lock();
        if answers.outage.take().is_some() || answers.since_ms.is_none() {
            answers.since_ms = Some(clock::now_ms());
        }
    }

    /// Kafka has not answered in time.
    pub fn unanswered(&self, reason: String) {
        let mut answers = self.answers.lock();
        answers.since_ms = None;
        let since_ms = answers.outage.as_ref().map_or_else(clock::now_ms, |outage| outage.since_ms);
        answers.outage = Some(Outage { since_ms, reason });
    }

    /// Sets the member's group, once.
    pub fn set_group(&self, group: &str) {
        let _ = self.group.set(group.to_owned());
    }

    /// The member has received an assignment, under this id.
    pub fn join(&self, member_id: Option<String>) {
        let _ = self.joined_ms.set(clock::now_ms());
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
    pub fn beat(&self) {
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

    #[test]
    fn an_outage_lasts_from_its_first_failure_to_the_next_answer() {
        let health = Health::default();
        assert_eq!((health.outage(), health.answers_since_ms()), (None, None), "nothing was asked");
        health.answered();
        assert!(health.answers_since_ms().is_some());
        health.unanswered("refused".to_owned());
        let began = health.outage().expect("an outage").since_ms;
        health.unanswered("timed out".to_owned());
        assert_eq!(health.outage(), Some(Outage { since_ms: began, reason: "timed out".to_owned() }));
        assert_eq!(health.answers_since_ms(), None);
        health.answered();
        assert!(health.outage().is_none() && health.answers_since_ms().is_some());
    }
}
