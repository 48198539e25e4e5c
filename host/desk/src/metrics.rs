//! Metrics of dead letters and alerts.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const DEAD_LETTERS_INGESTED: &str = "host_dead_letters_taken_total";
const ALERTS: &str = "host_alerts_total";
const DEAD_LETTERS_OPEN: &str = "host_dead_letters_open";

/// Describes the metrics to the recorder.
pub fn describe() {
    describe_counter!(DEAD_LETTERS_INGESTED, "Dead letters that this process has stored.");
    describe_counter!(ALERTS, "Alerts about dead letters, by channel and result.");
    describe_gauge!(DEAD_LETTERS_OPEN, "Open dead letters in the store.");
}

/// Counts new dead letters of a plugin.
pub fn dead_letters_ingested(plugin: &str, count: usize) {
    counter!(DEAD_LETTERS_INGESTED, "plugin" => plugin.to_owned()).increment(count as u64);
}

/// Counts an attempt to send an alert.
pub fn alert(channel: &str, result: &'static str) {
    counter!(ALERTS, "channel" => channel.to_owned(), "result" => result).increment(1);
}

/// Sets the number of open dead letters in the store.
pub fn dead_letters_open(count: u64) {
    gauge!(DEAD_LETTERS_OPEN).set(count as f64);
}
