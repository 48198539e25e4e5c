//! Where the reading of a partition begins: at its commit, if that belongs to this log.

use kafka_raw::TopicId;
use settings::OffsetReset;

use crate::commit_metadata::CommitMetadata;
use crate::tracker::Position;
use crate::window::Window;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The offset with its leader epoch.
    pub position: Position,
    /// Its metadata. None if another program wrote it.
    pub metadata: Option<CommitMetadata>,
}

/// The log of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The topic. None if the cluster has no topic ids.
    pub topic: Option<TopicId>,
    /// The offset of its first record.
    pub first: i64,
    /// The offset after its last record.
    pub end: i64,
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The log that is read.
    pub topic: Option<TopicId>,
    /// The number of partitions that the topic had when the group read it first.
    pub initial_partitions: i32,
    /// The offset of the first message to read, with the leader epoch of its commit.
    pub position: Position,
    /// The state of the messages from there on, from before this assignment.
    pub window: Option<Window>,
    /// Why reading begins there.
    pub cause: Cause,
}

/// Why reading begins at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is committed.
    Committed,
    /// Nothing is committed, and the partition existed when the group began: the configuration decides.
    First,
    /// Nothing is committed, and the partition was added later (KIP-842).
    Added,
    /// The commit belongs to an earlier topic of the same name.
    Recreated,
    /// The log ends before the committed offset, or before messages that were finished.
    Truncated,
    /// This number of messages were removed from the log before they were handled.
    Expired(i64),
}

impl Resume {
    /// Decides where the reading of a partition of this log begins.
    pub fn at(commit: Option<Commit>, log: &Log, partition: i32, initial: i32, reset: OffsetReset) -> Self {
        let begin = |offset, cause| Self::new(log, initial, Position { offset, epoch: None }, cause);
        let Some(Commit { position, metadata }) = commit else {
            return match reset {
                _ if partition >= initial => begin(log.first, Cause::Added),
                OffsetReset::Earliest => begin(log.first, Cause::First),
                OffsetReset::Latest => begin(log.end, Cause::First),
            };
        };
        let metadata = metadata.unwrap_or_default();
        if is_other(metadata.topic, log.topic) {
            return begin(log.first, Cause::Recreated);
        }
        // With an epoch, the client finds the offset at which the log was cut.
        if position.offset > log.end && position.epoch.is_none() {
            return begin(log.first, Cause::Truncated);
        }
        let mut resume = Self::new(log, initial, position, Cause::Committed);
        let end = metadata.window.as_ref().map_or(position.offset, |window| window.end.max(position.offset));
        if end > log.end {
            resume.cause = Cause::Truncated;
        }
        // With an epoch, records that took the place of others are recognized when they are read.
        resume.window = metadata.window.filter(|window| end <= log.end || window.epoch.is_some());
        if position.offset < log.first {
            let expired = match &resume.window {
                Some(window) => window.unfinished_between(position.offset, log.first),
                None => log.first - position.offset,
            };
            resume.cause = if expired > 0 { Cause::Expired(expired) } else { Cause::Committed };
            resume.position = Position { offset: log.first, epoch: None };
        }
        resume
    }

    fn new(log: &Log, initial_partitions: i32, position: Position, cause: Cause) -> Self {
        Self { topic: log.topic, initial_partitions, position, window: None, cause }
    }

    /// The beginning of a log that takes the place of the one that was read.
    pub fn again(topic: Option<TopicId>, offset: i64, cause: Cause) -> Self {
        let log = Log { topic, first: offset, end: offset };
        Self::new(&log, 0, Position { offset, epoch: None }, cause)
    }
}

/// The number of partitions that a topic had when the group read it first, from the commits of all its partitions.
/// `partitions` is the present number.
pub fn initial_partitions<'a>(
    topic: Option<TopicId>,
    commits: impl IntoIterator<Item = (i32, &'a Commit)>,
    partitions: i32,
) -> i32 {
    let mut found = None;
    for (partition, commit) in commits {
        let count = match &commit.metadata {
            Some(metadata) if is_other(metadata.topic, topic) => 0,
            Some(metadata) if metadata.topic.is_some() => metadata.initial_partitions,
            // Another program committed it, which does not tell when it began: so far as there are commits.
            _ => partition + 1,
        };
        found = found.max(Some(count));
    }
    found.unwrap_or(partitions)
}

