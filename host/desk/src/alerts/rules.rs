//! When something is said.

use std::time::Duration;

use crate::groups::Group;

/// When something is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// For how long letters are open before they are reported: what comes together is one alert.
    pub wait: Duration,
    /// A failure is not reported again sooner, but for its recovery.
    pub repeat: Duration,
    /// How many times as many letters must be open as when it was reported last.
    pub growth: u64,
    /// The age of the oldest open letter.
    pub age: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { wait: Duration::from_secs(10), repeat: hour, growth: 10, age: 24 * hour }
    }
}

/// What was said of a group last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Whether it fails; else it has recovered.
    pub raised: bool,
    /// When it was said, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// How many letters were open then.
    pub open: u64,
    /// Whether the age of its oldest letter was said since it was raised.
    pub aged: bool,
}

/// What is to be said of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It fails, and nobody knows.
    New {
        /// Whether its oldest open letter is old already: that is not said again.
        aged: bool,
    },
    /// Far more letters are open than when it was said last.
    Growth {
        /// How many these were.
        from: u64,
        /// Whether its age was said.
        aged: bool,
    },
    /// Its oldest open letter is old.
    Age,
    /// No letter is open any more.
    Recovery,
}

impl Event {
    /// What was said once this is.
    pub fn reported(self, group: &Group, now_ms: i64) -> Reported {
        let aged = match self {
            Self::Age => true,
            Self::New { aged } | Self::Growth { aged, .. } => aged,
            Self::Recovery => false,
        };
        Reported { raised: self != Self::Recovery, at_ms: now_ms, open: group.open, aged }
    }
}

/// What is to be said of a group of which this was said last.
pub fn event(group: &Group, last: Option<&Reported>, when: &Thresholds, now_ms: i64) -> Option<Event> {
    let since = |ms: i64, duration: Duration| {
        now_ms.saturating_sub(ms) >= i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
    };
    let oldest = |duration| group.oldest_open_ms.is_some_and(|oldest| since(oldest, duration));
    match last {
        Some(Reported { raised: true, .. }) if group.open == 0 => Some(Event::Recovery),
        Some(Reported { raised: true, at_ms, open, aged }) => {
            if !aged && oldest(when.age) {
                Some(Event::Age)
            } else if since(*at_ms, when.repeat) && group.open >= open.saturating_mul(when.growth).max(1) {
                Some(Event::Growth { from: *open, aged: *aged })
            } else {
                None
            }
        }
        // What comes and goes is reported as seldom as what grows.
        Some(Reported { raised: false, at_ms, .. }) if !since(*at_ms, when.repeat) => None,
        _ => oldest(when.wait).then(|| Event::New { aged: oldest(when.age) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::GroupState;

    const NOW: i64 = 1_795_435_410_000;
    const HOUR: i64 = 3_600_000;

    fn group(open: u64, oldest_ms_ago: i64) -> Group {
        Group {
            id: "a".repeat(32),
            code: "bad-address".to_owned(),
            plugin: "email@1".to_owned(),
            digest: String::new(),
            first_seen_ms: NOW,
            last_seen_ms: NOW,
            detail: String::new(),
            note: String::new(),
            state: GroupState::Open,
            open,
            replayed: 0,
            discarded: 0,
            recent: 0,
            oldest_open_ms: (open > 0).then_some(NOW - oldest_ms_ago),
        }
    }

    fn said(raised: bool, ms_ago: i64, open: u64, aged: bool) -> Reported {
        Reported { raised, at_ms: NOW - ms_ago, open, aged }
    }

    fn told(group: &Group, last: Option<Reported>) -> Option<Event> {
        event(group, last.as_ref(), &Thresholds::default(), NOW)
    }

    #[test]
    fn a_storm_is_one_alert_and_one_recovery() {
        assert_eq!(told(&group(3, 9_999), None), None, "more may come with it");
        assert_eq!(told(&group(3, 10_000), None), Some(Event::New { aged: false }));
        assert_eq!(told(&group(10_000, 30_000), Some(said(true, 20_000, 3, false))), None);
        assert_eq!(told(&group(0, 0), Some(said(true, 30_000, 3, false))), Some(Event::Recovery));
        assert_eq!(told(&group(0, 0), Some(said(false, 30_000, 0, false))), None);
        assert_eq!(told(&group(0, 0), None), None);
    }

    #[test]
    fn growth_is_told_once_an_hour_at_most() {
        let grown = group(30, 2 * HOUR);
        assert_eq!(told(&grown, Some(said(true, HOUR - 1, 3, false))), None);
        assert_eq!(
            told(&grown, Some(said(true, HOUR, 3, false))),
            Some(Event::Growth { from: 3, aged: false })
        );
        assert_eq!(told(&grown, Some(said(true, HOUR, 4, false))), None, "not ten times as many");
    }

    #[test]
    fn age_is_told_once() {
        let old = group(5, 24 * HOUR);
        assert_eq!(told(&old, Some(said(true, 1000, 5, false))), Some(Event::Age));
        assert_eq!(told(&old, Some(said(true, 1000, 5, true))), None);
        assert_eq!(told(&old, None), Some(Event::New { aged: true }), "both at once");
        let after = Event::Growth { from: 1, aged: true }.reported(&old, NOW);
        assert!(after.aged && after.raised);
    }

    #[test]
    fn what_comes_and_goes_does_not_flood() {
        assert_eq!(told(&group(5, 60_000), Some(said(false, HOUR - 1, 0, false))), None);
        assert_eq!(
            told(&group(5, 60_000), Some(said(false, HOUR, 0, false))),
            Some(Event::New { aged: false })
        );
    }
}
