//! What is known of the messages that wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;

use super::Scan;
use crate::decisions::message_id;
use crate::headers::{self, DeadLetterInfo, Origin, RetryInfo};
use crate::pending::MAX_DELAY;
use crate::raw::{Message, TopicId};
use crate::resume::Resume;
use crate::window::Window;

/// The maximum number of messages that are kept.
const MAX_MESSAGES: usize = 200_000;
/// The maximum lengths of texts that are kept, in bytes.
const MAX_CODE: usize = 64;
const MAX_DETAIL: usize = 160;
const MAX_KEY: usize = 64;

/// A message that waits in a retry topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRetry {
    /// The message's id; of a long one the first 256 bytes.
    pub id: Box<str>,
    /// The message's key; of a long one the first 64 bytes.
    pub key: Option<Box<[u8]>>,
    /// The code of its latest failure; if Spring wrote it, the class of the cause.
    pub code: Arc<str>,
    /// The description of that failure; of a long one the first 160 bytes.
    pub detail: Arc<str>,
    /// The number of its next delivery.
    pub attempt: u32,
    /// When it is due, in milliseconds since the Unix epoch; 0 for at once.
    pub due_ms: i64,
    /// The time of its first failure in milliseconds since the Unix epoch; only this host writes it.
    pub first_failed_ms: Option<i64>,
}

/// A partition of a retry topic: the number of the topic, and that of the partition.
pub type Place = (usize, i32);

/// All that is known.
#[derive(Default)]
pub struct Index {
    logs: BTreeMap<Place, Log>,
    count: usize,
    as_of_ms: Option<i64>,
    read_at: Option<Instant>,
    problem: Option<String>,
}

/// The messages of a partition.
struct Log {
    topic: Option<TopicId>,
    /// The committed offset, from which on messages are known.
    from: i64,
    /// Which of the messages behind it are finished.
    window: Option<Window>,
    /// The offset of the next message to read.
    next: i64,
    /// The end of the log.
    end: i64,
    messages: BTreeMap<i64, WaitingRetry>,
}

impl Index {
    /// How far the messages are known.
    pub fn scan(&self) -> Scan {
        let unread = self.logs.values().map(|log| (log.end - log.next).max(0).unsigned_abs()).sum();
        Scan { as_of_ms: self.as_of_ms, unread, problem: self.problem.clone() }
    }

    /// Whether everything was read less than this time ago.
    pub fn is_younger_than(&self, age: Duration) -> bool {
        let is_young = self.read_at.is_some_and(|at| at.elapsed() < age);
        is_young && self.problem.is_none() && (self.is_full() || self.scan().unread == 0)
    }

    /// A round of reading has ended.
    pub fn is_read(&mut self, now_ms: i64) {
        (self.as_of_ms, self.read_at, self.problem) = (Some(now_ms), Some(Instant::now()), None);
    }

    /// A round of reading has failed.
    pub fn fail(&mut self, problem: String) {
        self.problem = Some(problem);
    }

    /// Drops what is finished. Returns the partitions with messages that were not read, and their next offset.
    pub fn follow(&mut self, located: impl Iterator<Item = (Place, Resume, i64)>) -> Vec<(Place, i64)> {
        let mut former = std::mem::take(&mut self.logs);
        for (place, resume, end) in located {
            let from = resume.position.offset;
            let same = former.remove(&place).filter(|log| log.topic == resume.topic && log.from <= from);
            let mut log = same.unwrap_or_else(|| Log::new(resume.topic, from));
            log.follow(from, resume.window, end);
            self.logs.insert(place, log);
        }
        self.count = self.logs.values().map(|log| log.messages.len()).sum();
        if self.is_full() {
            return Vec::new();
        }
        let behind = self.logs.iter().filter(|(_, log)| log.next < log.end);
        behind.map(|(place, log)| (*place, log.next)).collect()
    }

    /// Whether no more messages are kept.
    pub fn is_full(&self) -> bool {
        self.count >= MAX_MESSAGES
    }

    /// A message was read. `group` is the one whose retries count.
    pub fn add(&mut self, place: Place, topic: &str, group: &str, message: &Message) {
        let Some(log) = self.logs.get_mut(&place) else { return };
        let offset = message.offset();
        log.next = log.next.max(offset + 1);
        let is_finished = log.window.as_ref().is_some_and(|window| window.is_finished(offset));
        if offset < log.from || is_finished {
            return;
        }
        let last = log.messages.last_key_value().map(|(_, last)| last);
        if let Some(retry) = WaitingRetry::read(topic, place.1, group, message, last) {
            self.count += usize::from(log.messages.insert(offset, retry).is_none());
        }
    }

    /// The end of a partition was reached.
    pub fn reach(&mut self, place: Place, end: i64) {
        if let Some(log) = self.logs.get_mut(&place) {
            log.next = log.next.max(end);
        }
    }

    /// Whether a partition was read to its end.
    pub fn is_at_end(&self, place: Place) -> bool {
        self.logs.get(&place).is_none_or(|log| log.next >= log.end)
    }

    /// Looks at each message.
    pub fn each(&self, look: &mut dyn FnMut(usize, i32, i64, &WaitingRetry)) {
        for ((topic, partition), log) in &self.logs {
            log.messages.iter().for_each(|(offset, retry)| look(*topic, *partition, *offset, retry));
        }
    }
}

