//! Obeying what operators have decided about messages that wait.

use std::cmp::Reverse;
use std::mem;
use std::sync::Arc;

use base::clock;

use super::Partition;
use super::state::State;
use crate::decisions::{Action, Decision, Standing, message_id};
use crate::delivery::Delivery;
use crate::headers::{self, Origin};
use crate::pending::{MAX_DELAY, Now, PendingMessage};

/// A decision about a message of a partition.
pub struct Decided {
    decision: Arc<Decision>,
    standing: Standing,
    /// Whether it was applied to the message here.
    is_applied: bool,
}

impl Partition {
    /// Whether there may be messages to give up.
    fn has_decisions(&self) -> bool {
        self.context
            .decisions
            .as_ref()
            .is_some_and(|decisions| decisions.version() > 0 && !decisions.is_empty())
    }

    /// Starts deliveries of messages that were given up, appended to `batch`. Their plugin is not called, so that they may
    /// start whether or not it is handed messages.
    pub fn take_given_up(self: &Arc<Self>, batch: &mut Vec<Delivery>) {
        if !self.has_decisions() {
            return;
        }
        let mut state = self.state.lock();
        if !self.is_readable(&state) {
            return;
        }
        self.obey(&mut state);
        while state.may_start() {
            self.look_ahead(&mut state);
            if state.given_up.is_empty() {
                break;
            }
            while state.may_start()
                && let Some(next) = state.given_up.pop_front()
            {
                batch.push(self.start(&mut state, next));
            }
        }
    }

    /// Applies decisions that have come since the last look to the messages that wait here.
    pub(super) fn obey(&self, state: &mut State) {
        let Some(decisions) = &self.context.decisions else { return };
        let version = decisions.version();
        if mem::replace(&mut state.decisions_version, version) == version {
            return;
        }
        let found = decisions.of(&self.topic, self.index);
        if found.is_empty() && state.decided.is_empty() {
            return;
        }
        let former = mem::take(&mut state.decided);
        let decided = found.into_iter().map(|(offset, (decision, standing))| {
            let former = former.get(&offset).filter(|former| former.decision.number == decision.number);
            let is_applied = former.is_some_and(|former| former.is_applied);
            (offset, Decided { decision, standing, is_applied })
        });
        state.decided = decided.collect();
        let now = Now::read();
        let waiting = mem::take(&mut state.delayed).into_iter().map(|Reverse(message)| message);
        for message in waiting.chain(mem::take(&mut state.given_up)).collect::<Vec<_>>() {
            self.hold(state, message, now);
        }
        // What was decided about lies behind messages that wait.
        state.is_out_of_order |= state.decided.range(state.expected()..).next().is_some();
    }

    /// Holds a message of a retry topic until it is due, as decided if there is a decision about it.
    pub(super) fn hold(&self, state: &mut State, mut message: PendingMessage, now: Now) {
        let offset = message.message.offset();
        let decided = state.decided.get_mut(&offset).filter(|decided| decided.standing != Standing::TooLate);
        let Some(decided) = decided.filter(|decided| self.is_about(&decided.decision, &message)) else {
            state.delayed.push(Reverse(message));
            return;
        };
        let was_applied = mem::replace(&mut decided.is_applied, true);
        match decided.decision.action {
            Action::GiveUp => {
                state.given_up.push_back(message);
                return;
            }
            _ if was_applied => {}
            Action::RunNow => message.set_due(now, now.wall_ms),
            Action::Postpone { until_ms } => {
                let latest_ms = now.wall_ms.saturating_add(clock::millis(MAX_DELAY));
                message.set_due(now, until_ms.min(latest_ms));
            }
        }
        state.delayed.push(Reverse(message));
    }

    /// Whether a decision names this message: its topic may have been created again, or its log cut.
    fn is_about(&self, decision: &Decision, message: &PendingMessage) -> bool {
        let PendingMessage { message, retry_info, .. } = message;
        let here = Origin {
            topic: &self.topic,
            partition: self.index,
            offset: message.offset(),
            timestamp: message.timestamp(),
        };
        let Some(retry_info) = retry_info else { return false };
        let own = message.headers().enumerate().filter(|(index, _)| !retry_info.owns(*index));
        let id = headers::id(own.map(|(_, header)| header), &retry_info.origin(&here));
        message_id(&id) == decision.message
    }

    /// The decision by which the message that starts is given up.
    pub(super) fn giving_up(state: &State, offset: i64) -> Option<Arc<Decision>> {
        let decided = state.decided.get(&offset)?;
        let gives_up = decided.is_applied && decided.decision.action == Action::GiveUp;
        gives_up.then(|| Arc::clone(&decided.decision))
    }

    /// Whether a decision about a message applies: it was still waiting. None if the message has not been read yet.
    pub(crate) fn answer(&self, offset: i64, decision: u64) -> Option<bool> {
        let mut state = self.state.lock();
        if !self.is_readable(&state) {
            return None;
        }
        self.obey(&mut state);
        let decided = state.decided.get(&offset).filter(|decided| decided.decision.number == decision)?;
        if decided.is_applied { Some(true) } else { (offset < state.expected()).then_some(false) }
    }

    /// Whether the committed position is behind this offset.
    pub(crate) fn has_committed(&self, offset: i64) -> bool {
        self.state.lock().committed.is_some_and(|committed| committed > offset)
    }

    /// Has a worker look at the partition.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}

impl PendingMessage {
    fn set_due(&mut self, now: Now, due_ms: i64) {
        (self.due, self.due_ms) = (now.due(Some(due_ms), None), Some(due_ms));
        if let Some(retry_info) = &mut self.retry_info {
            retry_info.due_ms = Some(due_ms);
        }
    }
}
