//! The state of a partition's messages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use base::throttle::Throttle;
use settings::Ordering;

use super::condition::Limit;
use super::flow::Fetching;
use super::obey::Decided;
use crate::commit_metadata::CommitMetadata;
use crate::delivery::DeliveryGuard;
use crate::key_order::KeyOrder;
use crate::memory::HeldMemory;
use crate::pending::{Now, PendingMessage};
use crate::raw::{Event, Message};
use crate::resume::{Cause, Resume};
use crate::tracker::{Position, Tracker};
use crate::window::{RetryState, Window};

/// The maximum number of messages in progress, calls and publishes together.
const MAX_IN_PROGRESS: usize = 1_000;
/// The maximum size of all messages that were read and are not finished, in bytes.
const MAX_UNFINISHED_BYTES: usize = 16 << 20;
/// The interval at which a publish that keeps failing is logged.
const PUBLISH_REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// The messages of a partition.
pub struct State {
    pub tracker: Tracker,
    /// Where reading began, without its window.
    pub resume: Resume,
    /// Since when it has been unknown where reading begins; nothing is read until then.
    pub unopened_since: Option<Instant>,
    /// The position at which reading begins, while it is unknown whether the log was cut before it, and since when.
    pub unchecked: Option<(Position, Instant)>,
    /// The window of the commit at which reading began, until reading has passed its end.
    pub committed_window: Option<Window>,
    /// A message was read although an earlier read had passed it.
    pub regressed: Option<Regression>,
    /// Messages that are not due yet, the earliest on top.
    pub delayed: BinaryHeap<Reverse<PendingMessage>>,
    /// Messages that wait to be given up.
    pub given_up: VecDeque<PendingMessage>,
    /// The decisions about messages of the partition by offset, as of `decisions_version`.
    pub decided: BTreeMap<i64, Decided>,
    pub decisions_version: u64,
    /// The offset that is committed, if it is known.
    pub committed: Option<i64>,
    /// The latest due time that was read from a retry topic.
    pub last_due: Option<Instant>,
    /// Whether a message was read after one with a later due time.
    pub is_out_of_order: bool,
    /// The order of the messages that are due.
    pub key_order: KeyOrder<PendingMessage>,
    /// The retry state of unfinished messages that are retried in place, by offset.
    pub retry_states: BTreeMap<i64, RetryState>,
    /// The number of deliveries in progress.
    pub in_progress: usize,
    /// The size of the messages that were read and are not finished.
    pub memory: HeldMemory,
    /// Why nothing has been read for a while.
    pub limited: Option<(Limit, Instant)>,
    /// What the client may fetch.
    pub fetching: Fetching,
    /// Since when the client has fetched nothing, although something may be there.
    pub unfetched_since: Option<Instant>,
    /// The reason why nothing is read that was logged.
    pub reported: Option<&'static str>,
    /// The number of failing publishes that are being retried, and since when there is one.
    pub failing_publishes: usize,
    pub blocked_since: Option<Instant>,
    /// Limits the log messages about failing publishes.
    pub publish_report: Throttle,
    pub closed: bool,
    /// When the latest timer fires.
    pub timer: Option<Instant>,
    /// The clocks when the delayed messages were last looked at.
    pub clocks: Now,
    pub commits: Commits,
}

/// Which changes the broker has confirmed.
#[derive(Default)]
pub struct Commits {
    /// The number of changes that a commit would record: one per finished message, and others.
    pub changes: u64,
    /// The commit in flight: its offset and the changes it records.
    pub sent: Option<(i64, u64)>,
    /// The number of changes that the broker has confirmed.
    pub confirmed: u64,
    /// Whether the broker refuses metadata of this length, so that only offsets are committed.
    pub offsets_only: bool,
}

/// The meaning of a message that was read although an earlier read had passed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regression {
    /// The client has fetched a record again, unless the topic was created again.
    Repeated,
    /// The log was cut at the message, or the topic was created again.
    Cut(Position),
}

/// The progress of a partition.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The offset of the first unfinished message.
    pub next: i64,
    /// The number of deliveries in progress.
    pub in_progress: usize,
}

