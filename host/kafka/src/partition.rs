//! One assigned partition: its messages, its deliveries, and the position to commit.

mod commits;
mod condition;
mod flow;
mod obey;
mod source;
mod start;
mod state;

use std::cmp::Reverse;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};
use settings::Ordering;
use tokio_util::sync::CancellationToken;

pub use self::condition::{Block, Condition, Limit};
pub use self::flow::Flow;
pub use self::source::Source;
pub use self::state::Progress;
use self::state::State;
use crate::decisions::Decisions;
use crate::delivery::{Completion, DeliveryGuard};
use crate::headers::RetryInfo;
use crate::health::Health;
use crate::held_keys::HeldKeys;
use crate::memory::{HeldMemory, Memory};
use crate::pending::{Now, PendingMessage};
use crate::raw::{Message, OnReady};
use crate::resume::Resume;
use crate::waker::Waker;
use crate::window::RetryState;

/// Shared by all partitions of one group member.
pub struct PartitionContext {
    /// The consumer group of the source topic, also for retry topics.
    pub group: String,
    /// Whether the topics are the group's retry topics. Only there are retry headers read, and messages
    /// delayed until they are due.
    pub is_retry: bool,
    /// The order of the messages.
    pub ordering: Ordering,
    /// The keys whose messages are held, if the plugin holds any.
    pub held_keys: Option<Arc<HeldKeys>>,
    /// What operators have decided about messages that wait. None if the topics are not retry topics.
    pub decisions: Option<Arc<Decisions>>,
    /// The list of partitions that may have messages to read.
    pub ready: async_channel::Sender<Weak<Partition>>,
    /// The runtime of the timers.
    pub runtime: tokio::runtime::Handle,
    /// The health of the member.
    pub health: Arc<Health>,
    /// The memory that all partitions share.
    pub memory: Arc<Memory>,
    /// Set when a partition has read a message that an earlier read had passed.
    pub has_regressed: AtomicBool,
    /// Set when a message with large headers was read.
    pub has_large_headers: AtomicBool,
    /// Called when a message has finished and all before it was committed. Set by the member when it joins.
    pub on_uncommitted: OnceLock<OnUncommitted>,
}

/// Commits if the last commit was long enough ago.
pub type OnUncommitted = Box<dyn Fn() + Send + Sync>;

/// One assigned partition. A partition that is assigned again is a new object.
pub struct Partition {
    topic: Arc<str>,
    index: i32,
    context: Arc<PartitionContext>,
    source: Box<dyn Source>,
    waker: Arc<Waker>,
    state: Mutex<State>,
    idle: Condvar,
    closing: CancellationToken,
    cut_off: CancellationToken,
}

