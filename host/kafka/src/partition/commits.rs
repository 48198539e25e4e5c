//! The position of a partition to commit, and the deliveries that are lost with it.

use std::mem;

use super::state::Regression;
use super::{Partition, Progress};
use crate::commit_metadata::MAX_LEN;
use crate::raw::TopicId;
use crate::resume::Resume;
use crate::tracker::Position;

impl Partition {
    /// The position to commit with its metadata. None if the broker has confirmed everything. Only one such commit
    /// may be in flight at a time.
    pub fn uncommitted(&self) -> Option<(Position, String)> {
        self.state.lock().uncommitted()
    }

    /// The broker has committed `position`.
    pub fn set_committed(&self, position: i64) {
        let mut state = self.state.lock();
        state.commits.confirm(position);
        state.committed = state.committed.max(Some(position));
    }

    /// The broker refuses metadata of this length: from now on only offsets are committed. Logs the
    /// consequences once.
    pub fn commit_offsets_only(&self) {
        if mem::replace(&mut self.state.lock().commits.offsets_only, true) {
            return;
        }
        let (topic, partition) = (&self.topic, self.index);
        if self.context.ordering.is_in_place() {
            tracing::error!(
                topic = &**topic,
                partition,
                "the broker refuses commit metadata of {MAX_LEN} bytes, so only offsets are committed: the next \
                 owner of the partition restarts retries at the first attempt, loses the held keys, and repeats \
                 messages that finished after the offset; raise the broker's offset.metadata.max.bytes"
            );
        } else {
            tracing::warn!(
                topic = &**topic,
                partition,
                "the broker refuses commit metadata of {MAX_LEN} bytes, so only offsets are committed: the next \
                 owner of the partition repeats messages that finished after the offset; raise the broker's \
                 offset.metadata.max.bytes"
            );
        }
    }

    /// The topic whose log is read. None if the cluster has no topic ids.
    pub fn topic_id(&self) -> Option<TopicId> {
        self.state.lock().resume.topic
    }

    /// Whether it is unknown where reading begins.
    pub fn is_unopened(&self) -> bool {
        self.state.lock().unopened_since.is_some()
    }

    /// The position that the client has to check before anything is read: whether the log was cut before it.
    pub fn unchecked(&self) -> Option<Position> {
        self.state.lock().unchecked.map(|(position, _)| position)
    }

    /// The client checks the position, and reads where the log was cut if it was.
    pub fn set_checked(&self) {
        self.state.lock().unchecked = None;
        self.waker.wake();
    }

    /// Whether a message was read although an earlier read had passed it.
    pub fn has_regressed(&self) -> bool {
        self.state.lock().regressed.is_some()
    }

    /// Where reading begins again if the log was cut. Reading goes on if a record was only fetched again. For a topic of
    /// which it is known that it is the same.
    pub fn resume_after_regression(&self) -> Option<Resume> {
        let mut state = self.state.lock();
        match state.regressed? {
            Regression::Cut(cut) => Some(state.resume_at_cut(cut)),
            Regression::Repeated => {
                state.regressed = None;
                None
            }
        }
    }

    /// The partition's progress.
    pub fn progress(&self) -> Progress {
        self.state.lock().progress()
    }

    /// The maximum number of deliveries that are repeated if the partition is lost now.
    pub fn max_repeated(&self) -> usize {
        let state = self.state.lock();
        state.in_progress.saturating_add(state.commits.unconfirmed())
    }
}
