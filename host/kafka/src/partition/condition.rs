//! Whether a partition is read, and if not, why.

use std::time::{Duration, Instant};

use base::text;

use super::Partition;
use super::state::State;

/// The time for which nothing is read before a partition counts as resting. Under load, limits apply all the time, each
/// for a moment.
const RESTING: Duration = Duration::from_secs(5);

/// Whether a partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is read, or nothing is left to read.
    Reading,
    /// Nothing is read, because of the messages that were read before.
    Resting(Limit),
    /// Nothing is read or handled, because a failed message cannot be published.
    Blocked,
    /// It is being handed over: what is in progress ends, and nothing is read.
    Draining,
}

/// A limit for the messages of a partition that were read and are not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Too many messages wait before others that are finished.
    Unfinished,
    /// The messages have too many bytes.
    Memory,
    /// The order by key: a commit has no room for the retries and held keys of more messages.
    Keys,
    /// The order by partition: the message before is in progress or waits for its retry.
    Predecessor,
}

impl Condition {
    /// All words, for metrics.
    pub const WORDS: [&'static str; 4] = ["reading", "resting", "blocked", "draining"];

    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Resting(_) => "resting",
            Self::Blocked => "blocked",
            Self::Draining => "draining",
        }
    }

    /// The reason, if nothing is read and it is not being handed over.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Reading | Self::Draining => None,
            Self::Resting(limit) => Some(limit.reason()),
            Self::Blocked => Some("a failed message cannot be published"),
        }
    }
}

impl Limit {
    fn reason(self) -> &'static str {
        match self {
            Self::Unfinished => "too many messages wait in front of others that are finished",
            Self::Memory => "the messages that wait take all the memory they may have",
            Self::Keys => "a commit has no room for more waiting messages and held keys of an order by key",
            Self::Predecessor => "the message before is in progress or waits for its retry",
        }
    }
}

impl State {
    /// Notes whether messages could be read just now.
    pub fn note_limit(&mut self) {
        self.limited = match (self.limit(), self.limited) {
            (None, _) => None,
            (Some(limit), Some((_, since))) => Some((limit, since)),
            (Some(limit), None) => Some((limit, Instant::now())),
        };
    }

    fn condition(&self) -> Condition {
        if self.closed {
            return Condition::Draining;
        }
        if self.failing_publishes > 0 {
            return Condition::Blocked;
        }
        match self.limited.filter(|(_, since)| since.elapsed() >= RESTING) {
            Some((limit, _)) => Condition::Resting(limit),
            None => Condition::Reading,
        }
    }
}

impl Partition {
    /// Its condition and for how long it has had it; the time is unknown while it is read.
    pub fn condition(&self) -> (Condition, Duration) {
        let state = self.state.lock();
        let since = match state.condition() {
            Condition::Resting(_) => state.limited.map(|(_, since)| since),
            Condition::Blocked => state.blocked_since,
            Condition::Reading | Condition::Draining => None,
        };
        (state.condition(), since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Logs the beginning of a rest, unless it is usual, and its end.
    pub fn report_condition(&self) {
        let mut state = self.state.lock();
        let condition = state.condition();
        let is_resting = matches!(condition, Condition::Resting(limit) if limit != Limit::Predecessor);
        if std::mem::replace(&mut state.was_resting, is_resting) == is_resting {
            return;
        }
        let unfinished = text::counted(state.tracker.unfinished() as u64, "message");
        let (topic, partition, group) = (&*self.topic, self.index, &*self.context.group);
        if let Some(reason) = condition.reason() {
            tracing::warn!(
                group,
                topic,
                partition,
                "the partition rests, {unfinished} read and unfinished: {reason}"
            );
        } else {
            tracing::info!(group, topic, partition, "the partition is read again");
        }
    }
}
