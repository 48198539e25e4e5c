//! Metrics of destinations.

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

const IN_USE: &str = "host_destination_in_use";
const WAITING: &str = "host_destination_waiting";
const LIMIT: &str = "host_destination_limit";
const WORKS: &str = "host_destination_works";
const FAILURES: &str = "host_destination_failures_total";
const REFUSALS: &str = "host_destination_refusals_total";

/// Describes the metrics to the recorder.
pub fn describe() {
    describe_gauge!(IN_USE, "Uses of a destination in progress.");
    describe_gauge!(WAITING, "Effects that wait for a destination.");
    describe_gauge!(
        LIMIT,
        "The number of uses that a destination takes at the same time, as far as is known."
    );
    describe_gauge!(WORKS, "1 if a destination works, 0 during an outage.");
    describe_counter!(FAILURES, "Uses of a destination that failed for a reason of its own.");
    describe_counter!(REFUSALS, "Uses that a destination refused because it had no room for them.");
}

/// The metrics of one destination.
pub(crate) struct Gauges {
    in_use: Gauge,
    waiting: Gauge,
    limit: Gauge,
    works: Gauge,
    failures: Counter,
    refusals: Counter,
}

impl Gauges {
    pub fn of(name: &Arc<str>) -> Self {
        let label = || [metrics::Label::new("destination", name.to_string())];
        let all = Self {
            in_use: gauge!(IN_USE, label().iter()),
            waiting: gauge!(WAITING, label().iter()),
            limit: gauge!(LIMIT, label().iter()),
            works: gauge!(WORKS, label().iter()),
            failures: counter!(FAILURES, label().iter()),
            refusals: counter!(REFUSALS, label().iter()),
        };
        all.works(true);
        all.limit(1);
        all
    }

    pub fn in_use(&self, count: usize) {
        self.in_use.set(count as f64);
    }

    pub fn waiting(&self, count: usize) {
        self.waiting.set(count as f64);
    }

    pub fn limit(&self, count: usize) {
        self.limit.set(count as f64);
    }

    pub fn works(&self, works: bool) {
        self.works.set(f64::from(u8::from(works)));
    }

    pub fn failed(&self) {
        self.failures.increment(1);
    }

    pub fn refused(&self) {
        self.refusals.increment(1);
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}