impl Log {
    fn new(topic: Option<TopicId>, from: i64) -> Self {
        Self { topic, from, window: None, next: from, end: from, messages: BTreeMap::new() }
    }

    fn follow(&mut self, from: i64, window: Option<Window>, end: i64) {
        self.messages = self.messages.split_off(&from);
        if let Some(window) = &window {
            self.messages.retain(|offset, _| !window.is_finished(*offset));
        }
        (self.from, self.window, self.next, self.end) = (from, window, self.next.max(from), end);
    }
}

impl WaitingRetry {
    /// Reads a record of a retry topic; `last` is the one before it. None if it belongs to another group.
    fn read(
        topic: &str,
        partition: i32,
        group: &str,
        message: &Message,
        last: Option<&Self>,
    ) -> Option<Self> {
        let info = RetryInfo::read(message.headers());
        if info.group.as_deref().is_some_and(|of| of != group.as_bytes()) {
            return None;
        }
        let here = Origin { topic, partition, offset: message.offset(), timestamp: message.timestamp() };
        let own = message.headers().enumerate().filter(|(index, _)| !info.owns(*index));
        let id = headers::id(own.map(|(_, header)| header), &info.origin(&here));
        let failure = DeadLetterInfo::read(message.headers());
        let code = cut(failure.code.or(failure.cause).unwrap_or_default(), MAX_CODE);
        let detail = cut(failure.detail.unwrap_or_default(), MAX_DETAIL);
        let key = message.key().map(|key| key.iter().take(MAX_KEY).copied().collect());
        let latest_ms = clock::now_ms().saturating_add(clock::millis(MAX_DELAY));
        Some(Self {
            id: message_id(&id).into(),
            key,
            code: shared(code, last.map(|last| &last.code)),
            detail: shared(detail, last.map(|last| &last.detail)),
            attempt: info.attempt,
            due_ms: info.due_ms.filter(|due_ms| (0..=latest_ms).contains(due_ms)).unwrap_or(0),
            first_failed_ms: info.first_failed_ms,
        })
    }
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Most messages of an outage have failed alike.
fn shared(text: &str, last: Option<&Arc<str>>) -> Arc<str> {
    last.filter(|last| ***last == *text).cloned().unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::Cause;
    use crate::tracker::Position;

    const PLACE: Place = (0, 0);

    fn resume(offset: i64, topic: u128) -> Resume {
        Resume {
            topic: Some(TopicId(topic)),
            initial_partitions: 1,
            position: Position { offset, epoch: None },
            window: None,
            cause: Cause::Committed,
        }
    }

    fn follow(index: &mut Index, resume: Resume, end: i64) -> Vec<(Place, i64)> {
        index.follow([(PLACE, resume, end)].into_iter())
    }

    fn offsets(index: &Index) -> Vec<i64> {
        let mut offsets = Vec::new();
        index.each(&mut |_, _, offset, _| offsets.push(offset));
        offsets
    }

    fn read(index: &mut Index, mut offsets: impl Iterator<Item = i64>) {
        let add = |offset| index.add(PLACE, "t-retry", "g", &Message::simulated(offset, 0, b"k", b"v"));
        offsets.by_ref().for_each(add);
    }

    #[test]
    fn messages_are_known_until_they_are_finished() {
        let mut index = Index::default();
        assert_eq!(follow(&mut index, resume(3, 1), 8), [(PLACE, 3)]);
        read(&mut index, 3..6);
        assert_eq!((offsets(&index), index.scan().unread, index.is_at_end(PLACE)), (vec![3, 4, 5], 2, false));
        let window = Window { start: 4, end: 6, unfinished: BTreeMap::from([(4, None)]), epoch: None };
        let with_window = Resume { window: Some(window), ..resume(4, 1) };
        assert_eq!(follow(&mut index, with_window.clone(), 8), [(PLACE, 6)]);
        assert_eq!(offsets(&index), [4]);
        read(&mut index, 6..8);
        assert_eq!((offsets(&index), index.scan().unread, index.is_at_end(PLACE)), (vec![4, 6, 7], 0, true));
        assert!(follow(&mut index, with_window, 8).is_empty());
    }

    #[test]
    fn another_log_is_read_from_its_committed_offset() {
        let mut index = Index::default();
        follow(&mut index, resume(3, 1), 8);
        read(&mut index, 3..8);
        assert_eq!(follow(&mut index, resume(3, 2), 5), [(PLACE, 3)], "created again");
        read(&mut index, 3..5);
        assert_eq!(follow(&mut index, resume(1, 2), 5), [(PLACE, 1)], "offsets were reset");
        assert!(offsets(&index).is_empty());
        index.follow(std::iter::empty());
        assert_eq!(index.scan().unread, 0, "deleted");
    }

    #[test]
    fn a_record_without_headers_is_due_at_once() {
        let message = Message::simulated(7, 0, &[0xff; 100], b"v");
        let retry = WaitingRetry::read("t-retry", 2, "g", &message, None).expect("a message");
        assert_eq!((retry.due_ms, retry.attempt, &*retry.code), (0, 1, ""));
        assert!(retry.id.starts_with("t-retry/2/7/"), "{}", retry.id);
        assert_eq!(retry.key.map(|key| key.len()), Some(MAX_KEY));
    }
}
