//! Different retry policies of the two sides are refused, and the error names the difference.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use testkit::{Boot, Record};

use crate::fixture::{BOUND, Consumer, Deliveries, SPRING_STOPPED, stop, wait_for_attempt};
use crate::support::body;

#[test]
fn different_policies_are_refused_with_their_difference() {
    // Delays of 500 ms and 2 s. The third would be 8 s.
    let consumer = Consumer::new(Boot::Three, "differ", 2, 500, 4);
    let fail = |id: &str| Record::new(body(id, "retry", "")).on(0);
    let process = consumer.spring();
    consumer.kafka.produce(&consumer.topic, [fail("spring")]);
    testkit::eventually(BOUND, || consumer.kafka.read_all(&consumer.dead).len() == 1);
    stop(process, SPRING_STOPPED);

    let fewer = "differ-retry-2000 is read by Spring and not by this host's policy";
    let more = "differ-retry-8000 is read by this host's policy and not by Spring";
    let right = "set under [plugin.retry]: retries = 2, delay = \"500ms\", multiplier = 4.0";
    consumer.refuses(1, &[], &["the retry policies differ", fewer, right]);
    consumer.refuses(3, &[], &["the retry policies differ", more, right]);
    assert_eq!(consumer.adopt(2, &[]).0, Some(0));

    // A host that runs with another policy leaves messages in a topic that Spring does not read.
    let process = consumer.host(3);
    consumer.kafka.produce(&consumer.topic, [fail("host")]);
    wait_for_attempt(&process, Deliveries::of_host, 3, 1);
    testkit::eventually(BOUND, || consumer.kafka.read_all("differ-retry-8000").len() == 1);
    stop(process, 0);
    consumer.refuses(
        3,
        &["--to-spring"],
        &[more, right, "first let this host finish the messages in differ-retry-8000"],
    );
    let left = "differ-retry-8000 holds messages that neither side has read (1)";
    consumer.refuses(2, &["--to-spring"], &[left]);
    let process = consumer.host(3);
    wait_for_attempt(&process, Deliveries::of_host, 4, 1);
    testkit::eventually(BOUND, || consumer.kafka.lag(&consumer.retry_group(), "differ-retry-8000") == 0);
    stop(process, 0);
    let (code, text) = consumer.adopt(2, &["--to-spring"]);
    assert_eq!(code, Some(0), "{text}");
}

/// Older requests do not list members of the newer protocol. The error of the broker reveals them.
#[test]
fn a_member_that_is_not_listed_is_detected() {
    let consumer = Consumer::new(Boot::Three, "unseen", 2, 500, 4);
    for topic in consumer.retry_topics() {
        consumer.kafka.create_topic(&topic, 1, &[]);
    }
    consumer.kafka.produce(&consumer.topic, [Record::new("x").on(0)]);
    let mut config = consumer.kafka.config(&consumer.group);
    config
        .set("group.protocol", "consumer")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    let member: BaseConsumer = config.create().expect("a consumer");
    member.subscribe(&[&consumer.topic]).expect("subscribed");
    testkit::eventually(BOUND, || {
        let message = member.poll(Duration::from_millis(100)).and_then(Result::ok);
        message.is_some_and(|message| member.commit_message(&message, CommitMode::Sync).is_ok())
    });
    consumer.refuses(2, &[], &["group unseen-group is active"]);
    member.unsubscribe();
    drop(member);
    testkit::eventually(BOUND, || consumer.adopt(2, &[]).0 == Some(0));
}
