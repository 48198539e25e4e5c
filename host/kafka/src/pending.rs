//! A message that waits for its due time or its predecessor.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use crate::headers::RetryInfo;
use crate::key_order::OrderKey;
use crate::raw::Message;

/// The longest delay that a retry can have. A later due time was written by another program and is ignored,
/// as Spring Kafka ignores it.
pub const MAX_DELAY: Duration = Duration::from_secs(24 * 3600);
/// By how much the wall clock gains on the monotonic one between two looks before it counts as set.
const STEP: Duration = Duration::from_millis(500);

/// A message that was read and has not started. Ordered by due time, then by delivery number.
pub struct PendingMessage {
    /// When it is due. The wall clock may be set while it waits.
    pub due: Instant,
    /// The due time in milliseconds since the Unix epoch; None for immediately.
    pub due_ms: Option<i64>,
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
        (self.due, self.number).cmp(&(other.due, other.number))
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

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock, by which messages wait.
    pub instant: Instant,
    /// The wall clock, by which their due times are written, in milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self { instant: Instant::now(), wall_ms: base::clock::now_ms() }
    }

    /// When a message is due, by its due time and the time of its first failure, both in milliseconds since the Unix
    /// epoch. Now if there is no due time or it is out of range.
    pub fn due(self, due_ms: Option<i64>, first_failed_ms: Option<i64>) -> Instant {
        let Some(due_ms) = due_ms else { return self.instant };
        let left_ms = due_ms.saturating_sub(self.wall_ms);
        // The failure is in the future: a clock stood wrong, then or now. The message waits for its delay from now on.
        let delay_ms = first_failed_ms.filter(|failed| *failed > self.wall_ms);
        let delay_ms = delay_ms.map_or(left_ms, |failed| due_ms.saturating_sub(failed).max(0));
        let left = Duration::from_millis(left_ms.unsigned_abs());
        let due = match left_ms {
            ..=0 => self.instant.checked_sub(left),
            _ if left > MAX_DELAY => None,
            _ => self.instant.checked_add(left.min(Duration::from_millis(delay_ms.unsigned_abs()))),
        };
        due.unwrap_or(self.instant)
    }

    /// Whether the wall clock was set forward since `before`, or the machine slept.
    pub fn is_set_forward_since(self, before: Self) -> bool {
        let real = self.instant.saturating_duration_since(before.instant);
        let shown_ms = self.wall_ms.saturating_sub(before.wall_ms).max(0).unsigned_abs();
        Duration::from_millis(shown_ms) > real + STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const HOUR: i64 = 3_600_000;
    const WALL: i64 = 1_795_000_000_000;

    fn now() -> Now {
        Now { instant: Instant::now() + 10 * MAX_DELAY, wall_ms: WALL }
    }

    #[test]
    fn no_message_waits_longer_than_a_retry_can() {
        let now = now();
        for none in [None, Some(WALL), Some(WALL + DAY + 1), Some(i64::MAX)] {
            assert_eq!(now.due(none, None), now.instant, "{none:?}");
        }
        assert_eq!(now.due(Some(WALL + DAY), Some(WALL)), now.instant + MAX_DELAY);
        // Overdue messages keep their order.
        assert_eq!(now.due(Some(WALL - 1000), None), now.instant - Duration::from_secs(1));
        assert!(now.due(Some(i64::MIN), Some(i64::MAX)) <= now.instant);
    }

    #[test]
    fn a_message_that_failed_in_the_future_waits_for_its_delay() {
        let now = now();
        for ahead in [HOUR, 9 * HOUR] {
            let failed = WALL + ahead;
            let due = now.due(Some(failed + 4000), Some(failed));
            assert_eq!(due, now.instant + Duration::from_secs(4));
        }
        let due = now.due(Some(WALL + 4000), Some(WALL + 5000));
        assert_eq!(due, now.instant, "a due time before the failure is of another program");
    }

    #[test]
    fn a_clock_is_set_when_it_gains_on_the_monotonic_one() {
        let before = now();
        let after = |instant_ms: u64, wall_ms: i64| Now {
            instant: before.instant + Duration::from_millis(instant_ms),
            wall_ms: before.wall_ms + wall_ms,
        };
        assert!(!after(5000, 5000).is_set_forward_since(before));
        assert!(!after(5000, 5400).is_set_forward_since(before));
        assert!(!after(5000, -HOUR).is_set_forward_since(before), "what waits is not delayed");
        assert!(after(5000, HOUR).is_set_forward_since(before));
        assert!(after(5000, HOUR).is_set_forward_since(after(1000, -HOUR)));
    }
}
