//! What a partition has to commit, and what is lost with it.

use std::mem;

use super::Partition;
use super::state::Standing;
use crate::window::MAX_LEN;

impl Partition {
    /// The offset to commit and what to commit beside it, where the broker has not confirmed that
    /// yet. One such commit is on its way at a time.
    pub fn uncommitted(&self) -> Option<(i64, String)> {
        let mut state = self.state.lock();
        state.uncommitted()
    }

    /// The broker has committed `position`.
    pub fn set_committed(&self, position: i64) {
        self.state.lock().commits.confirm(position);
    }

    /// The broker takes no metadata as long as ours: from now on offsets alone are committed. Says
    /// once what that costs.
    pub fn commit_plainly(&self) {
        if mem::replace(&mut self.state.lock().commits.plain, true) {
            return;
        }
        let (topic, partition) = (&self.topic, self.index);
        if self.lane.ordering.is_in_place() {
            tracing::error!(
                topic = &**topic,
                partition,
                "the broker takes no metadata of {MAX_LEN} bytes with a commit, so offsets alone are committed: \
                 whoever reads on begins with the first attempt again, knows of no held keys, and repeats what \
                 is finished behind the offset; raise the broker's offset.metadata.max.bytes"
            );
        } else {
            tracing::warn!(
                topic = &**topic,
                partition,
                "the broker takes no metadata of {MAX_LEN} bytes with a commit, so offsets alone are committed: \
                 whoever reads on repeats what is finished behind the offset; raise the broker's \
                 offset.metadata.max.bytes"
            );
        }
    }

    /// How far it is. None before anything was read.
    pub fn standing(&self) -> Option<Standing> {
        self.state.lock().standing()
    }

    /// How many deliveries somebody else repeats if this partition is lost now, at most.
    pub fn at_stake(&self) -> usize {
        let state = self.state.lock();
        state.running.saturating_add(state.commits.unconfirmed())
    }
}
