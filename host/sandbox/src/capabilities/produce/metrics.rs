//! Metrics of published records.

use std::sync::Arc;

use metrics::{counter, describe_counter};

const PRODUCED: &str = "host_produced_total";
/// The label of all topics that are not granted: their names come from the plugin.
const OTHER: &str = "other";

/// Describes the metrics to the recorder.
pub fn describe() {
    describe_counter!(PRODUCED, "Records that plugins published or tried to, by topic and result.");
}

/// Counts a record. `topic` is None if it is not granted.
pub fn produced(plugin: &Arc<str>, topic: Option<&str>, result: &'static str) {
    let topic = topic.unwrap_or(OTHER).to_owned();
    counter!(PRODUCED, "plugin" => Arc::clone(plugin), "topic" => topic, "result" => result).increment(1);
}
