//! Starting deliveries: reading messages, ordering them by key, and delaying them until they are due.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Partition;
use super::state::{Regression, State};
use crate::delivery::{Delivery, DeliveryGuard};
use crate::headers::RetryInfo;
use crate::key_order;
use crate::metrics;
use crate::pending::{Now, PendingMessage};
use crate::raw::{Event, Message};

/// The maximum number of messages of a retry topic that are read before they are due, so that a late one does
/// not delay those behind it.
const LOOK_AHEAD: usize = 256;
/// The same limit after a message was found behind others with later due times, as plugins may choose delays
/// and a policy may have jitter. Less than the tracker's window.
const FAR_LOOK_AHEAD: usize = 8192;
/// Messages that fail concurrently are published in any order, so that due times within this span count as
/// ordered.
const ORDER_TOLERANCE: Duration = Duration::from_secs(1);
/// The longest sleep while a message waits. The wall clock may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(5);
/// The number of messages that are read at once before their size is checked again.
const READ_BATCH: usize = 32;

impl Partition {
    /// Starts up to `max` deliveries, appended to `batch`.
    pub fn take(self: &Arc<Self>, max: usize, batch: &mut Vec<Delivery>) {
        self.waker.rearm();
        let mut state = self.state.lock();
        if !self.is_readable(&state) || !state.may_start() {
            return;
        }
        if self.context.is_retry {
            self.obey(&mut state);
            self.look_ahead(&mut state);
        }
        self.take_due(&mut state, max, batch);
        let more = if self.context.is_retry {
            // More messages may be due, and those that were taken made room in the look-ahead.
            !batch.is_empty() || !state.given_up.is_empty()
        } else {
            self.take_next(&mut state, max, batch)
        };
        if more {
            self.waker.wake();
        }
    }

    /// Whether messages may be read.
    pub(super) fn is_readable(&self, state: &State) -> bool {
        !state.closed
            && state.unopened_since.is_none()
            && state.unchecked.is_none()
            && !matches!(state.regressed, Some(Regression::Cut(_)))
    }

