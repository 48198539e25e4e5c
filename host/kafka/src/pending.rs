//! A message that waits for its due time or its predecessor.

use std::cmp::Ordering;
use std::time::Duration;

use crate::headers::RetryInfo;
use crate::key_order::OrderKey;
use crate::raw::Message;

/// The longest delay that a retry can have. A later due time was written by another program and is ignored,
/// as Spring Kafka ignores it.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);

/// A message that was read and has not started. Ordered by due time, then by delivery number.
pub struct PendingMessage {
    /// The due time in milliseconds since the Unix epoch; 0 for immediately.
    pub due_ms: i64,
    /// The number of its delivery in the partition.
    pub number: u64,
    /// The record.
    pub message: Message,
    /// The state of its retries, if it has failed before.
    pub retry_info: Option<Box<RetryInfo>>,
    /// The key it is ordered by; see [`crate::key_order`].
    pub key: Option<OrderKey>,
}

impl Ord for PendingMessage {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due_ms, self.number).cmp(&(other.due_ms, other.number))
    }
}

impl PartialOrd for PendingMessage {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PendingMessage {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PendingMessage {}

/// The due time of a message from its header, both in milliseconds since the Unix epoch. `now` if there is no
/// header or it is out of range.
pub fn due_time(header: Option<i64>, now: i64) -> i64 {
    let latest = now.saturating_add_unsigned(MAX_DELAY.as_millis() as u64);
    header.filter(|due| *due <= latest).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_waits_longer_than_a_retry_can() {
        const DAY: i64 = 86_400_000;
        let now = 1_795_000_000_000;
        assert_eq!([None, Some(now + DAY + 1), Some(i64::MAX)].map(|header| due_time(header, now)), [now; 3]);
        for ours in [i64::MIN, 0, now, now + DAY] {
            assert_eq!(due_time(Some(ours), now), ours);
        }
    }
}
