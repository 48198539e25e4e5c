//! One assigned partition: what is read from it, what is under way, and how far it may be committed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::headers::Trail;
use super::health::Health;
use super::raw::{Event, Message, Queue};
use super::tracker::Tracker;
use super::waker::Waker;
use crate::clock;

/// How many deliveries may lie behind the first unfinished one: what a crash repeats at most.
const WINDOW: usize = 10_000;
/// How many messages may be under way, calls and publishes together.
const MAX_UNFINISHED: usize = 1_000;
/// How many bytes the messages under way may hold.
const MAX_UNFINISHED_BYTES: usize = 16 << 20;
/// How many messages of a retry topic are held while they are not due, so that one that is due
/// later does not hold back those behind it.
const LOOK_AHEAD: usize = 256;
/// A due time further ahead than this is not ours, and is ignored as Spring Kafka ignores it.
const FARTHEST_DUE: Duration = Duration::from_secs(24 * 3600);

/// What all partitions of one consumer have in common.
pub struct Lane {
    /// The consumer group whose failures these are.
    pub group: String,
    /// Whether its topics are the group's retry topics: only there do retry headers count, and
    /// messages wait until they are due.
    pub retries: bool,
    /// Partitions that have something to read.
    pub ready: async_channel::Sender<Weak<Partition>>,
    /// Where timers run.
    pub runtime: tokio::runtime::Handle,
    /// How the consumer fares.
    pub health: Arc<Health>,
}

/// One assigned partition. A partition that comes back after a rebalance is a new one.
pub struct Partition {
    topic: String,
    index: i32,
    lane: Arc<Lane>,
    queue: Arc<Queue>,
    waker: Arc<Waker>,
    state: Mutex<State>,
    idle: Condvar,
    cut_off: CancellationToken,
}

#[derive(Default)]
struct State {
    tracker: Tracker,
    /// Not due yet; the next one on top.
    held: BinaryHeap<Reverse<Held>>,
    /// Deliveries that somebody works on.
    running: usize,
    running_bytes: usize,
    /// Publishes that failed and are tried again.
    blocked: usize,
    /// When it was last said that they fail.
    reported: Option<Instant>,
    closed: bool,
    /// When the timer that was set last goes off, in milliseconds since the Unix epoch.
    timer_ms: Option<i64>,
    /// The position that the broker confirmed last.
    committed: Option<i64>,
}

struct Held {
    due_ms: i64,
    number: u64,
    message: Message,
    trail: Box<Trail>,
}