impl State {
    /// A partition that is read from there on or, without `resume`, not yet.
    pub fn new(resume: Option<Resume>, ordering: Ordering, memory: HeldMemory) -> Self {
        let unopened_since = resume.is_none().then(Instant::now);
        let mut resume = resume.unwrap_or_else(|| Resume::again(None, 0, Cause::Committed));
        let committed_window = resume.window.take();
        // Unless it is committed, a later start would begin elsewhere.
        let changes = u64::from(resume.cause != Cause::Committed);
        let committed = (resume.cause == Cause::Committed).then_some(resume.position.offset);
        // At the first offset there is nothing before it.
        let unchecked = Some(resume.position).filter(|at| at.offset > 0 && at.epoch.is_some());
        let unchecked = unchecked.map(|at| (at, Instant::now()));
        Self {
            tracker: Tracker::default(),
            resume,
            unopened_since,
            unchecked,
            committed_window,
            regressed: None,
            delayed: BinaryHeap::new(),
            given_up: VecDeque::new(),
            decided: BTreeMap::new(),
            decisions_version: 0,
            committed,
            last_due: None,
            is_out_of_order: false,
            key_order: KeyOrder::new(ordering),
            retry_states: BTreeMap::new(),
            in_progress: 0,
            memory,
            limited: None,
            fetching: Fetching::default(),
            unfetched_since: None,
            reported: None,
            failing_publishes: 0,
            blocked_since: None,
            publish_report: Throttle::new(PUBLISH_REPORT_INTERVAL),
            closed: false,
            timer: None,
            clocks: Now::read(),
            commits: Commits { changes, ..Commits::default() },
        }
    }

    /// Whether another delivery may start.
    pub fn may_start(&self) -> bool {
        self.failing_publishes == 0 && self.in_progress < MAX_IN_PROGRESS
    }

    /// The number of messages that may still be read.
    pub fn capacity(&self) -> usize {
        if self.limit().is_some() { 0 } else { self.key_order.capacity() }
    }

    /// Messages wait by the monotonic clock. If the wall clock was set forward, they wait for what is left by it; if it
    /// was set back, nothing changes for them.
    pub fn follow_clock(&mut self, now: Now) {
        let before = std::mem::replace(&mut self.clocks, now);
        if !now.is_set_forward_since(before) {
            return;
        }
        self.delayed = std::mem::take(&mut self.delayed)
            .into_iter()
            .map(|Reverse(mut message)| {
                let first_failed_ms = message.retry_info.as_ref().and_then(|info| info.first_failed_ms);
                message.due = message.due.min(now.due(message.due_ms, first_failed_ms));
                Reverse(message)
            })
            .collect();
    }

    /// Why no message may be read.
    pub fn limit(&self) -> Option<Limit> {
        if self.tracker.is_full() {
            return Some(Limit::Unfinished);
        }
        if self.memory.bytes() >= MAX_UNFINISHED_BYTES || !self.memory.may_grow() {
            return Some(Limit::Memory);
        }
        (self.key_order.capacity() == 0).then(|| self.key_order.limit())
    }

    /// Records an event that was read. Returns a message that is not finished yet with its delivery number.
    pub fn register(&mut self, event: Event) -> Option<(u64, Message)> {
        let message = match event {
            Event::Message(message) => message,
            Event::End(offset) => {
                self.commits.changes +=
                    u64::from(offset > self.resume.position.offset && self.tracker.reach(offset));
                return None;
            }
        };
        let (offset, epoch) = (message.offset(), message.leader_epoch());
        if offset < self.expected() {
            self.regress(Position { offset, epoch });
            return None;
        }
        // What follows is read again, from the offset at which the log was cut.
        if matches!(self.regressed, Some(Regression::Cut(_))) {
            return None;
        }
        let number = self.tracker.deliver(offset, epoch);
        self.committed_window.take_if(|window| window.is_older_than(epoch));
        if self.committed_window.as_ref().is_some_and(|window| offset >= window.end) {
            self.committed_window = None;
        }
        if self.committed_window.as_ref().is_some_and(|window| window.is_finished(offset)) {
            self.tracker.finish(number);
            self.commits.changes += 1;
            return None;
        }
        self.memory.add(message.size());
        Some((number, message))
    }

