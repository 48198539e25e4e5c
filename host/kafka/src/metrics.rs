//! What is counted of consumer groups, for Prometheus.

use std::collections::HashMap;

use metrics::{Gauge, counter, describe_counter, describe_gauge, gauge};

const REDELIVERIES: &str = "host_redeliveries_total";
/// The consumer lag of a partition.
pub const LAG: &str = "host_lag";
const IN_FLIGHT: &str = "host_in_flight";

/// Describes them to the recorder.
pub fn describe() {
    describe_counter!(REDELIVERIES, "Deliveries that somebody has to repeat at most, by cause.");
    describe_gauge!(LAG, "Messages before the committable position; in a retry topic, those that wait.");
    describe_gauge!(IN_FLIGHT, "Messages under way.");
}

/// Deliveries were given up: `cause` is `lost` or `cut-off`.
pub fn given_up(group: &str, cause: &'static str, count: usize) {
    counter!(REDELIVERIES, "group" => group.to_owned(), "cause" => cause).increment(count as u64);
}

/// How a member stands with each of its partitions.
pub struct Standings {
    group: String,
    /// By topic and partition.
    known: HashMap<(String, i32), Standing>,
    turn: u64,
}

struct Standing {
    lag: Gauge,
    in_flight: Gauge,
    /// The last turn in which the partition was the member's.
    turn: u64,
}

impl Standings {
    /// Those of a member of `group`.
    pub fn of(group: &str) -> Self {
        Self { group: group.to_owned(), known: HashMap::new(), turn: 0 }
    }

    /// Takes all of the member's partitions: topic, number, lag and messages under way. One that it
    /// had before counts as 0 here: it is another member's now.
    pub fn set<'a>(&mut self, partitions: impl IntoIterator<Item = (&'a str, i32, i64, usize)>) {
        self.turn += 1;
        for (topic, partition, lag, in_flight) in partitions {
            let new = || Standing::new(&self.group, topic, partition);
            let standing = self.known.entry((topic.to_owned(), partition)).or_insert_with(new);
            standing.turn = self.turn;
            standing.lag.set(lag as f64);
            standing.in_flight.set(in_flight as f64);
        }
        for gone in self.known.values().filter(|standing| standing.turn != self.turn) {
            gone.lag.set(0.0);
            gone.in_flight.set(0.0);
        }
    }
}

impl Standing {
    fn new(group: &str, topic: &str, partition: i32) -> Self {
        let gauge = |name: &'static str| {
            let (group, topic) = (group.to_owned(), topic.to_owned());
            gauge!(name, "group" => group, "topic" => topic, "partition" => partition.to_string())
        };
        Self { lag: gauge(LAG), in_flight: gauge(IN_FLIGHT), turn: 0 }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn a_partition_that_is_gone_stands_at_zero() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _local = metrics::set_default_local_recorder(&recorder);
        let shown = |name: &str, partition: i32| {
            let text = handle.render();
            let label = format!("partition=\"{partition}\"");
            let mine = |line: &&str| {
                line.starts_with(name) && line.contains("standing-test") && line.contains(&label)
            };
            text.lines().find(mine).and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
        };
        let mut standings = Standings::of("standing-test");
        standings.set([("t", 0, 5, 1), ("t", 1, 7, 2)]);
        assert_eq!(shown(LAG, 1).as_deref(), Some("7"));
        standings.set([("t", 0, 4, 0)]);
        assert_eq!((shown(LAG, 0).as_deref(), shown(IN_FLIGHT, 0).as_deref()), (Some("4"), Some("0")));
        assert_eq!((shown(LAG, 1).as_deref(), shown(IN_FLIGHT, 1).as_deref()), (Some("0"), Some("0")));
    }
}
