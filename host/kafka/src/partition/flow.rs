//! Bounds what is fetched of messages with large headers.
//!
//! librdkafka limits the bytes that it has fetched and that were not read (`queued.max.messages.kbytes`), but counts keys
//! and values only. Of messages with large headers it would keep 100,000 (`queued.min.messages`).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Partition;
use super::state::State;
use crate::raw::Message;

/// The size in bytes from which the headers of a message are large.
const LARGE: usize = 16 << 10;
/// The maximum size of such messages that were fetched and not read, in bytes.
const MAX_FETCHED: usize = 4 << 20;

/// A change of what is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nothing more is fetched, and what was fetched and not read is dropped.
    Pause,
    /// It is fetched again, from where reading ended.
    Resume,
}

impl State {
    /// Notes the size of the headers of a message that was read. Returns whether they are large.
    pub fn note_headers(&mut self, message: &Message) -> bool {
        let size = message.headers_size();
        // Falls slowly, since messages of both kinds may alternate.
        self.headers_size = size.max(self.headers_size - self.headers_size / 16);
        size >= LARGE
    }
}

impl Partition {
    /// The change that is needed now, if any.
    pub fn flow(&self) -> Option<Flow> {
        let mut state = self.state.lock();
        let is_large = state.headers_size >= LARGE;
        let fetched = self.queue.len().saturating_mul(state.headers_size);
        let flow = if state.is_paused {
            let may_resume = state.limit().is_none() || !is_large;
            may_resume.then_some(Flow::Resume)
        } else {
            (is_large && fetched > MAX_FETCHED).then_some(Flow::Pause)
        };
        if let Some(flow) = flow {
            state.is_paused = flow == Flow::Pause;
        }
        flow
    }

    /// Has the queue read, so that it drops what a pause has made obsolete.
    pub fn drop_fetched(self: &Arc<Self>) {
        self.waker.wake();
    }

    /// Notes the headers of a message that was read.
    pub(super) fn note_headers(&self, state: &mut State, message: &Message) {
        if state.note_headers(message) {
            self.context.has_large_headers.store(true, Relaxed);
        }
    }
}