    fn regress(&mut self, to: Position) {
        let last = self.tracker.end().and_then(|end| end.epoch);
        // Without topic ids, the epoch may be that of another topic.
        let is_same = self.resume.topic.is_some()
            && matches!((to.epoch, last), (Some(again), Some(last)) if again <= last);
        match &mut self.regressed {
            regressed if !is_same => {
                let cut = match *regressed {
                    Some(Regression::Cut(cut)) if cut.offset <= to.offset => cut,
                    _ => to,
                };
                *regressed = Some(Regression::Cut(cut));
            }
            regressed => {
                regressed.get_or_insert(Regression::Repeated);
            }
        }
    }

    /// Where reading goes on after the log was cut: at the first unfinished message that is left.
    pub fn resume_at_cut(&self, cut: Position) -> Resume {
        let next = self.position();
        Resume {
            topic: self.resume.topic,
            initial_partitions: self.resume.initial_partitions,
            position: if next.offset < cut.offset { next } else { cut },
            window: Some(self.window().before(cut.offset)),
            cause: Cause::Truncated,
        }
    }

    /// The offset after the last one that was read.
    pub fn expected(&self) -> i64 {
        self.tracker.end().map_or(self.resume.position.offset, |end| end.offset)
    }

    /// The number of unfinished messages before `offset` that were not read.
    pub fn unread_before(&self, offset: i64) -> i64 {
        let expected = self.expected();
        let unread = (offset - expected).max(0);
        self.committed_window.as_ref().map_or(unread, |window| window.unfinished_between(expected, offset))
    }

    /// The retry state of the message at this offset from before the partition was assigned.
    pub fn restore_retry_state(&mut self, offset: i64) -> Option<RetryState> {
        let retry_state = self.committed_window.as_ref()?.retry_state(offset)?;
        self.retry_states.insert(offset, retry_state);
        Some(retry_state)
    }

    /// A delivery has finished.
    pub fn finish(&mut self, guard: &DeliveryGuard) {
        self.memory.release(guard.size);
        self.tracker.finish(guard.number);
        self.key_order.finish(guard.key);
        self.retry_states.remove(&guard.offset);
        self.commits.changes += 1;
    }

    /// Finishes a message of another group without processing it.
    pub fn skip(&mut self, number: u64, message: &Message) {
        self.memory.release(message.size());
        self.tracker.finish(number);
        self.commits.changes += 1;
    }

    /// The partition's progress.
    pub fn progress(&self) -> Progress {
        Progress { next: self.position().offset, in_progress: self.in_progress }
    }

    fn position(&self) -> Position {
        self.tracker.next().unwrap_or(self.resume.position)
    }

    /// The position to commit with its metadata. None if the broker has confirmed everything.
    pub fn uncommitted(&mut self) -> Option<(Position, String)> {
        // In another log, the positions of this one mean other messages.
        if self.commits.unconfirmed() == 0 || self.regressed.is_some() {
            return None;
        }
        let position = self.position();
        let metadata = CommitMetadata {
            topic: self.resume.topic,
            initial_partitions: self.resume.initial_partitions,
            window: (!self.commits.offsets_only).then(|| self.window()),
        };
        self.commits.sent = Some((position.offset, self.commits.changes));
        Some((position, metadata.encode(position.offset)))
    }

    /// The window of a commit.
    fn window(&self) -> Window {
        let with_state = |offset: i64| (offset, self.retry_states.get(&offset).copied());
        let mut unfinished: BTreeMap<_, _> = self.tracker.unfinished_offsets().map(with_state).collect();
        let (mut end, mut epoch) = (self.expected(), self.tracker.end().and_then(|end| end.epoch));
        // The committed window still applies to offsets that have not been read again yet.
        if let Some(committed) = self.committed_window.as_ref().filter(|window| window.end > end) {
            unfinished.extend(committed.unfinished.range(end..).map(|(offset, state)| (*offset, *state)));
            (end, epoch) = (committed.end, committed.epoch);
        }
        let start = self.position().offset;
        Window { start, end, unfinished, epoch }
    }
}

impl Commits {
    /// The number of changes that the broker has not confirmed.
    pub fn unconfirmed(&self) -> usize {
        usize::try_from(self.changes.saturating_sub(self.confirmed)).unwrap_or(usize::MAX)
    }

    /// The broker has committed `position`.
    pub fn confirm(&mut self, position: i64) {
        if let Some((_, changes)) = self.sent.take_if(|(sent, _)| *sent == position) {
            self.confirmed = changes;
        }
    }
}
