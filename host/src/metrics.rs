//! What is counted, for Prometheus: every name in one place.

mod tally;

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

pub use self::tally::Tally;
use crate::effect::Performed;

const MESSAGES: &str = "host_messages_total";
const RETRIES: &str = "host_retries_total";
const FAILURES: &str = "host_failures_total";
const REDELIVERIES: &str = "host_redeliveries_total";
const PUBLISH_FAILURES: &str = "host_publish_failures_total";
const MAILS: &str = "host_mails_total";
const LATENESS: &str = "host_lateness_seconds";
const LAG: &str = "host_lag";
const EFFECTS: &str = "host_effects_total";
const IN_FLIGHT: &str = "host_in_flight";
const LETTERS_TAKEN: &str = "host_dead_letters_taken_total";
const ALERTS: &str = "host_alerts_total";
const LETTERS_OPEN: &str = "host_dead_letters_open";

/// Upper bounds of the lateness buckets, in seconds.
const LATE: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];
/// How many failure codes of one plugin are told apart; a plugin chooses them, so it could choose
/// a new one for every message.
const MOST_CODES: usize = 100;

/// Starts counting, once in a process. None where another recorder was installed before.
pub fn start() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE.get_or_init(install).as_ref()
}

fn install() -> Option<PrometheusHandle> {
    let lateness = Matcher::Full(LATENESS.to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(lateness, &LATE).ok()?;
    let handle = builder.install_recorder().ok()?;
    describe_counter!(MESSAGES, "Deliveries whose outcome is durable, by outcome.");
    describe_counter!(RETRIES, "Messages put into a retry topic.");
    describe_counter!(FAILURES, "Failed calls, by failure code.");
    describe_counter!(REDELIVERIES, "Deliveries that somebody has to repeat at most, by cause.");
    describe_counter!(
        PUBLISH_FAILURES,
        "Retry and dead-letter records that were not acknowledged, by reason."
    );
    describe_counter!(EFFECTS, "E-mails and requests of plugins, by result.");
    describe_counter!(MAILS, "E-mails that plugins asked for, by result.");
    describe_histogram!(LATENESS, Unit::Seconds, "How long after its due time a retry was begun.");
    describe_gauge!(LAG, "Messages before the committable position; in a retry topic, those that wait.");
    describe_gauge!(IN_FLIGHT, "Messages under way.");
    describe_counter!(LETTERS_TAKEN, "Dead letters that this process wrote into the store.");
    describe_counter!(ALERTS, "Alerts about dead letters, by channel and result.");
    describe_gauge!(LETTERS_OPEN, "Dead letters in the store that nobody has done anything about.");
    Some(handle)
}

/// Folds what was recorded into buckets now and then, whether anybody scrapes or not: else it is
/// kept one by one.
pub async fn upkeep() {
    let mut turn = tokio::time::interval(Duration::from_secs(5));
    while let Some(handle) = start() {
        turn.tick().await;
        handle.run_upkeep();
    }
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
        start();
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

/// A record was not acknowledged.
pub fn publish_failed(topic: &str, reason: &impl Display) {
    counter!(PUBLISH_FAILURES, "topic" => topic.to_owned(), "reason" => reason.to_string()).increment(1);
}

/// A plugin asked for an e-mail.
pub fn mail(plugin: &Arc<str>, result: &'static str) {
    counter!(MAILS, "plugin" => Arc::clone(plugin), "result" => result).increment(1);
}

/// A retry was begun so long after its due time.
pub fn late(topic: &str, late: Duration) {
    histogram!(LATENESS, "topic" => topic.to_owned()).record(late);
}

/// An effect was performed; gives it back.
pub fn effect<T, E>(group: &str, performed: Performed<T, E>) -> Performed<T, E> {
    let result = match &performed {
        Performed::Done(_) => "done",
        Performed::Failed(_) => "failed",
        Performed::Unknown(_) => "unknown",
    };
    effect_is(group, result);
    performed
}

/// An effect was not performed: `remembered`, `refused` or `unavailable`; or it is, once more: `repeated`.
pub fn effect_is(group: &str, result: &'static str) {
    counter!(EFFECTS, "group" => group.to_owned(), "result" => result).increment(1);
}

/// Deliveries were given up: `cause` is `lost` or `cut-off`.
pub fn given_up(group: &str, cause: &'static str, count: usize) {
    counter!(REDELIVERIES, "group" => group.to_owned(), "cause" => cause).increment(count as u64);
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
    use super::*;

    #[test]
    fn a_partition_that_is_gone_stands_at_zero() {
        let handle = start().expect("the only recorder");
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

    #[test]
    fn codes_are_told_apart_up_to_a_bound() {
        let handle = start().expect("the only recorder");
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
