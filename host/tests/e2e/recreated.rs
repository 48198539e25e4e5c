//! Source topics that are deleted and created again, cut, or shortened by their retention.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use testkit::{Kafka, Record, eventually, get};

use crate::alerts::open_dead_letters;
use crate::support::{BOUND, Guest, Host, body, deliveries, fresh, sqlite};
use crate::topics::{add_partitions, admin, block_on, delete};

fn done(ids: impl Iterator<Item = usize>, name: &str) -> Vec<Record> {
    ids.map(|id| Record::new(body(&format!("{name}-{id}"), "done", ""))).collect()
}

/// Deletes a topic, which has records, and creates it again at once, before anybody notices. Until the broker has
/// replaced the log, it acknowledges records and deletes them with the old topic.
fn recreate(kafka: &Kafka, topic: &str) {
    delete(kafka, topic);
    kafka.create_topic(topic, 1, &[]);
    eventually(BOUND, || kafka.is_empty(topic));
}

fn all_handled(lines: &[String], ids: impl Iterator<Item = String>) {
    let handled = deliveries(lines);
    let missing: Vec<String> = ids.filter(|id| !handled.contains_key(id)).collect();
    assert!(missing.is_empty(), "{} are missing: {missing:?}", missing.len());
}

#[test]
fn a_topic_created_again_during_a_call_is_read_from_its_beginning() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("again"));
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    kafka.produce(&guest.topic, [Record::new(body("slow", "sleep", r#","ms":4000"#))]);
    kafka.produce(&guest.topic, done(1..100, "old"));
    host.process.wait_for(|line| line.contains("handled id=old-99 "), BOUND);
    recreate(kafka, &guest.topic);
    kafka.produce(&guest.topic, done(0..100, "new"));
    let handled = || {
        let lines = host.process.lines();
        deliveries(&lines).keys().filter(|id| id.starts_with("new-")).count()
    };
    eventually(BOUND, || handled() == 100 && kafka.committed(&guest.group, &guest.topic)[0] == Some(100));
    host.stop();
    // Another host goes on there.
    kafka.produce(&guest.topic, done(100..110, "new"));
    let host = Host::start(kafka, &[&guest.path]);
    host.process.wait_for(|line| line.contains("handled id=new-109 "), BOUND);
    assert_eq!(host.handled("new-0"), 0);
    host.stop();
}

#[test]
fn a_topic_created_again_that_is_longer_than_before_is_read_from_its_beginning() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("longer"));
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    kafka.produce(&guest.topic, done(0..50, "old"));
    guest.settle(kafka);
    recreate(kafka, &guest.topic);
    kafka.produce(&guest.topic, done(0..200, "new"));
    let wanted: HashSet<String> = (0..200).map(|id| format!("new-{id}")).collect();
    eventually(BOUND, || {
        let handled = deliveries(&host.process.lines());
        wanted.iter().all(|id| handled.contains_key(id))
    });
    guest.settle(kafka);
    host.stop();
}

/// The leader epochs of a new log begin anew, and librdkafka never takes a lower one than it knows.
#[test]
fn topics_created_again_after_leader_elections_hide_no_message() {
    let (kafka, guest) = (Kafka::start(), Guest::fast("epochs"));
    kafka.create_topic(&guest.topic, 1, &[]);
    let store = sqlite(&fresh("epochs"));
    // A broker that starts slowly may load a group twice and forget the sessions of its members: a rebalance then takes this
    // long, 5 min by default.
    let more = ["--store", &store, "-X", "max.poll.interval.ms=60000"];
    let host = Host::start_with(&kafka, &[&guest.path], &more);
    let publish = |ids: std::ops::Range<usize>, name: &str| {
        kafka.produce(&guest.topic, done(ids.clone(), name));
        kafka.produce(
            &guest.topic,
            ids.map(|id| Record::new(body(&format!("{name}-bad-{id}"), "reject", ""))),
        );
    };
    let is_complete = |name: &str, count: usize, dead_letters: u64| {
        eventually(3 * BOUND, || {
            let handled = deliveries(&host.process.lines());
            (0..count).all(|id| handled.contains_key(&format!("{name}-{id}")))
                && open_dead_letters(&host) == Some(dead_letters)
        });
    };
    publish(0..10, "old");
    is_complete("old", 10, 10);
    // Every start of the broker is an election, of which the client learns when it fetches.
    for round in 1..=2 {
        kafka.restart();
        publish(0..10, &format!("old{round}"));
        is_complete(&format!("old{round}"), 10, 10 * (round + 1));
    }
    for topic in [&guest.topic, &guest.dead] {
        recreate(&kafka, topic);
    }
    publish(0..100, "new");
    // Until the client is replaced, the host says that messages wait.
    eventually(BOUND, || {
        let health = get(host.port, "/readyz").expect("an answer").text();
        health.contains("Kafka does not deliver its messages")
    });
    is_complete("new", 100, 30 + 100);
    let replaced = host.process.lines().iter().filter(|line| line.contains("with a new client")).count();
    assert!(replaced > 0, "the elections have made the client's epoch higher than that of the new log");
    host.stop();
}

#[test]
fn a_topic_created_again_while_the_host_is_stopped_is_read_from_its_beginning() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("absent"));
    kafka.create_topic(&guest.topic, 1, &[]);
    kafka.produce(&guest.topic, done(0..50, "old"));
    let host = Host::start(kafka, &[&guest.path]);
    guest.settle(kafka);
    host.stop();
    let metadata = committed_metadata(kafka, &guest);
    recreate(kafka, &guest.topic);
    kafka.produce(&guest.topic, done(0..60, "new"));
    // Kafka removes the commit with the topic, but one that was under way may arrive later.
    commit(kafka, &guest, 50, &metadata);
    let host = Host::start(kafka, &[&guest.path]);
    host.process.wait_for(|line| line.contains("created again") && line.contains(&guest.topic), BOUND);
    guest.settle(kafka);
    all_handled(&host.stop(), (0..60).map(|id| format!("new-{id}")));
}

