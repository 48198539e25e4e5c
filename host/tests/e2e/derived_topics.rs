//! The names and settings of derived topics.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminOptions, ConfigSource, ResourceSpecifier};
use testkit::{Kafka, Process, Record, eventually};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries};
use crate::topics::{admin, block_on, frequent_refresh};

/// The settings that a topic has of its own, not from the broker.
fn own_settings(kafka: &Kafka, topic: &str) -> HashMap<String, String> {
    let admin = admin(kafka);
    let answers = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &AdminOptions::new()));
    let topic = answers.expect("an answer").pop().expect("a topic").expect("its settings");
    let own = topic.entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    own.map(|entry| (entry.name, entry.value.unwrap_or_default())).collect()
}

/// Changes a setting of a topic. Returns once the broker has it: the controller answers before that.
fn set(kafka: &Kafka, topic: &str, setting: &str) {
    let entity = ["--entity-type", "topics", "--entity-name", topic];
    let change = ["--bootstrap-server", kafka.bootstrap(), "--alter", "--add-config", setting];
    kafka.cli("configs", &[&change[..], &entity].concat());
    let (name, value) = setting.split_once('=').expect("NAME=VALUE");
    eventually(BOUND, || own_settings(kafka, topic).get(name).is_some_and(|seen| seen == value));
}