impl Partition {
    /// Opens a partition that is about to be assigned. None where librdkafka does not know it.
    pub fn open<C: ConsumerContext + 'static>(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        index: i32,
        lane: Arc<Lane>,
    ) -> Option<Arc<Self>> {
        let waker = Arc::new(Waker::new(lane.ready.clone()));
        let on_ready = Arc::clone(&waker);
        let queue = Queue::of_partition(consumer, topic, index, Box::new(move || on_ready.wake()))?;
        let partition = Arc::new(Self {
            topic: topic.to_owned(),
            index,
            lane,
            queue,
            waker,
            state: Mutex::default(),
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
        if state.closed || !state.has_room() {
            return;
        }
        if self.lane.retries {
            self.take_due(&mut state, max, batch);
        } else {
            self.take_next(&mut state, max, batch);
        }
    }

    fn take_next(self: &Arc<Self>, state: &mut State, max: usize, batch: &mut Vec<Delivery>) {
        let mut events = Vec::with_capacity(max);
        let count = self.read(max, &mut events);
        for event in events {
            match event {
                Event::Message(message) => {
                    let number = state.tracker.deliver(message.offset());
                    batch.push(self.start(state, number, message, None));
                }
                Event::End(offset) => state.tracker.reach(offset),
            }
        }
        if count == max {
            self.waker.wake();
        }
    }

    fn take_due(self: &Arc<Self>, state: &mut State, max: usize, batch: &mut Vec<Delivery>) {
        self.look_ahead(state);
        let now = clock::now_ms();
        while batch.len() < max && state.has_room() {
            let Some(Reverse(held)) = state.held.peek() else { break };
            if held.due_ms > now {
                let due_ms = held.due_ms;
                self.wake_at(state, due_ms);
                break;
            }
            if let Some(Reverse(held)) = state.held.pop() {
                batch.push(self.start(state, held.number, held.message, Some(held.trail)));
            }
        }
        if !batch.is_empty() {
            // More may be due, and what was taken made room in the look-ahead.
            self.waker.wake();
        }
    }

    /// Fills the look-ahead; what belongs to another group is finished unprocessed.
    fn look_ahead(self: &Arc<Self>, state: &mut State) {
        let mut events = Vec::new();
        while state.held.len() < LOOK_AHEAD && state.tracker.window() < WINDOW {
            let room = LOOK_AHEAD - state.held.len();
            if self.read(room, &mut events) == 0 {
                break;
            }
            let now = clock::now_ms();
            for event in events.drain(..) {
                let message = match event {
                    Event::Message(message) => message,
                    Event::End(offset) => {
                        state.tracker.reach(offset);
                        continue;
                    }
                };
                let number = state.tracker.deliver(message.offset());
                let trail = Box::new(Trail::read(message.headers()));
                if trail.group.as_deref().is_some_and(|group| group != self.lane.group.as_bytes()) {
                    state.tracker.finish(number);
                    continue;
                }
                let farthest = now.saturating_add_unsigned(FARTHEST_DUE.as_millis() as u64);
                let due_ms = trail.due_ms.filter(|due| *due <= farthest).unwrap_or(now);
                state.held.push(Reverse(Held { due_ms, number, message, trail }));
            }
        }
    }

    fn read(&self, max: usize, events: &mut Vec<Event>) -> usize {
        self.queue.read(max, events, |error| {
            tracing::warn!(topic = self.topic, partition = self.index, %error, "cannot read");
        })
    }

    fn start(
        self: &Arc<Self>,
        state: &mut State,
        number: u64,
        message: Message,
        trail: Option<Box<Trail>>,
    ) -> Delivery {
        let delivery = Delivery::new(Arc::clone(self), number, message, trail);
        state.running += 1;
        state.running_bytes += delivery.size();
        delivery
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

    /// A delivery ended; `finished` says that its outcome is durable.
    pub(super) fn end(&self, number: u64, size: usize, finished: bool) {
        let mut state = self.state.lock();
        let had_room = state.has_room();
        state.running -= 1;
        state.running_bytes -= size;
        if finished {
            state.tracker.finish(number);
        } else if !self.cut_off.is_cancelled() {
            // A bug: nothing else drops a delivery. It must be seen, since nothing behind this
            // message is committed until somebody reads the partition anew.
            self.lane.health.fail();
            tracing::error!(
                topic = self.topic,
                partition = self.index,
                "a message ended without an outcome; its partition stands still until the host is restarted"
            );
        }
        let wake = !had_room && state.has_room() && !state.closed;
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

    /// Takes nothing more; what is not due yet is given up.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.held.clear();
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
        let mut state = self.state.lock();
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

    /// The offset to commit, where it is another than the last one the broker confirmed.
    pub fn uncommitted(&self) -> Option<i64> {
        let state = self.state.lock();
        state.tracker.position().filter(|position| state.committed != Some(*position))
    }

    /// The offset of the first message that is not finished, and how many are under way. None
    /// before anything was read.
    pub fn standing(&self) -> Option<(i64, usize)> {
        let state = self.state.lock();
        Some((state.tracker.next()?, state.running))
    }

    /// How many deliveries somebody else repeats if this partition is lost now, at most.
    pub fn at_stake(&self) -> usize {
        let state = self.state.lock();
        let unconfirmed = state.tracker.position().zip(state.committed).map_or(0, |(position, committed)| {
            usize::try_from(position.saturating_sub(committed)).unwrap_or(0)
        });
        state.tracker.window() + unconfirmed
    }

    /// The broker has committed `position`.
    pub fn set_committed(&self, position: i64) {
        self.state.lock().committed = Some(position);
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.blocked == 0
            && self.tracker.window() < WINDOW
            && self.running < MAX_UNFINISHED
            && self.running_bytes < MAX_UNFINISHED_BYTES
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ms, self.number).cmp(&(other.due_ms, other.number))
    }
}
