//! The consumer group protocol of KIP-848, which plugins do not support.

use std::ops::Range;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use testkit::{Kafka, Process, Record, eventually};

use crate::support::{BOUND, Guest, Host, body, deliveries};

fn start(kafka: &Kafka, guest: &Guest, more: &[&str]) -> Process {
    let plugin = guest.path.to_str().expect("a path in UTF-8");
    let args = ["--bootstrap-servers", kafka.bootstrap(), "--plugin", plugin, "--listen", "127.0.0.1:0"];
    Process::start("host", &[&args[..], more].concat())
}

#[test]
fn the_consumer_protocol_is_refused_before_any_topic_is_created() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("newer"));
    let mut host = start(kafka, &guest, &["-X", "group.protocol=consumer"]);
    let (status, output) = (host.wait(BOUND), host.lines().join("\n"));
    assert_eq!(status.code(), Some(2), "{output}");
    assert!(output.contains("error: -X group.protocol: cannot be set, because"), "{output}");
    let client: BaseConsumer = kafka.config("none").create().expect("a client");
    let metadata = client.fetch_metadata(None, BOUND).expect("an answer");
    let created = metadata.topics().iter().find(|topic| topic.name().starts_with(&guest.topic));
    assert!(created.is_none(), "{:?}", created.map(|topic| topic.name().to_owned()));
}

/// A member that uses the consumer protocol and commits nothing.
fn newer_member(kafka: &Kafka, guest: &Guest) -> BaseConsumer {
    let mut config = kafka.config(&guest.group);
    config.set("group.protocol", "consumer").set("enable.auto.commit", "false");
    let member: BaseConsumer = config.create().expect("a consumer");
    member.subscribe(&[&guest.topic]).expect("subscribed");
    member
}

fn wait_for_partitions(member: &BaseConsumer, partitions: usize) {
    eventually(BOUND, || {
        let _ = member.poll(Duration::from_millis(50));
        member.assignment().is_ok_and(|list| list.count() == partitions)
    });
}

/// The broker admits the classic protocol to a group of the consumer protocol. It does not admit the consumer protocol
/// to a group of hosts, whose assignment strategy it does not understand.
#[test]
fn a_host_joins_a_group_of_the_consumer_protocol_and_is_not_disturbed_by_its_members() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("newer-group"));
    kafka.create_topic(&guest.topic, 2, &[]);
    let produce = |ids: Range<i32>| {
        let message = |id: i32| Record::new(body(&format!("m{id}"), "done", "")).on(id % 2);
        kafka.produce(&guest.topic, ids.map(message));
    };
    produce(0..40);
    let newer = newer_member(kafka, &guest);
    wait_for_partitions(&newer, 2);
    let host = Host::start(kafka, &[&guest.path]);
    wait_for_partitions(&newer, 1);
    drop(newer);
    guest.settle(kafka);
    let newer = newer_member(kafka, &guest);
    for ids in [40..60, 60..80] {
        produce(ids);
        guest.settle(kafka);
        wait_for_partitions(&newer, 0);
    }
    let all = deliveries(&host.stop());
    assert_eq!(all.len(), 80);
    assert!(all.values().all(|deliveries| deliveries.len() == 1), "handled once");
}
