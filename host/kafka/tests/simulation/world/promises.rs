//! What must hold, whatever happens.

use kafka::delivery::Delivery;
use kafka::window::Window;
use settings::Ordering;

use super::{Checked, Violation, World};
use crate::cluster::Record;

impl World {
    /// A message of a key starts when those before it are finished, and with the attempt that it has reached.
    pub(super) fn check_delivery(&self, id: usize, delivery: &Delivery) -> Checked {
        let offset = delivery.message().offset();
        if self.plan.is_kind && delivery.attempt() != self.postponed[id] + 1 {
            let attempts = (delivery.attempt(), self.postponed[id] + 1);
            return Err(Violation(format!(
                "offset {offset} has attempt {} instead of {}",
                attempts.0, attempts.1
            )));
        }
        let is_ours = |record: &&Record| record.id == id;
        let Some(record) = self.cluster.record(offset).filter(is_ours) else { return Ok(()) };
        let before = (offset - self.cluster.first) as usize;
        let unfinished = |other: &&Record| other.key == record.key && self.handled[other.id] == 0;
        // Until the host knows that the topic was created again, it may go on in the middle of the new log.
        let ordered =
            self.plan.ordering == Ordering::Key && delivery.partition().topic_id() == self.cluster.topic();
        if ordered && self.cluster.records.iter().take(before).any(|other| unfinished(&other)) {
            return Err(Violation(format!("offset {offset} starts before its predecessor is finished")));
        }
        Ok(())
    }

    /// If every member ended now, the next owner would skip no message that is not finished.
    pub(super) fn check_commit(&self) -> Checked {
        let mut resume = self.cluster.resume();
        let start = self.cluster.valid(resume.position).offset;
        let window = resume.window.take().filter(|_| start == resume.position.offset);
        for (offset, record) in (self.cluster.first..).zip(&self.cluster.records) {
            let is_finished =
                |window: &Window| window.is_finished(offset) && !window.is_older_than(Some(record.epoch));
            let is_skipped = offset < start || window.as_ref().is_some_and(is_finished);
            if is_skipped && self.handled[record.id] == 0 {
                let (log, commit) = (self.cluster.describe(), &self.cluster.commit);
                return Err(Violation(format!(
                    "offset {offset} is not handled, and would be skipped from {start} on: {commit:?}, {log}"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn is_settled(&self) -> bool {
        let committed = self.cluster.commit.as_ref().map_or(0, |commit| commit.position.offset);
        self.unhandled().is_empty()
            && self.member.is_at_end(&self.cluster)
            // Beyond the end after the log was cut, until it has another record there.
            && (self.waiting.is_some() || committed >= self.cluster.end())
    }

    /// The offsets that are not handled and need not wait.
    pub(super) fn unhandled(&self) -> Vec<i64> {
        let waits = |record: &Record| match (&self.waiting, self.plan.ordering) {
            (Some((id, _)), Ordering::Unordered) => *id == record.id,
            (waiting, _) => waiting.is_some(),
        };
        let all = (self.cluster.first..).zip(&self.cluster.records);
        let unhandled = all.filter(|(_, record)| self.handled[record.id] == 0 && !waits(record));
        unhandled.map(|(offset, _)| offset).collect()
    }

    pub(super) fn check_once(&self) -> Checked {
        let repeated = self.handled.iter().filter(|handled| **handled > 1).count();
        if self.plan.is_kind && repeated > 0 {
            return Err(Violation(format!("{repeated} messages were handled twice without a fault")));
        }
        Ok(())
    }
}