impl Partition {
    /// Opens a partition that is read as `resume` says or, without it, not at all. `source` opens what is fetched of it,
    /// and calls its argument when something becomes available. None if there is no source.
    pub fn open<S: Source + 'static>(
        topic: &str,
        index: i32,
        resume: Option<Resume>,
        context: Arc<PartitionContext>,
        source: impl FnOnce(OnReady) -> Option<S>,
    ) -> Option<Arc<Self>> {
        let waker = Arc::new(Waker::new(context.ready.clone()));
        let on_ready = Arc::clone(&waker);
        let source = source(Box::new(move || on_ready.wake()))?;
        let memory = HeldMemory::new(Arc::clone(&context.memory), Arc::clone(&waker));
        let partition = Arc::new(Self {
            topic: topic.into(),
            index,
            source: Box::new(source),
            waker,
            state: Mutex::new(State::new(resume, context.ordering, memory)),
            context,
            idle: Condvar::new(),
            closing: CancellationToken::new(),
            cut_off: CancellationToken::new(),
        });
        partition.waker.set_partition(Arc::downgrade(&partition));
        partition.context.decisions.iter().for_each(|decisions| decisions.watch(&partition));
        // Messages may have arrived before the waker knew the partition.
        partition.waker.wake();
        Some(partition)
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic, without a copy.
    pub fn shared_topic(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }

    /// The partition number.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// The consumer group of the source topic.
    pub fn group(&self) -> &str {
        &self.context.group
    }

    /// Whether the topic is one of the group's retry topics.
    pub fn is_retry(&self) -> bool {
        self.context.is_retry
    }

    /// Schedules a delivery in progress for a retry in place.
    pub(super) fn postpone(&self, guard: &DeliveryGuard, message: Message, retry_state: RetryState) {
        let mut state = self.state.lock();
        state.retry_states.insert(guard.offset, retry_state);
        // After a revocation the next owner retries the message.
        if !state.closed {
            let RetryState { due_ms, first_failed_ms, .. } = retry_state;
            state.delayed.push(Reverse(PendingMessage {
                due: Now::read().due(Some(due_ms), Some(first_failed_ms)),
                due_ms: Some(due_ms),
                number: guard.number,
                message: message.detached(),
                retry_info: Some(RetryInfo::in_place(retry_state)),
                key: guard.key,
            }));
        }
    }

    /// Schedules a delivery in progress for another one, of which it is no attempt.
    pub(super) fn take_back(
        &self,
        guard: &DeliveryGuard,
        message: Message,
        retry_info: Option<Box<RetryInfo>>,
    ) {
        let mut state = self.state.lock();
        // After a revocation the next owner delivers the message.
        if !state.closed {
            let (due, due_ms, number, key) = (Instant::now(), None, guard.number, guard.key);
            state.delayed.push(Reverse(PendingMessage { due, due_ms, number, message, retry_info, key }));
        }
    }

    /// Adds the partition to the ready list again. It was taken off the list, and nothing was taken from it.
    pub fn requeue(&self) {
        self.waker.rearm();
        self.waker.wake();
    }

    /// A delivery has ended.
    pub(super) fn complete(&self, guard: &DeliveryGuard) {
        let mut state = self.state.lock();
        let could = (state.may_start(), state.capacity() > 0);
        let was_committed = state.commits.unconfirmed() == 0;
        state.in_progress -= 1;
        match guard.completion {
            Completion::Finished => state.finish(guard),
            Completion::Postponed => state.commits.changes += 1,
            Completion::Returned => {}
            Completion::Abandoned => self.check_abandoned(),
        }
        let wake = !state.closed
            && (could != (state.may_start(), state.capacity() > 0)
                || matches!(guard.completion, Completion::Postponed | Completion::Returned)
                || state.key_order.has_ready());
        let idle = state.in_progress == 0;
        let must_commit = was_committed && !state.closed && state.commits.unconfirmed() > 0;
        drop(state);
        if must_commit && let Some(on_uncommitted) = self.context.on_uncommitted.get() {
            on_uncommitted();
        }
        if wake {
            self.waker.wake();
        }
        if idle {
            self.idle.notify_all();
        }
    }

    /// Only a cut-off drops a delivery without an outcome; anything else is a bug. It must be visible, since
    /// no later offset is committed until the partition is assigned again.
    fn check_abandoned(&self) {
        if !self.cut_off.is_cancelled() {
            self.context.health.fail();
            tracing::error!(
                topic = &*self.topic,
                partition = self.index,
                "a message ended without an outcome; its partition is blocked until the host is restarted"
            );
        }
    }

    /// A publish failed: no delivery starts until it succeeds.
    pub fn block(&self) {
        let mut state = self.state.lock();
        state.failing_publishes += 1;
        state.blocked_since.get_or_insert_with(Instant::now);
    }

    /// Whether to log now that a publish fails: for the first failure, and then every 30 s.
    pub fn may_report(&self) -> bool {
        self.state.lock().publish_report.is_due()
    }

    /// The publish succeeded or was abandoned.
    pub fn unblock(&self) {
        let mut state = self.state.lock();
        state.failing_publishes -= 1;
        if state.failing_publishes == 0 {
            state.publish_report.clear();
            state.blocked_since = None;
        }
        drop(state);
        self.waker.wake();
    }

    /// Starts no more deliveries and discards messages that have not started.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.delayed.clear();
        state.given_up.clear();
        state.key_order.clear();
        state.fetching.clear();
        drop(state);
        self.closing.cancel();
    }

    /// Whether the partition is closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Completes when the partition is closed: deliveries that only wait must end.
    pub async fn until_closed(&self) {
        self.closing.cancelled().await;
    }

    /// Whether no delivery is in progress.
    pub fn is_idle(&self) -> bool {
        self.state.lock().in_progress == 0
    }

    /// Waits until no delivery is in progress. Returns false if `until` has passed before that.
    pub fn wait_idle(&self, until: Instant) -> bool {
        let mut state: MutexGuard<'_, State> = self.state.lock();
        while state.in_progress > 0 {
            if self.idle.wait_until(&mut state, until).timed_out() {
                return state.in_progress == 0;
            }
        }
        true
    }

    /// Cancels the deliveries in progress, which stay unfinished. Returns their number.
    pub fn cut_off(&self) -> usize {
        self.cut_off.cancel();
        self.state.lock().in_progress
    }

    /// Completes when the deliveries in progress are cancelled.
    pub async fn until_cut_off(&self) {
        self.cut_off.cancelled().await;
    }
}
