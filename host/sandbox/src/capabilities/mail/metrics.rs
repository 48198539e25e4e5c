//! Metrics of e-mails.

use std::sync::Arc;

use metrics::{counter, describe_counter};

const MAILS: &str = "host_mails_total";

/// Describes the metrics to the recorder.
pub fn describe() {
    describe_counter!(MAILS, "E-mails that plugins requested, by result.");
}

/// Counts an e-mail that a plugin requested.
pub fn mail(plugin: &Arc<str>, result: &'static str) {
    counter!(MAILS, "plugin" => Arc::clone(plugin), "result" => result).increment(1);
}
