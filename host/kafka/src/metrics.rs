//! The Prometheus metrics of consumer groups.

use std::collections::HashMap;

use metrics::{Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::partition::Condition;

const REDELIVERIES: &str = "host_redeliveries_total";
/// The metric of a partition's lag.
pub const LAG: &str = "host_lag";
const IN_FLIGHT: &str = "host_in_flight";
const EXPIRED: &str = "host_expired_messages_total";
const HELD_KEYS: &str = "host_held_keys";
const CONDITION: &str = "host_partition_state";

/// Registers the descriptions.
pub fn describe() {
    describe_counter!(
        REDELIVERIES,
        "The maximum number of deliveries that the next owner of a partition repeats, by cause."
    );
    describe_gauge!(
        LAG,
        "Offsets from the first unfinished message of a partition to its end, as of the last fetch. In a retry topic this includes messages that are not due yet."
    );
    describe_gauge!(IN_FLIGHT, "Deliveries in progress in a partition.");
    describe_counter!(
        EXPIRED,
        "Messages that Kafka removed before they were handled, because of the topic's retention or on request."
    );
    describe_gauge!(
        HELD_KEYS,
        "Keys of a consumer group whose messages become dead letters until the key is released (on-dead = \"hold\")."
    );
    describe_gauge!(
        CONDITION,
        "1 for the state of a partition: reading, resting (waiting messages reach a limit), blocked (Kafka does not deliver messages, or a failed message cannot be published) or draining."
    );
}

/// Counts messages that were removed from the log before they were handled.
pub fn expired(group: &str, topic: &str, count: u64) {
    counter!(EXPIRED, "group" => group.to_owned(), "topic" => topic.to_owned()).increment(count);
}

/// Counts deliveries that were abandoned; `cause` is `lost` or `cut-off`.
pub fn abandoned(group: &str, cause: &'static str, count: usize) {
    counter!(REDELIVERIES, "group" => group.to_owned(), "cause" => cause).increment(count as u64);
}

/// Sets the number of keys that a group holds after dead letters.
pub fn held_keys(group: &str, count: usize) {
    gauge!(HELD_KEYS, "group" => group.to_owned()).set(count as f64);
}

/// The gauges of all partitions that a member has or had.
pub struct PartitionGauges {
    group: String,
    /// By topic and partition.
    gauges: HashMap<(String, i32), Gauges>,
    round: u64,
}

struct Gauges {
    lag: Gauge,
    in_flight: Gauge,
    /// One for each of [`Condition::WORDS`].
    conditions: [Gauge; 4],
    /// The last round in which the partition was assigned.
    round: u64,
}

/// The values of a partition's gauges.
pub struct Values<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// Offsets to the end.
    pub lag: i64,
    /// Deliveries in progress.
    pub in_flight: usize,
    /// Whether it is read.
    pub condition: Condition,
}

impl PartitionGauges {
    /// The gauges of a member of `group`.
    pub fn of(group: &str) -> Self {
        Self { group: group.to_owned(), gauges: HashMap::new(), round: 0 }
    }

    /// Sets the gauges from all assigned partitions. Those of partitions that are no longer assigned become 0.
    pub fn set<'a>(&mut self, partitions: impl IntoIterator<Item = Values<'a>>) {
        self.round += 1;
        for Values { topic, partition, lag, in_flight, condition } in partitions {
            let new = || Gauges::new(&self.group, topic, partition);
            let gauges = self.gauges.entry((topic.to_owned(), partition)).or_insert_with(new);
            gauges.round = self.round;
            gauges.lag.set(lag as f64);
            gauges.in_flight.set(in_flight as f64);
            gauges.set_condition(Some(condition));
        }
        for revoked in self.gauges.values().filter(|gauges| gauges.round != self.round) {
            revoked.lag.set(0.0);
            revoked.in_flight.set(0.0);
            revoked.set_condition(None);
        }
    }
}

impl Gauges {
    fn new(group: &str, topic: &str, partition: i32) -> Self {
        let gauge = |name: &'static str| {
            let (group, topic) = (group.to_owned(), topic.to_owned());
            gauge!(name, "group" => group, "topic" => topic, "partition" => partition.to_string())
        };
        let condition = |word: &'static str| {
            let (group, topic) = (group.to_owned(), topic.to_owned());
            let partition = partition.to_string();
            gauge!(CONDITION, "group" => group, "topic" => topic, "partition" => partition, "state" => word)
        };
        let conditions = Condition::WORDS.map(condition);
        Self { lag: gauge(LAG), in_flight: gauge(IN_FLIGHT), conditions, round: 0 }
    }

    fn set_condition(&self, condition: Option<Condition>) {
        for (word, gauge) in Condition::WORDS.iter().zip(&self.conditions) {
            let is_set = condition.is_some_and(|condition| condition.word() == *word);
            gauge.set(f64::from(u8::from(is_set)));
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn the_gauges_of_a_revoked_partition_are_zero() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _local = metrics::set_default_local_recorder(&recorder);
        let shown = |name: &str, partition: i32| {
            let text = handle.render();
            let label = format!("partition=\"{partition}\"");
            let mine =
                |line: &&str| line.starts_with(name) && line.contains("gauges-test") && line.contains(&label);
            text.lines().find(mine).and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
        };
        let values = |partition, lag, in_flight| Values {
            topic: "t",
            partition,
            lag,
            in_flight,
            condition: Condition::Reading,
        };
        let mut gauges = PartitionGauges::of("gauges-test");
        gauges.set([values(0, 5, 1), values(1, 7, 2)]);
        assert_eq!(shown(LAG, 1).as_deref(), Some("7"));
        gauges.set([values(0, 4, 0)]);
        assert_eq!((shown(LAG, 0).as_deref(), shown(IN_FLIGHT, 0).as_deref()), (Some("4"), Some("0")));
        assert_eq!((shown(LAG, 1).as_deref(), shown(IN_FLIGHT, 1).as_deref()), (Some("0"), Some("0")));
    }
}
