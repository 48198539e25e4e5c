//! Whether a partition is read, and if not, why.

use std::time::{Duration, Instant};

use base::text;

use super::Partition;
use super::state::State;
use crate::fetch_watch::Expected;

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
    /// Nothing is read, because Kafka does not answer.
    Blocked(Block),
    /// It is being handed over: what is in progress ends, and nothing is read.
    Draining,
}

/// What Kafka does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Where reading begins.
    Commit,
    /// That it has stored a failed message.
    Publish,
    /// The messages.
    Fetch,
}

/// A limit for the messages of a partition that were read and are not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Too many messages wait before others that are finished.
    Unfinished,
    /// The messages have too many bytes.
    Memory,
    /// The order by key: a commit has no room for the retries of more messages.
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
            Self::Blocked(_) => "blocked",
            Self::Draining => "draining",
        }
    }

    /// The reason, if nothing is read and it is not being handed over.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Reading | Self::Draining => None,
            Self::Resting(limit) => Some(limit.reason()),
            Self::Blocked(Block::Commit) => Some("Kafka does not answer where its reading begins"),
            Self::Blocked(Block::Publish) => Some("a failed message cannot be published"),
            Self::Blocked(Block::Fetch) => Some("Kafka does not deliver its messages"),
        }
    }
}

impl Limit {
    fn reason(self) -> &'static str {
        match self {
            Self::Unfinished => "too many messages wait in front of others that are finished",
            Self::Memory => "the messages that wait take all the memory they may have",
            Self::Keys => "a commit has no room for more waiting messages of an order by key",
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

    /// Its condition, and since when it has it, if nothing is read.
    fn condition(&self) -> (Condition, Option<Instant>) {
        if let Some(since) = self.unopened_since {
            return (Condition::Blocked(Block::Commit), Some(since));
        }
        if self.closed {
            return (Condition::Draining, None);
        }
        if let Some((_, since)) = self.unchecked.filter(|(_, since)| since.elapsed() >= RESTING) {
            return (Condition::Blocked(Block::Commit), Some(since));
        }
        if let Some(since) = self.blocked_since {
            return (Condition::Blocked(Block::Publish), Some(since));
        }
        if let Some(since) = self.unfetched_since.filter(|since| since.elapsed() >= RESTING) {
            return (Condition::Blocked(Block::Fetch), Some(since));
        }
        match self.limited.filter(|(_, since)| since.elapsed() >= RESTING) {
            Some((limit, since)) => (Condition::Resting(limit), Some(since)),
            None => (Condition::Reading, None),
        }
    }
}

impl Partition {
    /// Its condition, and for how long nothing has been read.
    pub fn condition(&self) -> (Condition, Duration) {
        let (condition, since) = self.state.lock().condition();
        (condition, since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// What the client should fetch of it, unless something that it has fetched was not read.
    pub fn expected(&self) -> Option<Expected<'_>> {
        let state = self.state.lock();
        let is_expected =
            self.is_readable(&state) && !state.fetching.is_paused() && self.source.fetched() == 0;
        let (topic, partition, next) = (&*self.topic, self.index, state.expected());
        is_expected.then_some(Expected { topic, partition, progress: next, next: Some(next) })
    }

    /// Since when the client has fetched nothing, although something may be there.
    pub fn set_unfetched(&self, since: Option<Instant>) {
        self.state.lock().unfetched_since = since;
    }

    /// Logs when it ceases to be read, unless that is usual or logged elsewhere, and when it is read again.
    pub fn report_condition(&self) {
        let mut state = self.state.lock();
        let (condition, _) = state.condition();
        let is_reported = match condition {
            Condition::Resting(limit) => limit != Limit::Predecessor,
            Condition::Blocked(block) => block == Block::Fetch,
            Condition::Reading | Condition::Draining => false,
        };
        let reason = condition.reason().filter(|_| is_reported);
        if std::mem::replace(&mut state.reported, reason) == reason {
            return;
        }
        let unfinished = text::counted(state.tracker.unfinished() as u64, "message");
        let (topic, partition, group) = (&*self.topic, self.index, &*self.context.group);
        match (reason, condition) {
            (Some(reason), Condition::Blocked(_)) => {
                tracing::warn!(group, topic, partition, "nothing of the partition is read: {reason}");
            }
            (Some(reason), _) => tracing::warn!(
                group,
                topic,
                partition,
                "the partition rests, {unfinished} read and unfinished: {reason}"
            ),
            (None, _) => tracing::info!(group, topic, partition, "the partition is read again"),
        }
    }
}
