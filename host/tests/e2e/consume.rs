//! `host consume` in the consumer group of others.

use testkit::{Kafka, Process, Record, eventually};

use crate::support::{BOUND, Guest, Host, body};

/// Starts `host consume` in a group.
fn consume(kafka: &Kafka, topic: &str, group: &str, more: &[&str]) -> Process {
    let args = ["consume", topic, "--group", group, "--from-beginning", "--bootstrap-servers"];
    Process::start("host", &[&args[..], &[kafka.bootstrap()], more].concat())
}

/// Runs a `host consume` that must refuse to join. Returns its output.
#[track_caller]
fn refused(kafka: &Kafka, topic: &str, group: &str, more: &[&str]) -> String {
    let mut process = consume(kafka, topic, group, more);
    let code = process.wait(BOUND).code();
    let output = process.lines().join("\n");
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains(&format!("error: group {group} is active")), "{output}");
    assert!(output.contains("omit --group") && output.contains("--steal"), "{output}");
    output
}

#[test]
fn a_group_with_members_is_joined_only_on_request() {
    const ASSIGNOR: &str = "partition.assignment.strategy=cooperative-sticky";
    let kafka = Kafka::shared();
    let guest = Guest::fast("stolen");
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = Host::start_with(kafka, &[&guest.path], &["-X", "client.id=the host"]);
    for more in [&["-X", ASSIGNOR][..], &[]] {
        let output = refused(kafka, &guest.topic, &guest.group, more);
        assert!(output.contains("members: 1\n  the host on 127.0.0.1"), "{output}");
    }
    assert_eq!(kafka.members(&guest.group).len(), 1);
    let more = ["--steal", "--max-messages", "1", "-X", ASSIGNOR];
    let mut thief = consume(kafka, &guest.topic, &guest.group, &more);
    // Until it has one of the two partitions.
    eventually(BOUND, || {
        kafka.produce(&guest.topic, [0, 1].map(|partition| Record::new(body("1", "done", "")).on(partition)));
        !thief.is_running()
    });
    assert_eq!(thief.wait(BOUND).code(), Some(0), "{}", thief.lines().join("\n"));
    host.stop();
    // Nobody is left to take messages from.
    kafka.produce(&guest.topic, [Record::new(body("2", "done", ""))]);
    let mut alone = consume(kafka, &guest.topic, &guest.group, &["--max-messages", "1"]);
    assert_eq!(alone.wait(BOUND).code(), Some(0), "{}", alone.lines().join("\n"));
}

#[test]
fn a_group_of_the_newer_protocol_with_members_is_joined_only_on_request() {
    const NEWER: [&str; 2] = ["-X", "group.protocol=consumer"];
    let (kafka, topic, group) = (Kafka::shared(), "stolen-newer", "stolen-newer-group");
    kafka.create_topic(topic, 1, &[]);
    kafka.produce(topic, [Record::new("first")]);
    let mut member = consume(kafka, topic, group, &NEWER);
    member.wait_for(|line| line == "first", BOUND);
    eventually(BOUND, || kafka.committed(group, topic) == [Some(1)]);
    refused(kafka, topic, group, &NEWER);
    refused(kafka, topic, group, &[]);
    member.terminate();
    assert!(member.wait(BOUND).success());
    kafka.produce(topic, [Record::new("second")]);
    let mut alone = consume(kafka, topic, group, &[&NEWER[..], &["--max-messages", "1"]].concat());
    alone.wait_for(|line| line == "second", BOUND);
    assert_eq!(alone.wait(BOUND).code(), Some(0));
}
