//! One assigned partition: reading messages, tracking deliveries, and the position to commit.

mod state;

use std::cmp::Reverse;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use base::clock;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use settings::Ordering;
use tokio_util::sync::CancellationToken;

pub use self::state::Progress;
use self::state::State;
use crate::delivery::{Completion, Delivery, DeliveryGuard};
use crate::headers::RetryInfo;
use crate::health::Health;
use crate::key_order;
use crate::pending::{PendingMessage, due_time};
use crate::raw::{Event, Message, Queue};
use crate::waker::Waker;
use crate::window::{MAX_LEN, RetryState, Window};

/// The maximum number of messages of a retry topic that are read before they are due, so that a late one does
/// not delay those behind it.
const LOOK_AHEAD: usize = 256;
/// The same limit after a message was found behind others with later due times, as plugins may choose delays
/// and a policy may have jitter. Less than the tracker's window.
const FAR_LOOK_AHEAD: usize = 8192;
/// Messages that fail concurrently are published in any order, so that due times within this span count as
/// ordered.
const ORDER_TOLERANCE_MS: i64 = 1000;
/// The number of messages that are read at once before their size is checked again.
const READ_BATCH: usize = 32;

/// Shared by all partitions of one group member.
pub struct PartitionContext {
    /// The consumer group of the source topic, also for retry topics.
    pub group: String,
    /// Whether the topics are the group's retry topics. Only there are retry headers read, and messages
    /// delayed until they are due.
    pub is_retry: bool,
    /// The order of the messages.
    pub ordering: Ordering,
    /// The list of partitions that may have messages to read.
    pub ready: async_channel::Sender<Weak<Partition>>,
    /// The runtime of the timers.
    pub runtime: tokio::runtime::Handle,
    /// The health of the member.
    pub health: Arc<Health>,
}

/// One assigned partition. A partition that is assigned again is a new object.
pub struct Partition {
    topic: Arc<str>,
    index: i32,
    context: Arc<PartitionContext>,
    queue: Arc<Queue>,
    waker: Arc<Waker>,
    state: Mutex<State>,
    idle: Condvar,
    cut_off: CancellationToken,
}

