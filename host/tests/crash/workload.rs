//! Messages with known ends: the end of a delivery depends only on its id and attempt.

use std::ops::Range;

use testkit::{Record, Rng};

/// The number of attempts before a dead letter.
pub const ATTEMPTS: u32 = 6;

/// The action that a message requests of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Done,
    /// Done after this many milliseconds in a host call.
    Slow(u64),
    /// Fails up to and with this attempt.
    Flaky(u32),
    Hopeless,
    Rejected,
}

/// The end of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    Retried,
    Dead,
}

/// Messages with the ids 0, 1, 2, …
#[derive(Debug, Clone)]
pub struct Workload(Vec<Task>);

impl Workload {
    pub fn new(tasks: impl IntoIterator<Item = Task>) -> Self {
        Self(tasks.into_iter().collect())
    }

    /// A third fails: temporarily, permanently, or by a rejection. A fifth takes up to 600 ms, so that calls
    /// are always in flight and a run lasts several commit intervals.
    pub fn mixed(rng: &mut Rng, count: usize) -> Self {
        Self::new((0..count).map(|_| match rng.below(30) {
            0..6 => Task::Flaky(1 + rng.below(5) as u32),
            6..8 => Task::Hopeless,
            8..10 => Task::Rejected,
            10..16 => Task::Slow(1 + rng.below(600)),
            _ => Task::Done,
        }))
    }

    /// Only the first `count` messages.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.0.truncate(count);
        self
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn ids(&self) -> Range<usize> {
        0..self.0.len()
    }

    /// The end of this attempt of a message.
    pub fn end(&self, id: usize, attempt: u32) -> End {
        match self.0[id] {
            Task::Done | Task::Slow(_) => End::Done,
            Task::Flaky(until) if attempt > until => End::Done,
            Task::Rejected => End::Dead,
            Task::Flaky(_) | Task::Hopeless if attempt >= ATTEMPTS => End::Dead,
            Task::Flaky(_) | Task::Hopeless => End::Retried,
        }
    }

    /// The last attempt of a message.
    pub fn last_attempt(&self, id: usize) -> u32 {
        (1..ATTEMPTS).find(|attempt| self.end(id, *attempt) != End::Retried).unwrap_or(ATTEMPTS)
    }

    /// The records of these messages.
    pub fn records(&self, ids: Range<usize>) -> impl Iterator<Item = Record> {
        ids.map(|id| {
            let asked = match self.0[id] {
                Task::Done => r#""done""#.to_owned(),
                Task::Slow(ms) => format!(r#""sleep","ms":{ms}"#),
                Task::Flaky(until) => format!(r#""retry","until":{until}"#),
                Task::Hopeless => r#""retry""#.to_owned(),
                Task::Rejected => r#""reject""#.to_owned(),
            };
            Record::new(format!(r#"{{"id":"{id}","do":{asked}}}"#)).with_key(id.to_string())
        })
    }
}

/// The id of a message as published, retried or dead.
pub fn id_of(record: &Record) -> usize {
    let text = record.text();
    let id = text.strip_prefix(r#"{"id":""#).and_then(|rest| rest.split('"').next());
    id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("not a message of this test: {text}"))
}