    /// Starts ready messages, then newly read ones. Returns whether there may be more.
    fn take_next(self: &Arc<Self>, state: &mut State, max: usize, batch: &mut Vec<Delivery>) -> bool {
        while batch.len() < max {
            let Some(next) = state.key_order.pop_ready() else { break };
            self.start_or_delay(state, next, batch);
        }
        let free = max - batch.len();
        state.note_limit();
        let wanted = free.min(state.capacity());
        let mut events = Vec::with_capacity(wanted);
        let count = self.read(state, wanted, &mut events);
        let now = Now::read();
        for event in events {
            let Some((number, message)) = self.register(state, event) else { continue };
            let key = key_order::order_key(self.context.ordering, message.key());
            let retry_state = state.restore_retry_state(message.offset());
            let due_ms = retry_state.map(|retry| retry.due_ms);
            let due = now.due(due_ms, retry_state.map(|retry| retry.first_failed_ms));
            let retry_info = retry_state.map(RetryInfo::in_place);
            let message = PendingMessage { due, due_ms, number, message, retry_info, key };
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
        let now = Now::read();
        state.follow_clock(now);
        while batch.len() < max && state.may_start() {
            let Some(Reverse(next)) = state.delayed.peek() else { break };
            if next.due > now.instant {
                let due = next.due;
                self.wake_at(state, due);
                break;
            }
            if let Some(Reverse(next)) = state.delayed.pop() {
                batch.push(self.start(state, next));
            }
        }
    }

    /// Fills the look-ahead of a retry topic. Messages of other groups are skipped.
    pub(super) fn look_ahead(self: &Arc<Self>, state: &mut State) {
        let mut events = Vec::new();
        state.note_limit();
        loop {
            let limit = if state.is_out_of_order { FAR_LOOK_AHEAD } else { LOOK_AHEAD };
            let wanted = limit
                .saturating_sub(state.delayed.len() + state.given_up.len())
                .min(READ_BATCH)
                .min(state.capacity());
            if wanted == 0 || self.read(state, wanted, &mut events) == 0 {
                break;
            }
            let now = Now::read();
            for event in events.drain(..) {
                let Some((number, message)) = self.register(state, event) else { continue };
                let retry_info = Box::new(RetryInfo::read(message.headers()));
                if retry_info.group.as_deref().is_some_and(|group| group != self.context.group.as_bytes()) {
                    state.skip(number, &message);
                    continue;
                }
                let due_ms = retry_info.due_ms;
                let due = now.due(due_ms, retry_info.first_failed_ms);
                state.is_out_of_order |= state.last_due.is_some_and(|last| due + ORDER_TOLERANCE < last);
                state.last_due = state.last_due.max(Some(due));
                let retry_info = Some(retry_info);
                // What waits must not keep all that was fetched with it.
                let message =
                    if due > now.instant || !state.decided.is_empty() { message.detached() } else { message };
                let message = PendingMessage { due, due_ms, number, message, retry_info, key: None };
                self.hold(state, message, now);
            }
        }
    }

    /// Records an event that was read. Returns a message that is not finished yet with its delivery number.
    fn register(&self, state: &mut State, event: Event) -> Option<(u64, Message)> {
        if let Event::Message(message) = &event {
            self.note_headers(state, message);
            if message.offset() > state.expected() {
                self.check_expired(state, message.offset());
            }
        }
        let registered = state.register(event);
        if state.regressed.is_some() {
            self.context.has_regressed.store(true, Relaxed);
        }
        registered
    }

    /// Offsets were skipped: by compaction, by transactions, or because messages were removed from the log before they
    /// were read.
    fn check_expired(&self, state: &State, offset: i64) {
        let first = self.source.known_first().unwrap_or(0).min(offset);
        let expired = state.unread_before(first);
        if expired > 0 {
            self.report_expired(expired);
        }
    }

    /// Messages were removed from the log before they were handled.
    pub fn report_expired(&self, count: i64) {
        let (group, topic, partition) = (&*self.context.group, &*self.topic, self.index);
        metrics::expired(group, topic, count.unsigned_abs());
        tracing::error!(
            group,
            topic,
            partition,
            count,
            help = format!("raise retention.ms and retention.bytes of topic {topic} above the longest wait"),
            "messages were removed from the log before they were handled"
        );
    }

    fn start_or_delay(
        self: &Arc<Self>,
        state: &mut State,
        message: PendingMessage,
        batch: &mut Vec<Delivery>,
    ) {
        if message.due_ms.is_some() && message.due > Instant::now() {
            self.wake_at(state, message.due);
            let message = PendingMessage { message: message.message.detached(), ..message };
            state.delayed.push(Reverse(message));
        } else {
            batch.push(self.start(state, message));
        }
    }

    pub(super) fn start(self: &Arc<Self>, state: &mut State, pending: PendingMessage) -> Delivery {
        let PendingMessage { number, message, retry_info, key, .. } = pending;
        state.in_progress += 1;
        let held_keys = self.context.held_keys.as_ref();
        let follows_dead_letter = held_keys.zip(key).is_some_and(|(held, key)| {
            let timestamp_ms = message.timestamp().map(|(millis, _)| millis);
            held.holds(key, self.index, message.offset(), timestamp_ms)
        });
        let guard = DeliveryGuard::new(Arc::clone(self), number, message.offset(), message.size(), key);
        let given_up = Self::giving_up(state, message.offset());
        Delivery::new(message, retry_info, follows_dead_letter, given_up, guard)
    }

    /// Wakes the partition when a message is due, or earlier to look at the clocks, unless a timer does it before.
    fn wake_at(&self, state: &mut State, due: Instant) {
        let at = due.min(Instant::now() + MAX_SLEEP);
        if state.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        state.timer = Some(at);
        let waker = Arc::clone(&self.waker);
        self.context.runtime.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            let Some(partition) = waker.partition() else { return };
            // A timer that was replaced by an earlier one does nothing.
            if partition.state.lock().timer.take_if(|timer| *timer == at).is_some() {
                waker.wake();
            }
        });
    }
}