fn topics(kafka: &Kafka) -> BTreeSet<String> {
    let metadata = admin(kafka).inner().fetch_metadata(None, BOUND).expect("metadata");
    metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

/// Runs a host that must refuse its topics before it creates one. Returns its output.
#[track_caller]
fn refused(kafka: &Kafka, guests: &[&Guest]) -> String {
    let paths: Vec<&str> = guests.iter().map(|guest| text(&guest.path)).collect();
    let plugins = paths.iter().flat_map(|path| ["--plugin", path]);
    let more = ["--bootstrap-servers", kafka.bootstrap(), "--listen", "127.0.0.1:0", "--desk=false"];
    let args: Vec<&str> = plugins.chain(more).collect();
    let mut process = Process::start("host", &args);
    let code = process.wait(BOUND).code();
    let output = process.lines().join("\n");
    assert_eq!(code, Some(2), "{output}");
    output
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Whether the topic is one of the guest's.
fn is_of(guest: &Guest, topic: &str) -> bool {
    topic.starts_with(&guest.topic)
}

#[test]
fn derived_topics_keep_records_longer_than_the_source_and_are_as_safe() {
    const DAY_MS: u64 = 86_400_000;
    let kafka = Kafka::shared();
    let guest = Guest::fast("retained");
    let retention = (30 * DAY_MS).to_string();
    let source =
        [("retention.ms", &*retention), ("retention.bytes", "1000000"), ("min.insync.replicas", "1")];
    kafka.create_topic(&guest.topic, 1, &source);
    Host::start(kafka, &[&guest.path]).stop();
    // The maximum age of the guest's retries is a day.
    let retries = guest.retry_topics.iter().map(|topic| (topic, 31));
    for (topic, days) in retries.chain([(&guest.dead, 30)]) {
        let settings = own_settings(kafka, topic);
        assert_eq!(settings["retention.ms"], (days * DAY_MS).to_string(), "{topic}");
        assert_eq!(settings["retention.bytes"], "-1", "{topic}");
        assert_eq!(settings["min.insync.replicas"], "1", "{topic}");
        assert_eq!(settings["cleanup.policy"], "delete", "{topic}");
    }
}

#[test]
fn topics_that_lose_retries_are_reported_once_with_the_cure() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("losing");
    let [short, later, ..] = &guest.retry_topics[..] else { panic!("{:?}", guest.retry_topics) };
    kafka.create_topic(short, 1, &[("retention.ms", "20000")]);
    kafka.create_topic(&guest.dead, 1, &[("retention.bytes", "1000000")]);
    let host = Host::start_with(kafka, &[&guest.path], frequent_refresh());
    let is_warning = |line: &str, topic: &str, setting: &str| {
        line.contains(" WARN ") && line.contains(&format!("topic {topic} ")) && line.contains(setting)
    };
    let line = host.process.wait_for(|line| is_warning(line, short, "retention.ms=20000"), BOUND);
    assert!(line.contains("keeps records for 20s") && line.contains("4days are needed"), "{line}");
    let cure = format!("--entity-name {short} --add-config retention.ms=691200000");
    assert!(line.contains("kafka-configs") && line.contains(&cure), "{line}");
    host.process.wait_for(|line| is_warning(line, &guest.dead, "retention.bytes=1000000"), BOUND);
    // A change while the host runs is noticed, and what was reported before is not reported again.
    set(kafka, later, "retention.ms=30000");
    host.process.wait_for(|line| is_warning(line, later, "retention.ms=30000"), BOUND);
    let lines = host.stop();
    let warnings = |topic: &str| lines.iter().filter(|line| is_warning(line, topic, "retention.")).count();
    assert_eq!([short, later, &guest.dead].map(|topic| warnings(topic)), [1, 1, 1], "{}", lines.join("\n"));
}

#[test]
fn a_compacted_derived_topic_is_refused_before_any_topic_is_created() {
    let kafka = Kafka::shared();
    let (fine, compacted) = (Guest::fast("cleaned"), Guest::fast("compacted"));
    kafka.create_topic(&compacted.dead, 1, &[("cleanup.policy", "compact,delete")]);
    let output = refused(kafka, &[&fine, &compacted]);
    let problem = format!("error: topic {} is compacted (cleanup.policy=compact,delete)", compacted.dead);
    assert!(output.contains(&problem), "{output}");
    let cure = format!("--entity-name {} --add-config cleanup.policy=delete", compacted.dead);
    assert!(output.contains("help: kafka-configs") && output.contains(&cure), "{output}");
    let created: Vec<String> =
        topics(kafka).into_iter().filter(|topic| is_of(&fine, topic) || is_of(&compacted, topic)).collect();
    assert_eq!(created, [compacted.dead.as_str()]);
    set(kafka, &compacted.dead, "cleanup.policy=delete");
    Host::start(kafka, &[&fine.path, &compacted.path]).stop();
}

#[test]
fn names_that_kafka_refuses_are_found_before_any_topic_is_created() {
    let kafka = Kafka::shared();
    let (fine, colliding) = (Guest::fast("apart"), Guest::fast("col_lide"));
    let other = colliding.dead.replace('_', ".");
    kafka.create_topic(&other, 1, &[]);
    let output = refused(kafka, &[&fine, &colliding]);
    let problem = format!("error: topic {} cannot be created, because topic {other} exists", colliding.dead);
    assert!(output.contains(&problem) && output.contains("dead-letter-suffix"), "{output}");
    let created = topics(kafka);
    let created = created.iter().find(|topic| is_of(&fine, topic) || is_of(&colliding, topic));
    assert_eq!(created, None);
}

#[test]
fn a_dead_letter_topic_that_is_compacted_later_blocks_with_the_reason() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("shrinking");
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = Host::start_with(kafka, &[&guest.path], frequent_refresh());
    set(kafka, &guest.dead, "cleanup.policy=compact");
    // A record without a key.
    kafka.produce(&guest.topic, [Record::new(body("1", "reject", ""))]);
    let is_blocked =
        |line: &str| line.contains("cannot publish a failed message") && line.contains(&guest.dead);
    let line = host.process.wait_for(is_blocked, BOUND);
    assert!(line.contains(&format!("set cleanup.policy=delete on topic {}", guest.dead)), "{line}");
    let is_reported =
        |line: &str| line.contains(" ERROR ") && line.contains(&format!("topic {} is compacted", guest.dead));
    host.process.wait_for(is_reported, BOUND);
    assert_eq!(kafka.lag(&guest.group, &guest.topic), 1);
    set(kafka, &guest.dead, "cleanup.policy=delete");
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    guest.settle(kafka);
    let lines = host.stop();
    assert_eq!(attempts(&deliveries(&lines), "1"), [1]);
    for (what, times) in [
        ("blocked", lines.iter().filter(|line| is_blocked(line)).count()),
        ("reported", lines.iter().filter(|line| is_reported(line)).count()),
    ] {
        assert_eq!(times, 1, "{what}: {}", lines.join("\n"));
    }
}

#[test]
fn records_of_derived_topics_have_the_time_of_their_failure() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("old-record");
    kafka.create_topic(&guest.topic, 1, &[("retention.ms", "-1")]);
    let mut old = Record::new(body("1", "retry", ""));
    old.timestamp_ms = 1_000_000_000_000;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let host = Host::start(kafka, &[&guest.path]);
    kafka.produce(&guest.topic, [old]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    host.stop();
    // Kafka removes records by this time.
    for topic in guest.retry_topics.iter().chain([&guest.dead]) {
        let record = kafka.read_all(topic).pop().expect("a record");
        assert!(record.timestamp_ms.unsigned_abs() >= started.as_millis() as u64, "{topic}: {record:?}");
    }
}
