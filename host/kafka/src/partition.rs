//! One assigned partition: what is read from it, what is under way, and how far it may be committed.

mod commits;
mod state;

use std::cmp::Reverse;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use base::clock;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use settings::Ordering;
use tokio_util::sync::CancellationToken;

pub use self::state::Standing;
use self::state::State;
use crate::delivery::{Claim, Delivery, End};
use crate::headers::Trail;
use crate::health::Health;
use crate::order;
use crate::raw::{Event, Message, Queue};
use crate::waiting::{Waiting, due};
use crate::waker::Waker;
use crate::window::{Past, Window};

/// How many messages of a retry topic are held while they are not due, so that one that is due
/// later does not hold back those behind it.
const LOOK_AHEAD: usize = 256;
/// Likewise, once one was found behind others that are due later: plugins choose delays, or there is
/// jitter. Less than the window.
const FAR_LOOK_AHEAD: usize = 8192;
/// Messages that failed side by side are published in any order; that is no reason to look far.
const MOMENT_MS: i64 = 1000;
/// How many of them are read at a time, between looks at the bytes they hold.
const READ_AHEAD: usize = 32;

/// What all partitions of one consumer have in common.
pub struct Lane {
    /// The consumer group whose failures these are.
    pub group: String,
    /// Whether its topics are the group's retry topics: only there do retry headers count, and
    /// messages wait until they are due.
    pub retries: bool,
    /// Which messages wait for which.
    pub ordering: Ordering,
    /// Partitions that have something to read.
    pub ready: async_channel::Sender<Weak<Partition>>,
    /// Where timers run.
    pub runtime: tokio::runtime::Handle,
    /// How the consumer fares.
    pub health: Arc<Health>,
}

/// One assigned partition. A partition that comes back after a rebalance is a new one.
pub struct Partition {
    topic: Arc<str>,
    index: i32,
    lane: Arc<Lane>,
    queue: Arc<Queue>,
    waker: Arc<Waker>,
    state: Mutex<State>,
    idle: Condvar,
    cut_off: CancellationToken,
}

