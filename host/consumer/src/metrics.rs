//! What is counted of messages, for Prometheus.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Unit, counter, describe_counter, describe_histogram, histogram};
use parking_lot::Mutex;

/// Deliveries whose outcome is durable.
pub const MESSAGES: &str = "host_messages_total";
const PUBLISH_FAILURES: &str = "host_publish_failures_total";
const RETRIES: &str = "host_retries_total";
/// Calls that failed.
pub const FAILURES: &str = "host_failures_total";
/// How late retries are begun.
pub const LATENESS: &str = "host_lateness_seconds";

/// How many failure codes of one plugin are told apart; a plugin chooses them, so it could choose
/// a new one for every message.
const MOST_CODES: usize = 100;

/// Describes them to the recorder.
pub fn describe() {
    describe_counter!(MESSAGES, "Deliveries whose outcome is durable, by outcome.");
    describe_counter!(RETRIES, "Messages put into a retry topic.");
    describe_counter!(FAILURES, "Failed calls, by failure code.");
    describe_counter!(
        PUBLISH_FAILURES,
        "Retry and dead-letter records that were not acknowledged, by reason."
    );
    describe_histogram!(LATENESS, Unit::Seconds, "How long after its due time a retry was begun.");
}

/// What becomes of one plugin's messages.
pub struct Messages {
    plugin: Arc<str>,
    done: Counter,
    skipped: Counter,
    dead: Counter,
    discarded: Counter,
    /// One per tier.
    retried: Vec<Counter>,
    codes: Mutex<HashMap<String, Counter>>,
}

impl Messages {
    /// Those of this plugin. Looked up once: this is the message path.
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

    /// It was handled.
    pub fn done(&self) {
        self.done.increment(1);
    }

    /// There was nothing to do.
    pub fn skipped(&self) {
        self.skipped.increment(1);
    }

    /// It lies in the dead-letter topic.
    pub fn dead(&self) {
        self.dead.increment(1);
    }

    /// A rule let it go.
    pub fn discarded(&self) {
        self.discarded.increment(1);
    }

    /// It lies in the retry topic of this tier; tier 0 where it is tried again in its place.
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
        let code = if codes.len() < MOST_CODES { code } else { "other" };
        let plugin = self.plugin.to_string();
        let new = || counter!(FAILURES, "plugin" => plugin, "code" => code.to_owned());
        codes.entry(code.to_owned()).or_insert_with(new).increment(1);
    }
}

/// A retry was begun so long after its due time.
pub fn late(topic: &str, late: Duration) {
    histogram!(LATENESS, "topic" => topic.to_owned()).record(late);
}

/// A record was not acknowledged.
pub fn publish_failed(topic: &str, reason: &impl Display) {
    counter!(PUBLISH_FAILURES, "topic" => topic.to_owned(), "reason" => reason.to_string()).increment(1);
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn codes_are_told_apart_up_to_a_bound() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _local = metrics::set_default_local_recorder(&recorder);
        let messages = Messages::of(&"codes-test".into(), &["t-retry".to_owned()]);
        for number in 0..MOST_CODES + 50 {
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
        assert_eq!(failures.len(), MOST_CODES + 1);
        assert!(
            failures.iter().any(|line| line.contains("\"other\"") && line.ends_with(" 50")),
            "{failures:?}"
        );
        assert!(failures.iter().any(|line| line.contains("\"code-0\"") && line.ends_with(" 151")));
        assert!(series(RETRIES).iter().all(|line| line.ends_with(" 1")), "{:?}", series(RETRIES));
    }
}