impl Partition {
    /// Opens a partition that is about to be assigned. `committed_window` is the window of its last commit.
    /// None if librdkafka does not know the partition.
    pub fn open<C: ConsumerContext + 'static>(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        index: i32,
        committed_window: Option<Window>,
        context: Arc<PartitionContext>,
    ) -> Option<Arc<Self>> {
        let waker = Arc::new(Waker::new(context.ready.clone()));
        let on_ready = Arc::clone(&waker);
        let queue = Queue::of_partition(consumer, topic, index, Box::new(move || on_ready.wake()))?;
        let partition = Arc::new(Self {
            topic: topic.into(),
            index,
            queue,
            waker,
            state: Mutex::new(State::new(committed_window, context.ordering)),
            context,
            idle: Condvar::new(),
            cut_off: CancellationToken::new(),
        });
        partition.waker.set_partition(Arc::downgrade(&partition));
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

    /// Starts up to `max` deliveries, appended to `batch`.
    pub fn take(self: &Arc<Self>, max: usize, batch: &mut Vec<Delivery>) {
        self.waker.rearm();
        let mut state = self.state.lock();
        if state.closed || !state.may_start() {
            return;
        }
        if self.context.is_retry {
            self.look_ahead(&mut state);
        }
        self.take_due(&mut state, max, batch);
        let more = if self.context.is_retry {
            // More messages may be due, and those that were taken made room in the look-ahead.
            !batch.is_empty()
        } else {
            self.take_next(&mut state, max, batch)
        };
        if more {
            self.waker.wake();
        }
    }

    /// Starts ready messages, then newly read ones. Returns whether there may be more.
    fn take_next(self: &Arc<Self>, state: &mut State, max: usize, batch: &mut Vec<Delivery>) -> bool {
        while batch.len() < max {
            let Some(next) = state.key_order.pop_ready() else { break };
            self.start_or_delay(state, next, batch);
        }
        let free = max - batch.len();
        let wanted = free.min(state.capacity());
        let mut events = Vec::with_capacity(wanted);
        let count = self.read(wanted, &mut events);
        for event in events {
            let Some((number, message)) = state.register(event) else { continue };
            let key = key_order::order_key(self.context.ordering, message.key());
            let retry_state = state.restore_retry_state(message.offset());
            let due_ms = retry_state.map_or(0, |retry| due_time(Some(retry.due_ms), clock::now_ms()));
            let retry_info = retry_state.map(RetryInfo::in_place);
            let message = PendingMessage { due_ms, number, message, retry_info, key };
            if let Some(admitted) = state.key_order.admit(key, message) {
                self.start_or_delay(state, admitted, batch);
            }
        }
        // Reading that stopped for lack of capacity resumes when a delivery ends.
        free == 0 || (count > 0 && count == wanted)
    }

    fn take_due(self: &Arc<Self>, state: &mut State, max: usize, batch: &mut Vec<Delivery>) {
        if state.delayed.is_empty() {
            return;
        }
        let now = clock::now_ms();
        while batch.len() < max && state.may_start() {
            let Some(Reverse(next)) = state.delayed.peek() else { break };
            if next.due_ms > now {
                let due_ms = next.due_ms;
                self.wake_at(state, due_ms);
                break;
            }
            if let Some(Reverse(next)) = state.delayed.pop() {
                batch.push(self.start(state, next));
            }
        }
    }

    /// Fills the look-ahead of a retry topic. Messages of other groups are skipped.
    fn look_ahead(self: &Arc<Self>, state: &mut State) {
        let mut events = Vec::new();
        loop {
            let limit = if state.is_out_of_order { FAR_LOOK_AHEAD } else { LOOK_AHEAD };
            let wanted = limit.saturating_sub(state.delayed.len()).min(READ_BATCH).min(state.capacity());
            if wanted == 0 || self.read(wanted, &mut events) == 0 {
                break;
            }
            let now = clock::now_ms();
            for event in events.drain(..) {
                let Some((number, message)) = state.register(event) else { continue };
                let retry_info = Box::new(RetryInfo::read(message.headers()));
                if retry_info.group.as_deref().is_some_and(|group| group != self.context.group.as_bytes()) {
                    state.skip(number, &message);
                    continue;
                }
                let due_ms = due_time(retry_info.due_ms, now);
                state.is_out_of_order |= due_ms.saturating_add(ORDER_TOLERANCE_MS) < state.last_due_ms;
                state.last_due_ms = state.last_due_ms.max(due_ms);
                let retry_info = Some(retry_info);
                state.delayed.push(Reverse(PendingMessage {
                    due_ms,
                    number,
                    message,
                    retry_info,
                    key: None,
                }));
            }
        }
    }

    fn read(&self, max: usize, events: &mut Vec<Event>) -> usize {
        self.queue.read(max, events, |error| {
            tracing::warn!(topic = &*self.topic, partition = self.index, %error, "cannot read");
        })
    }

    fn start_or_delay(
        self: &Arc<Self>,
        state: &mut State,
        message: PendingMessage,
        batch: &mut Vec<Delivery>,
    ) {
        if message.due_ms > 0 && message.due_ms > clock::now_ms() {
            self.wake_at(state, message.due_ms);
            state.delayed.push(Reverse(message));
        } else {
            batch.push(self.start(state, message));
        }
    }

    fn start(self: &Arc<Self>, state: &mut State, pending: PendingMessage) -> Delivery {
        let PendingMessage { number, message, retry_info, key, .. } = pending;
        state.in_progress += 1;
        let follows_dead_letter = key.is_some_and(|key| state.key_order.held_keys().contains(&key));
        let guard = DeliveryGuard::new(Arc::clone(self), number, message.offset(), message.size(), key);
        Delivery::new(message, retry_info, follows_dead_letter, guard)
    }

    /// Wakes the partition at the due time, unless a timer fires earlier.
    fn wake_at(&self, state: &mut State, due_ms: i64) {
        if state.timer_ms.is_some_and(|timer| timer <= due_ms) {
            return;
        }
        state.timer_ms = Some(due_ms);
        let wait = Duration::from_millis(due_ms.saturating_sub(clock::now_ms()).max(0).unsigned_abs());
        let waker = Arc::clone(&self.waker);
        self.context.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(partition) = waker.partition() {
                partition.state.lock().timer_ms = None;
                waker.wake();
            }
        });
    }

    /// Schedules a delivery in progress for a retry in place.
    pub(super) fn postpone(&self, guard: &DeliveryGuard, message: Message, retry_state: RetryState) {
        let mut state = self.state.lock();
        state.retry_states.insert(guard.offset, retry_state);
        // After a revocation the next owner retries the message.
        if !state.closed {
            state.delayed.push(Reverse(PendingMessage {
                due_ms: retry_state.due_ms,
                number: guard.number,
                message,
                retry_info: Some(RetryInfo::in_place(retry_state)),
                key: guard.key,
            }));
        }
    }

    /// A delivery has ended.
    pub(super) fn complete(&self, guard: &DeliveryGuard) {
        let mut state = self.state.lock();
        let could = (state.may_start(), state.capacity() > 0);
        state.in_progress -= 1;
        match guard.completion {
            Completion::Finished => state.finish(guard),
            Completion::FinishedHoldingKey => {
                state.key_order.hold_keys(guard.key);
                state.finish(guard);
            }
            Completion::Postponed => state.commits.changes += 1,
            Completion::Abandoned => self.check_abandoned(),
        }
        let wake = !state.closed
            && (could != (state.may_start(), state.capacity() > 0)
                || guard.completion == Completion::Postponed
                || state.key_order.has_ready());
        let idle = state.in_progress == 0;
        drop(state);
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
        self.state.lock().failing_publishes += 1;
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
        }
        drop(state);
        self.waker.wake();
    }

    /// Starts no more deliveries and discards messages that have not started.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.delayed.clear();
        state.key_order.clear();
    }

    /// Whether the partition is closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
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

    /// The offset and metadata to commit. None if the broker has confirmed everything. Only one such commit
    /// may be in flight at a time.
    pub fn uncommitted(&self) -> Option<(i64, String)> {
        self.state.lock().uncommitted()
    }

    /// The broker has committed `position`.
    pub fn set_committed(&self, position: i64) {
        self.state.lock().commits.confirm(position);
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

    /// The partition's progress. None before the first read.
    pub fn progress(&self) -> Option<Progress> {
        self.state.lock().progress()
    }

    /// The maximum number of deliveries that are repeated if the partition is lost now.
    pub fn max_repeated(&self) -> usize {
        let state = self.state.lock();
        state.in_progress.saturating_add(state.commits.unconfirmed())
    }
}
