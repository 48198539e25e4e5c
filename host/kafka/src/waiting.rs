//! A message that waits for its time or its turn.

use std::cmp::Ordering;
use std::time::Duration;

use crate::headers::Trail;
use crate::raw::Message;

/// A due time further ahead than this is not ours, and is ignored as Spring Kafka ignores it.
const FARTHEST_DUE: Duration = Duration::from_secs(24 * 3600);

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

/// When a message is due that says `given`; now where it says nothing, or what is not ours.
pub fn due(given: Option<i64>, now: i64) -> i64 {
    let farthest = now.saturating_add_unsigned(FARTHEST_DUE.as_millis() as u64);
    given.filter(|due| *due <= farthest).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_waits_longer_than_a_retry_can() {
        const DAY: i64 = 86_400_000;
        let now = 1_795_000_000_000;
        assert_eq!([None, Some(now + DAY + 1), Some(i64::MAX)].map(|given| due(given, now)), [now; 3]);
        for ours in [i64::MIN, 0, now, now + DAY] {
            assert_eq!(due(Some(ours), now), ours);
        }
    }
}
