//! What is counted of dead letters, for Prometheus.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const LETTERS_TAKEN: &str = "host_dead_letters_taken_total";
const ALERTS: &str = "host_alerts_total";
const LETTERS_OPEN: &str = "host_dead_letters_open";

/// Describes them to the recorder.
pub fn describe() {
    describe_counter!(LETTERS_TAKEN, "Dead letters that this process wrote into the store.");
    describe_counter!(ALERTS, "Alerts about dead letters, by channel and result.");
    describe_gauge!(LETTERS_OPEN, "Dead letters in the store that nobody has done anything about.");
}

/// So many new dead letters of the plugin's are in the store.
pub fn letters_taken(plugin: &str, count: usize) {
    counter!(LETTERS_TAKEN, "plugin" => plugin.to_owned()).increment(count as u64);
}

/// An alert was sent over this channel, or not taken by it.
pub fn alert(channel: &str, result: &'static str) {
    counter!(ALERTS, "channel" => channel.to_owned(), "result" => result).increment(1);
}

/// So many letters in the store are open.
pub fn letters_open(count: u64) {
    gauge!(LETTERS_OPEN).set(count as f64);
}
