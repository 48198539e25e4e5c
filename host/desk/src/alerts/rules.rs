//! Decides when a failure is reported.

use std::time::Duration;

use base::clock::millis;
use desk_api::Failure;

/// When failures are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Minimum age of the oldest open dead letter; failures that begin together become one alert.
    pub wait: Duration,
    /// Minimum pause between reports of a failure, except for its recovery.
    pub repeat: Duration,
    /// Growth of the number of open dead letters since the last report that is reported again, as a factor.
    pub growth: u64,
    /// Age of the oldest open dead letter that is reported.
    pub age: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { wait: Duration::from_secs(10), repeat: hour, growth: 10, age: 24 * hour }
    }
}

/// The last report of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Whether it reported the failure; otherwise its recovery.
    pub is_raised: bool,
    /// Time of the report, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Number of open dead letters in the report.
    pub open: u64,
    /// Whether the age of the oldest open dead letter has been reported.
    pub is_aged: bool,
}

/// An event to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The failure is new.
    New {
        /// Whether its oldest open dead letter is old already; its age is not reported again.
        aged: bool,
    },
    /// Far more dead letters are open than in the last report.
    Growth {
        /// Number of open dead letters in the last report.
        from: u64,
        /// Whether its age has been reported.
        aged: bool,
    },
    /// The oldest open dead letter is old.
    Age,
    /// No dead letter is open any more.
    Recovery,
}

impl Event {
    /// The report of this event.
    pub fn reported(self, failure: &Failure, now_ms: i64) -> Reported {
        let is_aged = match self {
            Self::Age => true,
            Self::New { aged } | Self::Growth { aged, .. } => aged,
            Self::Recovery => false,
        };
        Reported { is_raised: self != Self::Recovery, at_ms: now_ms, open: failure.open, is_aged }
    }
}

/// The event to report of a failure, given its last report.
pub fn event(
    failure: &Failure,
    last: Option<&Reported>,
    thresholds: &Thresholds,
    now_ms: i64,
) -> Option<Event> {
    let has_passed = |since_ms: i64, duration| now_ms.saturating_sub(since_ms) >= millis(duration);
    let is_older = |age| failure.oldest_open_ms.is_some_and(|oldest| has_passed(oldest, age));
    match last {
        Some(Reported { is_raised: true, .. }) if failure.open == 0 => Some(Event::Recovery),
        Some(Reported { is_raised: true, at_ms, open, is_aged }) => {
            let has_grown = failure.open >= open.saturating_mul(thresholds.growth).max(1);
            if !is_aged && is_older(thresholds.age) {
                Some(Event::Age)
            } else if has_passed(*at_ms, thresholds.repeat) && has_grown {
                Some(Event::Growth { from: *open, aged: *is_aged })
            } else {
                None
            }
        }
        // A failure that recurs is reported no more often than one that grows.
        Some(Reported { is_raised: false, at_ms, .. }) if !has_passed(*at_ms, thresholds.repeat) => None,
        _ => is_older(thresholds.wait).then(|| Event::New { aged: is_older(thresholds.age) }),
    }
}

#[cfg(test)]
mod tests {
    use desk_api::FailureState;

    use super::*;

    const NOW: i64 = 1_795_435_410_000;
    const HOUR: i64 = 3_600_000;

    fn failure(open: u64, oldest_ms_ago: i64) -> Failure {
        Failure {
            id: "a".repeat(32),
            code: "bad-address".to_owned(),
            plugin: "email@1".to_owned(),
            digest: String::new(),
            first_seen_ms: NOW,
            last_seen_ms: NOW,
            cause: String::new(),
            detail: String::new(),
            note: String::new(),
            state: FailureState::Open,
            open,
            replayed: 0,
            discarded: 0,
            edited: 0,
            recent: 0,
            oldest_open_ms: (open > 0).then_some(NOW - oldest_ms_ago),
        }
    }

    fn last(is_raised: bool, ms_ago: i64, open: u64, is_aged: bool) -> Reported {
        Reported { is_raised, at_ms: NOW - ms_ago, open, is_aged }
    }

    fn next(failure: &Failure, last: Option<Reported>) -> Option<Event> {
        event(failure, last.as_ref(), &Thresholds::default(), NOW)
    }

    #[test]
    fn a_storm_is_one_alert_and_one_recovery() {
        assert_eq!(next(&failure(3, 9_999), None), None, "more may come with it");
        assert_eq!(next(&failure(3, 10_000), None), Some(Event::New { aged: false }));
        assert_eq!(next(&failure(10_000, 30_000), Some(last(true, 20_000, 3, false))), None);
        assert_eq!(next(&failure(0, 0), Some(last(true, 30_000, 3, false))), Some(Event::Recovery));
        assert_eq!(next(&failure(0, 0), Some(last(false, 30_000, 0, false))), None);
        assert_eq!(next(&failure(0, 0), None), None);
    }

    #[test]
    fn growth_is_reported_at_most_once_an_hour() {
        let grown = failure(30, 2 * HOUR);
        assert_eq!(next(&grown, Some(last(true, HOUR - 1, 3, false))), None);
        assert_eq!(
            next(&grown, Some(last(true, HOUR, 3, false))),
            Some(Event::Growth { from: 3, aged: false })
        );
        assert_eq!(next(&grown, Some(last(true, HOUR, 4, false))), None, "not ten times as many");
    }

    #[test]
    fn age_is_reported_once() {
        let old = failure(5, 24 * HOUR);
        assert_eq!(next(&old, Some(last(true, 1000, 5, false))), Some(Event::Age));
        assert_eq!(next(&old, Some(last(true, 1000, 5, true))), None);
        assert_eq!(next(&old, None), Some(Event::New { aged: true }), "both at once");
        let after = Event::Growth { from: 1, aged: true }.reported(&old, NOW);
        assert!(after.is_aged && after.is_raised);
    }

    #[test]
    fn a_recurring_failure_does_not_flood() {
        assert_eq!(next(&failure(5, 60_000), Some(last(false, HOUR - 1, 0, false))), None);
        assert_eq!(
            next(&failure(5, 60_000), Some(last(false, HOUR, 0, false))),
            Some(Event::New { aged: false })
        );
    }
}
