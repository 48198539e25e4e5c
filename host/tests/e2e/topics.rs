//! Topics that change while the host runs.

use std::time::Instant;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use testkit::{Kafka, Record, eventually, long};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, id_of};

/// A short refresh interval. `LONG=1` uses the default of half a minute.
pub fn frequent_refresh() -> &'static [&'static str] {
    if long() { &[] } else { &["-X", "topic.metadata.refresh.interval.ms=1000"] }
}

/// The largest number of partitions of a topic that is deleted.
const MAX_PARTITIONS: usize = 16;

/// An admin client.
pub fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    kafka.config("").create().expect("an admin client")
}

/// Waits for an answer to an admin client.
pub fn block_on<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(answer)
}

/// Adds partitions to a topic.
pub fn add_partitions(kafka: &Kafka, topic: &str, to: usize) {
    let (admin, wanted) = (admin(kafka), NewPartitions::new(topic, to));
    let results = block_on(admin.create_partitions([&wanted], &AdminOptions::new()));
    assert!(results.expect("an answer").iter().all(Result::is_ok), "{topic}");
    eventually(BOUND, || kafka.end_offsets(topic).len() == to);
}

/// Deletes a topic. Until its log is renamed, the broker acknowledges records that will be gone.
pub fn delete(kafka: &Kafka, topic: &str) {
    let admin = admin(kafka);
    let results = block_on(admin.delete_topics(&[topic], &AdminOptions::new()));
    assert!(results.expect("an answer").iter().all(Result::is_ok), "{topic}");
    let log = |partition: usize| kafka.dir().join(format!("data/{topic}-{partition}"));
    eventually(BOUND, || (0..MAX_PARTITIONS).all(|partition| !log(partition).exists()));
}

fn failing(id: usize, partition: i32) -> Record {
    Record::new(body(&id.to_string(), "retry", "")).with_key(id.to_string()).on(partition)
}

#[test]
fn new_partitions_of_the_source_are_read_and_added_to_derived_topics() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("grow");
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = Host::start_with(kafka, &[&guest.path], frequent_refresh());
    kafka.produce(&guest.topic, (0..10).map(|id| failing(id, (id % 2) as i32)));
    guest.settle(kafka);
    let added = Instant::now();
    add_partitions(kafka, &guest.topic, 5);
    // Records that arrive before the refresh are not lost.
    kafka.produce(&guest.topic, [failing(10, 4)]);
    eventually(BOUND, || host.handled("10") > 0);
    println!(
        "a record in a new partition was handled {:.1} s after it was published",
        added.elapsed().as_secs_f64()
    );
    for topic in guest.retry_topics.iter().chain([&guest.dead]) {
        eventually(BOUND, || kafka.end_offsets(topic).len() == 5);
    }
    println!("the derived topics had its partitions after {:.1} s", added.elapsed().as_secs_f64());
    host.process.wait_for(|line| line.contains("partitions added to match the source topic"), BOUND);
    guest.settle(kafka);
    kafka.produce(&guest.topic, (11..31).map(|id| failing(id, (id % 5) as i32)));
    guest.settle(kafka);
    let lines = host.stop();
    let grown =
        lines.iter().filter(|line| line.contains("partitions added to match the source topic")).count();
    assert_eq!(grown, 6, "once for each derived topic");
    let all = deliveries(&lines);
    for id in 0..31 {
        assert_eq!(attempts(&all, &id.to_string()), [1, 2, 3, 4, 5, 6], "{id}");
    }
    let dead = kafka.read_all(&guest.dead);
    assert_eq!(dead.len(), 31);
    // From then on every record keeps its partition number.
    for record in dead {
        let id: i32 = id_of(&record).parse().expect("a number");
        assert!(id < 11 || record.partition == id % 5, "{id} is in partition {}", record.partition);
    }
}

#[test]
fn partitions_added_during_a_stop_are_added_to_derived_topics_at_start() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("grow-off");
    kafka.create_topic(&guest.topic, 1, &[]);
    Host::start(kafka, &[&guest.path]).stop();
    add_partitions(kafka, &guest.topic, 3);
    // Not if the operator manages the topics.
    Host::start_with(kafka, &[&guest.path], &["--create-topics=false"]).stop();
    assert_eq!(kafka.end_offsets(&guest.dead).len(), 1);
    Host::start(kafka, &[&guest.path]).stop();
    for topic in guest.retry_topics.iter().chain([&guest.dead]) {
        assert_eq!(kafka.end_offsets(topic).len(), 3, "{topic}");
    }
}

#[test]
fn a_deleted_retry_topic_is_recreated_unchanged() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("deleted");
    kafka.create_topic(&guest.topic, 2, &[("max.message.bytes", "200000")]);
    let host = Host::start_with(kafka, &[&guest.path], frequent_refresh());
    kafka.produce(&guest.topic, (0..10).map(|id| failing(id, (id % 2) as i32)));
    guest.settle(kafka);
    // The committed offset is 5 in each partition. It must not apply to the new topic.
    let deleted = &guest.retry_topics[1];
    delete(kafka, deleted);
    kafka.produce(&guest.topic, (10..40).map(|id| failing(id, (id % 2) as i32)));
    host.process.wait_for(|line| line.contains("created") && line.contains(deleted.as_str()), BOUND);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 40);
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    for id in 0..40 {
        assert_eq!(attempts(&all, &id.to_string()), [1, 2, 3, 4, 5, 6], "{id}");
    }
    assert_eq!(kafka.end_offsets(deleted).len(), 2);
    let settings = kafka.cli(
        "configs",
        &[
            "--bootstrap-server",
            kafka.bootstrap(),
            "--describe",
            "--entity-type",
            "topics",
            "--entity-name",
            deleted,
        ],
    );
    assert!(settings.contains("max.message.bytes=265536"), "{settings}");
}