impl Partition {
    /// Opens a partition that is about to be assigned; `before` is what was committed beside its
    /// offset. None where librdkafka does not know it.
    pub fn open<C: ConsumerContext + 'static>(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        index: i32,
        before: Option<Window>,
        lane: Arc<Lane>,
    ) -> Option<Arc<Self>> {
        let waker = Arc::new(Waker::new(lane.ready.clone()));
        let on_ready = Arc::clone(&waker);
        let queue = Queue::of_partition(consumer, topic, index, Box::new(move || on_ready.wake()))?;
        let partition = Arc::new(Self {
            topic: topic.into(),
            index,
            queue,
            waker,
            state: Mutex::new(State::new(before, lane.ordering)),
            lane,
            idle: Condvar::new(),
            cut_off: CancellationToken::new(),
        });
        partition.waker.wakes(Arc::downgrade(&partition));
        // What arrived before the waker knew whom to wake.
        partition.waker.wake();
        Some(partition)
    }

    /// The topic it belongs to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its name, to be kept without a copy.
    pub fn shared_topic(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }

    /// Its number.
    pub fn index(&self) -> i32 {
        self.index
    }

    /// The consumer group whose failures these are.
    pub fn group(&self) -> &str {
        &self.lane.group
    }

    /// Takes up to `max` messages that can be worked on now.
    pub fn take(self: &Arc<Self>, max: usize, batch: &mut Vec<Delivery>) {
        self.waker.rest();
        let mut state = self.state.lock();
        if state.closed || !state.may_start() {
            return;
        }
        if self.lane.retries {
            self.look_ahead(&mut state);
        }
        self.take_due(&mut state, max, batch);
        let more = if self.lane.retries {
            // More may be due, and what was taken made room in the look-ahead.
            !batch.is_empty()
        } else {
            self.take_next(&mut state, max, batch)
        };
        if more {
            self.waker.wake();
        }
    }

    /// Those whose turn has come, and then new ones. Whether there may be more.
    fn take_next(self: &Arc<Self>, state: &mut State, max: usize, batch: &mut Vec<Delivery>) -> bool {
        while batch.len() < max {
            let Some(next) = state.turns.pop() else { break };
            self.start_or_hold(state, next, batch);
        }
        let (free, room) = (max - batch.len(), state.room());
        let wanted = free.min(room);
        let mut events = Vec::with_capacity(wanted);
        let count = self.read(wanted, &mut events);
        for event in events {
            let Some((number, message)) = state.note(event) else { continue };
            let key = order::wait_key(self.lane.ordering, message.key());
            let past = state.past(message.offset());
            let due_ms = past.map_or(0, |past| due(Some(past.due_ms), clock::now_ms()));
            let trail = past.map(Trail::in_place);
            if let Some(first) = state.turns.admit(key, Waiting { due_ms, number, message, trail, key }) {
                self.start_or_hold(state, first, batch);
            }
        }
        // What is read less than it could be is read on when there is room.
        free == 0 || (count > 0 && count == wanted)
    }

    fn take_due(self: &Arc<Self>, state: &mut State, max: usize, batch: &mut Vec<Delivery>) {
        if state.held.is_empty() {
            return;
        }
        let now = clock::now_ms();
        while batch.len() < max && state.may_start() {
            let Some(Reverse(held)) = state.held.peek() else { break };
            if held.due_ms > now {
                let due_ms = held.due_ms;
                self.wake_at(state, due_ms);
                break;
            }
            if let Some(Reverse(held)) = state.held.pop() {
                batch.push(self.start(state, held));
            }
        }
    }

    /// Fills the look-ahead; what belongs to another group is finished unprocessed.
    fn look_ahead(self: &Arc<Self>, state: &mut State) {
        let mut events = Vec::new();
        loop {
            let ahead = if state.disordered { FAR_LOOK_AHEAD } else { LOOK_AHEAD };
            let room = ahead.saturating_sub(state.held.len()).min(READ_AHEAD).min(state.room());
            if room == 0 {
                break;
            }
            if self.read(room, &mut events) == 0 {
                break;
            }
            let now = clock::now_ms();
            for event in events.drain(..) {
                let Some((number, message)) = state.note(event) else { continue };
                let trail = Box::new(Trail::read(message.headers()));
                if trail.group.as_deref().is_some_and(|group| group != self.lane.group.as_bytes()) {
                    state.pass_over(number, &message);
                    continue;
                }
                let due_ms = due(trail.due_ms, now);
                state.disordered |= due_ms.saturating_add(MOMENT_MS) < state.last_due_ms;
                state.last_due_ms = state.last_due_ms.max(due_ms);
                state.held.push(Reverse(Waiting { due_ms, number, message, trail: Some(trail), key: None }));
            }
        }
    }

    fn read(&self, max: usize, events: &mut Vec<Event>) -> usize {
        self.queue.read(max, events, |error| {
            tracing::warn!(topic = &*self.topic, partition = self.index, %error, "cannot read");
        })
    }

    fn start_or_hold(self: &Arc<Self>, state: &mut State, waiting: Waiting, batch: &mut Vec<Delivery>) {
        if waiting.due_ms > 0 && waiting.due_ms > clock::now_ms() {
            self.wake_at(state, waiting.due_ms);
            state.held.push(Reverse(waiting));
        } else {
            batch.push(self.start(state, waiting));
        }
    }

    fn start(self: &Arc<Self>, state: &mut State, waiting: Waiting) -> Delivery {
        let Waiting { number, message, trail, key, .. } = waiting;
        state.running += 1;
        let follows = key.is_some_and(|key| state.turns.held().contains(&key));
        let claim = Claim::new(Arc::clone(self), number, message.offset(), message.size(), key);
        Delivery::new(message, trail, follows, claim)
    }

    fn wake_at(&self, state: &mut State, due_ms: i64) {
        if state.timer_ms.is_some_and(|timer| timer <= due_ms) {
            return;
        }
        state.timer_ms = Some(due_ms);
        let wait = Duration::from_millis(due_ms.saturating_sub(clock::now_ms()).max(0).unsigned_abs());
        let waker = Arc::clone(&self.waker);
        self.lane.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(partition) = waker.partition() {
                partition.state.lock().timer_ms = None;
                waker.wake();
            }
        });
    }

    /// A message that is under way is to be tried again here, later.
    pub(super) fn postpone(&self, claim: &Claim, message: Message, past: Past) {
        let mut state = self.state.lock();
        state.pasts.insert(claim.offset, past);
        // A partition that is given back leaves the rest to its next owner.
        if !state.closed {
            let (due_ms, trail) = (past.due_ms, Some(Trail::in_place(past)));
            state.held.push(Reverse(Waiting {
                due_ms,
                number: claim.number,
                message,
                trail,
                key: claim.key,
            }));
        }
    }

    /// A delivery ended.
    pub(super) fn end(&self, claim: &Claim) {
        let mut state = self.state.lock();
        let room = (state.may_start(), state.room() > 0);
        state.running -= 1;
        match claim.end {
            End::Finished => state.finish(claim),
            End::Held => {
                state.turns.hold(claim.key);
                state.finish(claim);
            }
            End::Postponed => state.commits.changes += 1,
            // A bug: nothing else drops a delivery. It must be seen, since nothing behind this
            // message is committed until somebody reads the partition anew.
            End::Dropped if !self.cut_off.is_cancelled() => {
                self.lane.health.fail();
                tracing::error!(
                    topic = &*self.topic,
                    partition = self.index,
                    "a message ended without an outcome; its partition stands still until the host is restarted"
                );
            }
            End::Dropped => {}
        }
        let wake = !state.closed
            && (room != (state.may_start(), state.room() > 0)
                || claim.end == End::Postponed
                || state.turns.has_next());
        let idle = state.running == 0;
        drop(state);
        if wake {
            self.waker.wake();
        }
        if idle {
            self.idle.notify_all();
        }
    }

    /// A publish failed: nothing more is taken from this partition until it succeeds.
    pub fn block(&self) {
        self.state.lock().blocked += 1;
    }

    /// Whether it is time to say that publishes fail: at the first that does, and every `interval`.
    pub fn may_report(&self, interval: Duration) -> bool {
        let mut state = self.state.lock();
        let due = state.reported.is_none_or(|at| at.elapsed() >= interval);
        if due {
            state.reported = Some(Instant::now());
        }
        due
    }

    /// The publish succeeded, or was given up.
    pub fn unblock(&self) {
        let mut state = self.state.lock();
        state.blocked -= 1;
        if state.blocked == 0 {
            state.reported = None;
        }
        drop(state);
        self.waker.wake();
    }

    /// Takes nothing more; what waits is given up.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.held.clear();
        state.turns.clear();
    }

    /// Whether it takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.state.lock().running == 0
    }

    /// Waits until nothing is under way. False where that took longer than `until`.
    pub fn wait_idle(&self, until: Instant) -> bool {
        let mut state: MutexGuard<'_, State> = self.state.lock();
        while state.running > 0 {
            if self.idle.wait_until(&mut state, until).timed_out() {
                return state.running == 0;
            }
        }
        true
    }

    /// Ends what is under way, unfinished. Returns how many deliveries that were.
    pub fn cut_off(&self) -> usize {
        self.cut_off.cancel();
        self.state.lock().running
    }

    /// Completes when what is under way must end.
    pub async fn until_cut_off(&self) {
        self.cut_off.cancelled().await;
    }
}
