//! A circuit breaker: after failures in a row, one use at a time probes whether what failed works again. Destinations
//! have one, and plugins may have one.

use std::time::Duration;

use base::clock;
use tokio::time::Instant;

/// The pause before the first probe. It doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The maximum pause between two probes.
pub const MAX_PAUSE: Duration = Duration::from_secs(4);

/// Closed as long as what it watches works, open while it does not.
#[derive(Debug)]
pub struct Breaker {
    /// The number of failures in a row that open it; None if it never opens.
    threshold: Option<u32>,
    failures: u32,
    open: Option<Open>,
}

/// The state of an open breaker.
#[derive(Debug, Clone)]
pub struct Open {
    /// When it opened, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The latest failure.
    pub reason: String,
    /// When the next probe may begin.
    pub probe_at: Instant,
    opened: Instant,
    pause: Duration,
}

impl Open {
    /// The time since it opened.
    pub fn time(&self, now: Instant) -> Duration {
        now - self.opened
    }
}

impl Breaker {
    /// A closed breaker that opens after this many failures in a row.
    pub fn new(threshold: Option<u32>) -> Self {
        Self { threshold, failures: 0, open: None }
    }

    /// Its state, if it is open.
    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// A use failed. Returns whether this opened the breaker.
    pub fn failed(&mut self, is_probe: bool, reason: &str, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if let Some(open) = &mut self.open {
            // Uses that had begun before it opened say nothing new.
            if is_probe {
                open.pause = (open.pause * 2).min(MAX_PAUSE);
                open.probe_at = now + open.pause;
                reason.clone_into(&mut open.reason);
            }
            return false;
        }
        let opens = self.threshold.is_some_and(|threshold| self.failures >= threshold);
        if opens {
            let (since_ms, reason) = (clock::now_ms(), reason.to_owned());
            let probe_at = now + FIRST_PAUSE;
            self.open = Some(Open { since_ms, reason, probe_at, opened: now, pause: FIRST_PAUSE });
        }
        opens
    }

    /// A use succeeded. Returns how long the breaker was open, if this closed it.
    pub fn succeeded(&mut self, now: Instant) -> Option<Duration> {
        self.failures = 0;
        self.open.take().map(|open| open.time(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_the_first_success_closes_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(Some(3));
        assert!(!breaker.failed(false, "a", now) && !breaker.failed(false, "b", now));
        assert_eq!(breaker.succeeded(now), None);
        assert!(!breaker.failed(false, "c", now) && !breaker.failed(false, "d", now));
        assert!(breaker.failed(false, "e", now), "the third in a row");
        assert_eq!(breaker.open().expect("open").reason, "e");
        assert_eq!(breaker.succeeded(now + Duration::from_secs(2)), Some(Duration::from_secs(2)));
        assert!(breaker.open().is_none());
    }

    #[test]
    fn probes_pause_longer_and_longer_up_to_the_maximum() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(Some(1));
        breaker.failed(false, "first", now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let at = breaker.open().expect("open").probe_at;
            pauses.push((at - now).as_millis());
            // A use that began before it opened changes nothing.
            breaker.failed(false, "late", now);
            assert_eq!(breaker.open().expect("open").probe_at, at);
            now = at;
            breaker.failed(true, "probe", now);
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(breaker.open().expect("open").reason, "probe");
    }

    #[test]
    fn an_outage_of_ten_minutes_costs_no_more_than_160_probes() {
        let start = Instant::now();
        let mut breaker = Breaker::new(Some(1));
        breaker.failed(false, "first", start);
        let mut probes = 0;
        while let Some(at) = breaker.open().map(|open| open.probe_at)
            && at - start < Duration::from_secs(600)
        {
            breaker.failed(true, "probe", at);
            probes += 1;
        }
        assert!((140..=160).contains(&probes), "{probes}");
    }

    #[test]
    fn without_a_threshold_it_never_opens() {
        let mut breaker = Breaker::new(None);
        assert!((0..1000).all(|_| !breaker.failed(false, "x", Instant::now())));
    }
}
