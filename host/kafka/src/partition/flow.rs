//! Bounds what is fetched of messages with large headers.
//!
//! librdkafka limits the bytes that it has fetched and that were not read (`queued.max.messages.kbytes`), but counts keys
//! and values only. Of messages with large headers it would keep 100,000 (`queued.min.messages`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Partition;
use super::state::State;
use crate::raw::{Event, Message};

/// The size in bytes from which the headers of a message are large.
const LARGE: usize = 16 << 10;
/// The size of such messages that were fetched and not read from which fetching pauses, in bytes.
const MAX_FETCHED: usize = 4 << 20;
/// The size from which it goes on, early enough that no handler waits for the next messages.
const MIN_FETCHED: usize = 1 << 20;

/// A change of what is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nothing more is fetched.
    Pause,
    /// It is fetched again, from where reading ended.
    Resume,
}

/// What the client may fetch.
#[derive(Default)]
pub struct Fetching {
    /// The size of the headers of recent messages, in bytes.
    headers_size: usize,
    is_paused: bool,
    /// What had been fetched when fetching paused: a pause drops what the client has not given away.
    ahead: VecDeque<Event>,
}

impl Fetching {
    /// Notes the size of the headers of a message that was read. Returns whether they are large.
    pub fn note_headers(&mut self, message: &Message) -> bool {
        let size = message.headers_size();
        // Falls slowly, since messages of both kinds may alternate.
        self.headers_size = size.max(self.headers_size - self.headers_size / 16);
        size >= LARGE
    }

    /// Whether nothing is fetched.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Drops what was fetched.
    pub fn clear(&mut self) {
        self.ahead.clear();
    }

    fn size(&self, count: usize) -> usize {
        if self.headers_size < LARGE { 0 } else { count.saturating_mul(self.headers_size) }
    }
}

impl Partition {
    /// The change that is needed now, if any. A partition that is not paused must not be resumed: the client would drop
    /// what it has fetched, and go on after it.
    pub fn flow(self: &Arc<Self>) -> Option<Flow> {
        let mut state = self.state.lock();
        let fetching = &state.fetching;
        let flow = if fetching.is_paused {
            (fetching.size(fetching.ahead.len()) < MIN_FETCHED).then_some(Flow::Resume)
        } else {
            let fetched = fetching.size(self.source.fetched() + fetching.ahead.len());
            (fetched > MAX_FETCHED && !state.closed).then_some(Flow::Pause)
        };
        if flow == Some(Flow::Pause) {
            let mut events = Vec::new();
            self.read_queue(usize::MAX, &mut events);
            state.fetching.ahead.extend(events);
        }
        if let Some(flow) = flow {
            state.fetching.is_paused = flow == Flow::Pause;
        }
        flow
    }

    /// Whether it is paused, and counts as resumed from now on. The client keeps a pause over rebalances.
    pub fn end_pause(&self) -> bool {
        std::mem::take(&mut self.state.lock().fetching.is_paused)
    }

    /// Reads up to `max` events. Fewer mean that there are no more.
    pub(super) fn read(&self, state: &mut State, max: usize, events: &mut Vec<Event>) -> usize {
        let ahead = &mut state.fetching.ahead;
        let count = ahead.len().min(max);
        events.extend(ahead.drain(..count));
        count + self.read_queue(max - count, events)
    }

    fn read_queue(&self, max: usize, events: &mut Vec<Event>) -> usize {
        self.source.read(max, events, &mut |error| {
            tracing::warn!(topic = &*self.topic, partition = self.index, %error, "cannot read");
        })
    }

    /// Notes the headers of a message that was read.
    pub(super) fn note_headers(&self, state: &mut State, message: &Message) {
        if state.fetching.note_headers(message) {
            self.context.has_large_headers.store(true, Relaxed);
        }
    }
}
