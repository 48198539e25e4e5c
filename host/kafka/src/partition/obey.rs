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

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicBool;

    use parking_lot::Mutex;
    use rdkafka::error::KafkaError;

    use super::*;
    use crate::compacted::Log as _;
    use crate::decisions::Decisions;
    use crate::partition::{PartitionContext, Source};
    use crate::publisher::Destination;
    use crate::raw::{Event, Message};
    use crate::resume::{Cause, Resume};

    /// What a client has fetched.
    struct Fetched(Mutex<Vec<Event>>);

    impl Source for Fetched {
        fn read(&self, max: usize, into: &mut Vec<Event>, _: &mut dyn FnMut(KafkaError)) -> usize {
            let mut events = self.0.lock();
            let count = events.len().min(max);
            into.extend(events.drain(..count));
            count
        }

        fn fetched(&self) -> usize {
            self.0.lock().len()
        }

        fn known_first(&self) -> Option<i64> {
            Some(0)
        }
    }

    fn message(offset: i64) -> Message {
        Message::simulated(offset, 0, b"k", b"v")
    }

    /// The value of a decision about the message at this offset.
    fn decision(number: u64, offset: i64, action: &str) -> String {
        let millis = message(offset).timestamp().map_or(headers::NO_TIMESTAMP, |(millis, _)| millis);
        let id = headers::coordinates("t-retry", 0, offset, millis);
        let until_ms = clock::now_ms() + 60_000;
        format!(
            r#"{{"number":{number},"message":"{id}","action":"{action}","until_ms":{until_ms},"by":"kim","reason":"","at_ms":0}}"#
        )
    }

    fn decide(decisions: &Decisions, at: i64, offset: i64, value: Option<&str>) {
        let key = format!(r#"{{"group":"g","topic":"t-retry","partition":0,"offset":{offset}}}"#);
        decisions.read(at, Some(key.as_bytes()), value.map(str::as_bytes));
        decisions.has_read();
    }

    fn open(decisions: &Arc<Decisions>, messages: i64) -> Arc<Partition> {
        let (ready, _) = async_channel::unbounded();
        let context = PartitionContext {
            group: "g".to_owned(),
            is_retry: true,
            ordering: settings::Ordering::Unordered,
            held_keys: None,
            decisions: Some(Arc::clone(decisions)),
            ready,
            runtime: tokio::runtime::Handle::current(),
            health: Arc::default(),
            memory: Arc::default(),
            has_regressed: AtomicBool::default(),
            has_large_headers: AtomicBool::default(),
            on_uncommitted: OnceLock::new(),
        };
        let fetched =
            Fetched(Mutex::new((0..messages).map(|offset| Event::Message(message(offset))).collect()));
        let resume = Resume::again(None, 0, Cause::Committed);
        Partition::open("t-retry", 0, Some(resume), Arc::new(context), |_| Some(fetched))
            .expect("a partition")
    }

    fn offsets(batch: &[Delivery]) -> Vec<i64> {
        batch.iter().map(|delivery| delivery.message().offset()).collect()
    }

    #[tokio::test]
    async fn decisions_apply_to_what_waits_and_to_nothing_else() {
        let decisions = Decisions::new("g", Destination::new("t-waiting", 1).expect("a topic"));
        decisions.is_read_to(None, 0);
        decide(&decisions, 0, 1, Some(&decision(1, 1, "give-up")));
        decide(&decisions, 1, 2, Some(&decision(2, 2, "postpone")));
        // About a message of an earlier topic.
        decide(&decisions, 2, 3, Some(&decision(3, 4, "give-up")));
        let partition = open(&decisions, 4);
        let (mut given_up, mut started) = (Vec::new(), Vec::new());
        assert_eq!(partition.answer(1, 1), None, "not read yet");
        partition.take_given_up(&mut given_up);
        partition.take(10, &mut started);
        assert_eq!((offsets(&given_up), offsets(&started)), (vec![1], vec![0, 3]));
        assert!(given_up.iter().all(|delivery| delivery.given_up().is_some() && delivery.attempts() == 0));
        assert!(started.iter().all(|delivery| delivery.given_up().is_none()));
        let answers =
            [(1, 1), (2, 2), (3, 3), (9, 9)].map(|(offset, number)| partition.answer(offset, number));
        assert_eq!(answers, [Some(true), Some(true), Some(false), None]);
        // The last decision counts, also over one that applies already.
        decide(&decisions, 3, 2, Some(&decision(4, 2, "run-now")));
        partition.take(10, &mut started);
        assert_eq!((offsets(&started), partition.answer(2, 4)), (vec![0, 3, 2], Some(true)));
        decide(&decisions, 4, 0, Some(&decision(5, 0, "give-up")));
        assert_eq!(partition.answer(0, 5), Some(false), "it has started");
        assert!(!partition.has_committed(1));
        partition.set_committed(2);
        assert!(partition.has_committed(1) && !partition.has_committed(2));
        decide(&decisions, 5, 1, None);
        assert_eq!(partition.answer(1, 1), None, "removed");
        for delivery in given_up.into_iter().chain(started) {
            delivery.finish();
        }
        assert!(partition.is_idle());
    }

    #[tokio::test]
    async fn a_message_given_up_may_run_after_all_until_it_starts() {
        let decisions = Decisions::new("g", Destination::new("t-waiting", 1).expect("a topic"));
        decisions.is_read_to(None, 0);
        decide(&decisions, 0, 0, Some(&decision(1, 0, "postpone")));
        let partition = open(&decisions, 1);
        let mut started = Vec::new();
        partition.take(10, &mut started);
        assert!(started.is_empty());
        decide(&decisions, 1, 0, Some(&decision(2, 0, "give-up")));
        assert_eq!(partition.answer(0, 2), Some(true));
        decide(&decisions, 2, 0, Some(&decision(3, 0, "run-now")));
        partition.take_given_up(&mut started);
        assert!(started.is_empty(), "somebody has decided otherwise");
        partition.take(10, &mut started);
        assert_eq!(offsets(&started), [0]);
        assert!(started.iter().all(|delivery| delivery.given_up().is_none()));
        started.into_iter().for_each(Delivery::finish);
    }
}