fn is_other(committed: Option<TopicId>, topic: Option<TopicId>) -> bool {
    matches!((committed, topic), (Some(committed), Some(topic)) if committed != topic)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const OURS: Option<TopicId> = Some(TopicId(1));
    const OTHER: Option<TopicId> = Some(TopicId(2));
    const LOG: Log = Log { topic: OURS, first: 100, end: 200 };

    fn window(start: i64, end: i64) -> Window {
        Window { start, end, unfinished: BTreeMap::from([(start, None)]), ..Window::default() }
    }

    fn commit(offset: i64, topic: Option<TopicId>, window: Option<Window>) -> Commit {
        let metadata = Some(CommitMetadata { topic, initial_partitions: 3, window });
        Commit { position: Position { offset, epoch: None }, metadata }
    }

    fn at(commit: Option<Commit>) -> (i64, Cause, bool) {
        let resume = Resume::at(commit, &LOG, 0, 3, OffsetReset::Latest);
        (resume.position.offset, resume.cause, resume.window.is_some())
    }

    #[test]
    fn reading_goes_on_at_the_commit() {
        assert_eq!(at(Some(commit(150, OURS, Some(window(150, 170))))), (150, Cause::Committed, true));
        assert_eq!(at(Some(commit(200, OURS, None))), (200, Cause::Committed, false));
        let foreign = Commit { position: Position { offset: 120, epoch: None }, metadata: None };
        assert_eq!(at(Some(foreign)), (120, Cause::Committed, false));
    }

    #[test]
    fn a_commit_of_an_earlier_topic_does_not_count() {
        assert_eq!(at(Some(commit(150, OTHER, Some(window(150, 170))))), (100, Cause::Recreated, false));
        // Clusters without topic ids, and commits from before they had any.
        assert_eq!(at(Some(commit(150, None, None))), (150, Cause::Committed, false));
        let log = Log { topic: None, ..LOG };
        let resume = Resume::at(Some(commit(150, OTHER, None)), &log, 0, 3, OffsetReset::Latest);
        assert_eq!(resume.position.offset, 150);
    }

    #[test]
    fn what_is_beyond_the_end_of_the_log_is_not_finished() {
        assert_eq!(at(Some(commit(150, OURS, Some(window(150, 201))))), (150, Cause::Truncated, false));
        assert_eq!(at(Some(commit(1000, OURS, Some(window(1000, 7000))))), (100, Cause::Truncated, false));
        let mut known = commit(1000, OURS, None);
        known.position.epoch = Some(4);
        assert_eq!(at(Some(known)), (1000, Cause::Truncated, false));
    }

    #[test]
    fn messages_that_were_removed_before_they_were_handled_are_counted() {
        assert_eq!(at(Some(commit(40, OURS, None))), (100, Cause::Expired(60), false));
        assert_eq!(at(Some(commit(40, OURS, Some(window(40, 90))))), (100, Cause::Expired(11), true));
        let mut finished = window(40, 120);
        finished.unfinished.clear();
        assert_eq!(at(Some(commit(40, OURS, Some(finished)))), (100, Cause::Committed, true));
    }

    #[test]
    fn without_a_commit_only_partitions_from_the_beginning_of_the_group_may_be_skipped() {
        let start = |partition, reset| Resume::at(None, &LOG, partition, 3, reset).position.offset;
        assert_eq!((start(2, OffsetReset::Latest), start(3, OffsetReset::Latest)), (200, 100));
        assert_eq!((start(2, OffsetReset::Earliest), start(3, OffsetReset::Earliest)), (100, 100));
    }

    #[test]
    fn the_beginning_of_a_group_is_known_from_its_commits() {
        let foreign = Commit { position: Position { offset: 1, epoch: None }, metadata: None };
        let (ours, other) = (commit(1, OURS, None), commit(1, OTHER, None));
        let initial = |commits: &[(i32, &Commit)]| initial_partitions(OURS, commits.iter().copied(), 8);
        assert_eq!(initial(&[]), 8);
        assert_eq!(initial(&[(0, &ours), (5, &ours)]), 3);
        assert_eq!(initial(&[(0, &foreign), (4, &foreign)]), 5);
        assert_eq!(initial(&[(0, &other), (4, &other)]), 0);
        assert_eq!(initial(&[(0, &other), (4, &ours)]), 3);
    }
}
