//! What is counted of e-mails, for Prometheus.

use std::sync::Arc;

use metrics::{counter, describe_counter};

const MAILS: &str = "host_mails_total";

/// Describes it to the recorder.
pub fn describe() {
    describe_counter!(MAILS, "E-mails that plugins asked for, by result.");
}

/// A plugin asked for an e-mail.
pub fn mail(plugin: &Arc<str>, result: &'static str) {
    counter!(MAILS, "plugin" => Arc::clone(plugin), "result" => result).increment(1);
}