#[test]
fn a_commit_beyond_the_end_of_the_log_hides_no_message() {
    let kafka = Kafka::shared();
    for (name, metadata) in [("beyond-1", "host1 5k 0 0"), ("beyond-2", "host2 0 1 0 5k 0 0")] {
        let guest = Guest::fast(name);
        kafka.create_topic(&guest.topic, 1, &[]);
        kafka.produce(&guest.topic, done(0..10, name));
        commit(kafka, &guest, 1000, metadata);
        let host = Host::start(kafka, &[&guest.path]);
        host.process.wait_for(|line| line.contains("the log ends before the commit"), BOUND);
        eventually(BOUND, || kafka.committed(&guest.group, &guest.topic)[0] == Some(10));
        all_handled(&host.stop(), (0..10).map(|id| format!("{name}-{id}")));
    }
}

#[test]
fn messages_that_were_removed_before_they_were_handled_are_reported() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("expired"));
    kafka.create_topic(&guest.topic, 1, &[]);
    kafka.produce(&guest.topic, done(0..10, "old"));
    let host = Host::start(kafka, &[&guest.path]);
    guest.settle(kafka);
    host.stop();
    kafka.produce(&guest.topic, done(10..30, "old"));
    remove_before(kafka, &guest.topic, 25);
    let host = Host::start(kafka, &[&guest.path]);
    let line = host.process.wait_for(|line| line.contains("removed from the log before"), BOUND);
    assert!(line.contains("count=15") && line.contains("retention.ms"), "{line}");
    guest.settle(kafka);
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    let counted =
        format!(r#"host_expired_messages_total{{group="{}",topic="{}"}} 15"#, guest.group, guest.topic);
    assert!(metrics.contains(&counted), "{metrics}");
    all_handled(&host.stop(), (25..30).map(|id| format!("old-{id}")));
}

#[test]
fn a_partition_added_later_is_read_from_its_beginning_also_from_the_latest() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("added"));
    kafka.create_topic(&guest.topic, 1, &[]);
    kafka.produce(&guest.topic, done(0..5, "before"));
    let host = Host::start_with(kafka, &[&guest.path], &["--auto-offset-reset", "latest"]);
    kafka.produce(&guest.topic, done(0..5, "first"));
    host.process.wait_for(|line| line.contains("handled id=first-4 "), BOUND);
    guest.settle(kafka);
    host.stop();
    add_partitions(kafka, &guest.topic, 3);
    for partition in 1..3 {
        let records = done(0..20, &format!("p{partition}")).into_iter().map(|record| record.on(partition));
        kafka.produce(&guest.topic, records);
    }
    let host = Host::start_with(kafka, &[&guest.path], &["--auto-offset-reset", "latest"]);
    guest.settle(kafka);
    assert_eq!(host.handled("before-0"), 0);
    all_handled(&host.stop(), (1..3).flat_map(|p| (0..20).map(move |id| format!("p{p}-{id}"))));
}

fn client(kafka: &Kafka, group: &str) -> BaseConsumer {
    kafka.config(group).create().expect("a consumer")
}

fn commit(kafka: &Kafka, guest: &Guest, offset: i64, metadata: &str) {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(&guest.topic, 0);
    element.set_offset(Offset::Offset(offset)).expect("an offset");
    element.set_metadata(metadata);
    let client = client(kafka, &guest.group);
    eventually(BOUND, || client.commit(&list, CommitMode::Sync).is_ok());
}

fn committed_metadata(kafka: &Kafka, guest: &Guest) -> String {
    let mut list = TopicPartitionList::new();
    list.add_partition(&guest.topic, 0);
    let found =
        client(kafka, &guest.group).committed_offsets(list, Duration::from_secs(30)).expect("commits");
    found.elements()[0].metadata().to_owned()
}

fn remove_before(kafka: &Kafka, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("an offset");
    let removed = block_on(admin(kafka).delete_records(&list, &AdminOptions::new())).expect("an answer");
    assert!(removed.elements().iter().all(|element| element.error().is_ok()), "{removed:?}");
}
