//! The Prometheus metrics of messages.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use parking_lot::Mutex;

/// The metric of deliveries with a durable outcome.
pub const MESSAGES: &str = "host_messages_total";
const PUBLISH_FAILURES: &str = "host_publish_failures_total";
const RETRIES: &str = "host_retries_total";
/// The metric of failed calls.
pub const FAILURES: &str = "host_failures_total";
/// The metric of the lateness of retries.
pub const LATENESS: &str = "host_lateness_seconds";
/// The metric of plugins that a person has paused.
pub const PAUSED: &str = "host_plugin_paused";
/// The metric of plugins whose breaker is open.
pub const RESTING: &str = "host_plugin_resting";

/// The maximum number of distinct failure codes per plugin, which could otherwise use a new one for every
/// message.
const MAX_CODES: usize = 100;

/// Registers the descriptions.
pub fn describe() {
    describe_counter!(MESSAGES, "Deliveries with a durable outcome, by outcome.");
    describe_counter!(RETRIES, "Messages published to a retry topic or retried in place.");
    describe_counter!(FAILURES, "Failed calls, by failure code.");
    describe_counter!(
        PUBLISH_FAILURES,
        "Failed attempts to publish retry and dead-letter records, by reason."
    );
    describe_gauge!(PAUSED, "1 if a person has paused a plugin, otherwise 0.");
    describe_gauge!(RESTING, "1 if the breaker of a plugin is open, otherwise 0.");
    describe_histogram!(LATENESS, Unit::Seconds, "Time from the due time of a retry to its start.");
}

/// The counters of one plugin's messages.
pub struct MessageCounters {
    plugin: Arc<str>,
    done: Counter,
    skipped: Counter,
    dead: Counter,
    discarded: Counter,
    /// One per tier.
    retried: Vec<Counter>,
    codes: Mutex<HashMap<String, Counter>>,
}

impl MessageCounters {
    /// The counters of a plugin. They are looked up once, since they are used for every message.
    pub fn of(plugin: &Arc<str>, retry_topics: &[String]) -> Self {
        let outcome =
            |outcome: &'static str| counter!(MESSAGES, "plugin" => plugin.to_string(), "outcome" => outcome);
        let retried =
            |topic: &String| counter!(RETRIES, "plugin" => plugin.to_string(), "topic" => topic.clone());
        Self {
            plugin: Arc::clone(plugin),
            done: outcome("done"),
            skipped: outcome("skipped"),
            dead: outcome("dead"),
            discarded: outcome("discarded"),
            retried: retry_topics.iter().map(retried).collect(),
            codes: Mutex::default(),
        }
    }

    /// A message was handled.
    pub fn done(&self) {
        self.done.increment(1);
    }

    /// A message was skipped.
    pub fn skipped(&self) {
        self.skipped.increment(1);
    }

    /// A message is a dead letter.
    pub fn dead(&self) {
        self.dead.increment(1);
    }

    /// A message was discarded by a rule.
    pub fn discarded(&self) {
        self.discarded.increment(1);
    }

    /// A message is retried in the topic of this tier; tier 0 for a retry in place.
    pub fn retried(&self, tier: usize) {
        if let Some(counter) = self.retried.get(tier) {
            counter.increment(1);
        }
    }

    /// A call failed.
    pub fn failed(&self, code: &str) {
        let mut codes = self.codes.lock();
        if let Some(counter) = codes.get(code) {
            return counter.increment(1);
        }
        let code = if codes.len() < MAX_CODES { code } else { "other" };
        let plugin = self.plugin.to_string();
        let new = || counter!(FAILURES, "plugin" => plugin, "code" => code.to_owned());
        codes.entry(code.to_owned()).or_insert_with(new).increment(1);
    }
}

/// Records how long after its due time a retry started.
pub fn late(topic: &str, late: Duration) {
    histogram!(LATENESS, "topic" => topic.to_owned()).record(late);
}

/// Counts a failed attempt to publish a record.
pub fn publish_failed(topic: &str, reason: &impl Display) {
    counter!(PUBLISH_FAILURES, "topic" => topic.to_owned(), "reason" => reason.to_string()).increment(1);
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn distinct_codes_are_bounded() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _local = metrics::set_default_local_recorder(&recorder);
        let messages = MessageCounters::of(&"codes-test".into(), &["t-retry".to_owned()]);
        for number in 0..MAX_CODES + 50 {
            messages.failed(&format!("code-{number}"));
            messages.failed("code-0");
        }
        messages.retried(0);
        messages.retried(1);
        let text = handle.render();
        let series = |name: &str| -> Vec<&str> {
            text.lines().filter(|line| line.starts_with(name) && line.contains("codes-test")).collect()
        };
        let failures = series(FAILURES);
        assert_eq!(failures.len(), MAX_CODES + 1);
        assert!(
            failures.iter().any(|line| line.contains("\"other\"") && line.ends_with(" 50")),
            "{failures:?}"
        );
        assert!(failures.iter().any(|line| line.contains("\"code-0\"") && line.ends_with(" 151")));
        assert!(series(RETRIES).iter().all(|line| line.ends_with(" 1")), "{:?}", series(RETRIES));
    }
}
