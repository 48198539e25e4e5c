//! Topics that change while the host runs.

use std::time::Instant;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use testkit::{Kafka, Record, eventually, long};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, id_of};

/// So that a test need not wait half a minute; `LONG=1` does.
fn often() -> &'static [&'static str] {
    if long() { &[] } else { &["-X", "topic.metadata.refresh.interval.ms=1000"] }
}

fn add_partitions(kafka: &Kafka, topic: &str, to: usize) {
    let admin: AdminClient<DefaultClientContext> = kafka.config("").create().expect("an admin client");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let wanted = NewPartitions::new(topic, to);
    let results = runtime.block_on(admin.create_partitions([&wanted], &AdminOptions::new()));
    assert!(results.expect("an answer").iter().all(Result::is_ok), "{topic}");
    eventually(BOUND, || kafka.end_offsets(topic).len() == to);
}

fn delete(kafka: &Kafka, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = kafka.config("").create().expect("an admin client");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let results = runtime.block_on(admin.delete_topics(&[topic], &AdminOptions::new()));
    assert!(results.expect("an answer").iter().all(Result::is_ok), "{topic}");
}

fn failing(id: usize, partition: i32) -> Record {
    Record::new(body(&id.to_string(), "retry", "")).with_key(id.to_string()).on(partition)
}

#[test]
fn new_partitions_of_the_source_are_read_and_copied() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("grow");
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = Host::start_with(kafka, &[&guest.path], often());
    kafka.produce(&guest.topic, (0..10).map(|id| failing(id, (id % 2) as i32)));
    guest.settle(kafka);
    let added = Instant::now();
    add_partitions(kafka, &guest.topic, 5);
    // What comes before anybody has noticed is not lost either.
    kafka.produce(&guest.topic, [failing(10, 4)]);
    eventually(BOUND, || host.handled("10") > 0);
    println!(
        "a record in a new partition was handled {:.1} s after it was there",
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
    // From then on every record keeps the number of its partition.
    for record in dead {
        let id: i32 = id_of(&record).parse().expect("a number");
        assert!(id < 11 || record.partition == id % 5, "{id} is in partition {}", record.partition);
    }
}

#[test]
fn partitions_that_were_added_meanwhile_are_copied_at_the_next_start() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("grow-off");
    kafka.create_topic(&guest.topic, 1, &[]);
    Host::start(kafka, &[&guest.path]).stop();
    add_partitions(kafka, &guest.topic, 3);
    // Not where the operator keeps the topics.
    Host::start_with(kafka, &[&guest.path], &["--create-topics=false"]).stop();
    assert_eq!(kafka.end_offsets(&guest.dead).len(), 1);
    Host::start(kafka, &[&guest.path]).stop();
    for topic in guest.retry_topics.iter().chain([&guest.dead]) {
        assert_eq!(kafka.end_offsets(topic).len(), 3, "{topic}");
    }
}

#[test]
fn a_deleted_retry_topic_comes_back_as_it_was() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("deleted");
    kafka.create_topic(&guest.topic, 2, &[("max.message.bytes", "200000")]);
    let host = Host::start_with(kafka, &[&guest.path], often());
    kafka.produce(&guest.topic, (0..10).map(|id| failing(id, (id % 2) as i32)));
    guest.settle(kafka);
    // Its readers stand at 5 in each partition, and must not go on there in the new topic.
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
