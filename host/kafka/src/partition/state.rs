//! What a partition knows of its messages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Instant;

use settings::Ordering;

use crate::delivery::Claim;
use crate::order::Turns;
use crate::raw::{Event, Message};
use crate::tracker::Tracker;
use crate::waiting::Waiting;
use crate::window::{Past, Window};

/// How many deliveries may lie behind the first unfinished one.
const WINDOW: usize = 10_000;
/// How many messages may be under way, calls and publishes together.
const MAX_UNFINISHED: usize = 1_000;
/// How many bytes the messages that were read and are not finished may hold.
const MAX_UNFINISHED_BYTES: usize = 16 << 20;

/// The messages of a partition.
pub struct State {
    pub tracker: Tracker,
    /// What was committed beside the offset that reading began at, until reading has passed it.
    pub before: Option<Window>,
    /// Not due yet; the next one on top.
    pub held: BinaryHeap<Reverse<Waiting>>,
    /// The latest due time that was read from a retry topic, in milliseconds since the Unix epoch.
    pub last_due_ms: i64,
    /// Whether one stood behind others that are due later.
    pub disordered: bool,
    /// Who waits for whom, where messages are ordered.
    pub turns: Turns<Waiting>,
    /// Unfinished messages that failed before, by offset, where they are tried again in place.
    pub pasts: BTreeMap<i64, Past>,
    /// Deliveries that somebody works on.
    pub running: usize,
    /// Bytes of what was read and is not finished.
    pub bytes: usize,
    /// Publishes that failed and are tried again.
    pub blocked: usize,
    /// When it was last said that they fail.
    pub reported: Option<Instant>,
    pub closed: bool,
    /// When the timer that was set last goes off, in milliseconds since the Unix epoch.
    pub timer_ms: Option<i64>,
    pub commits: Commits,
}

/// What the broker has been told of the changes so far.
#[derive(Default)]
pub struct Commits {
    /// What happened that a commit would tell; one for each finished message and more.
    pub changes: u64,
    /// The changes that the commit on its way tells of, with its offset.
    pub sent: Option<(i64, u64)>,
    /// The changes that the broker has confirmed.
    pub confirmed: u64,
    /// The broker takes no metadata of this length.
    pub plain: bool,
}

/// How far a partition is.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The offset of the first message that is not finished.
    pub next: i64,
    /// How many are under way.
    pub running: usize,
}

impl State {
    pub fn new(before: Option<Window>, ordering: Ordering) -> Self {
        let mut turns = Turns::new(ordering);
        let held = before.iter().flat_map(|window| &window.held_keys).copied();
        // What was held in order stays held only in order.
        turns.hold(held.filter(|_| ordering.is_in_place()));
        Self {
            tracker: Tracker::default(),
            before,
            held: BinaryHeap::new(),
            last_due_ms: 0,
            disordered: false,
            turns,
            pasts: BTreeMap::new(),
            running: 0,
            bytes: 0,
            blocked: 0,
            reported: None,
            closed: false,
            timer_ms: None,
            commits: Commits::default(),
        }
    }

    pub fn may_start(&self) -> bool {
        self.blocked == 0 && self.running < MAX_UNFINISHED
    }

    /// How many more messages may be read.
    pub fn room(&self) -> usize {
        if self.tracker.window() >= WINDOW || self.bytes >= MAX_UNFINISHED_BYTES {
            return 0;
        }
        self.turns.room()
    }

    /// Takes note of what was read. A message that is not finished yet is given back with the
    /// number of its delivery.
    pub fn note(&mut self, event: Event) -> Option<(u64, Message)> {
        let message = match event {
            Event::Message(message) => message,
            Event::End(offset) => {
                self.commits.changes += u64::from(self.tracker.reach(offset));
                return None;
            }
        };
        let offset = message.offset();
        let number = self.tracker.deliver(offset);
        if self.before.as_ref().is_some_and(|before| offset >= before.end) {
            self.before = None;
        }
        if self.before.as_ref().is_some_and(|before| before.is_finished(offset)) {
            self.tracker.finish(number);
            self.commits.changes += 1;
            return None;
        }
        self.bytes += message.size();
        Some((number, message))
    }

    /// How far the message at this offset had come before this partition was assigned.
    pub fn past(&mut self, offset: i64) -> Option<Past> {
        let past = self.before.as_ref()?.past(offset)?;
        self.pasts.insert(offset, past);
        Some(past)
    }

    pub fn finish(&mut self, claim: &Claim) {
        self.bytes -= claim.size;
        self.tracker.finish(claim.number);
        self.turns.finish(claim.key);
        self.pasts.remove(&claim.offset);
        self.commits.changes += 1;
    }

    /// A message that is somebody else's is finished unprocessed.
    pub fn pass_over(&mut self, number: u64, message: &Message) {
        self.bytes -= message.size();
        self.tracker.finish(number);
        self.commits.changes += 1;
    }

    /// How far the partition is. None before anything was read.
    pub fn standing(&self) -> Option<Standing> {
        Some(Standing { next: self.tracker.next()?, running: self.running })
    }

    /// The offset to commit and what to commit beside it, where the broker has not confirmed it yet.
    pub fn uncommitted(&mut self) -> Option<(i64, String)> {
        if self.commits.unconfirmed() == 0 {
            return None;
        }
        let position = self.tracker.next()?;
        let window = if self.commits.plain { String::new() } else { self.window().encode(position) };
        self.commits.sent = Some((position, self.commits.changes));
        Some((position, window))
    }

    /// What a commit tells beside its offset.
    fn window(&self) -> Window {
        let past = |offset: i64| (offset, self.pasts.get(&offset).copied());
        let mut unfinished: BTreeMap<_, _> = self.tracker.unfinished_offsets().map(past).collect();
        let mut end = self.tracker.end().unwrap_or(0);
        // What was committed before and has not been read again yet still holds.
        if let Some(before) = self.before.as_ref().filter(|before| before.end > end) {
            unfinished.extend(before.unfinished.range(end..).map(|(offset, past)| (*offset, *past)));
            end = before.end;
        }
        Window { end, unfinished, held_keys: self.turns.held().clone() }
    }
}

impl Commits {
    /// The changes that the broker has not confirmed.
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
