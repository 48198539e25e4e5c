//! A message that waits for its time or its turn.

use std::cmp::Ordering;

use super::headers::Trail;
use super::raw::Message;

/// A message that was read and is not under way. The earliest comes first.
pub struct Waiting {
    /// When it is due, in milliseconds since the Unix epoch; 0 is at once.
    pub due_ms: i64,
    /// The number of its delivery in its partition.
    pub number: u64,
    /// The record.
    pub message: Message,
    /// Its past, where it has one.
    pub trail: Option<Box<Trail>>,
    /// What it shares its turn with, where messages are ordered.
    pub key: Option<u64>,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due_ms, self.number).cmp(&(other.due_ms, other.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}
