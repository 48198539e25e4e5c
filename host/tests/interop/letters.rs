//! A dead letter of either side, read by the other.

use std::collections::HashMap;

use desk::{At, Desk, Filter};
use kafka::headers::{Origin, RetryInfo};
use store::{Store, StoreUrl};
use testkit::{Boot, Process, Record};

use crate::fixture::{BOUND, Consumer, SPRING_STOPPED, stop};
use crate::support::{between, body, id_of};

/// The letters that Spring's reader has printed, by the message's id.
pub fn read_by_spring(process: &Process) -> HashMap<String, String> {
    let lines = process.lines().into_iter().filter(|line| line.starts_with("dead at="));
    lines.map(|line| (between(&line, "\"id\":\"", "\"").expect("an id").to_owned(), line)).collect()
}

/// What Spring's reader printed of a letter is what the source record and the exception say.
#[track_caller]
pub fn check_line(consumer: &Consumer, line: &str, source: &Record, exception: &str) {
    let origin = format!(
        " original-topic={} original-partition={} original-offset={} original-timestamp={} timestamp-type=CreateTime \
         group={} ",
        consumer.topic, source.partition, source.offset, source.timestamp_ms, consumer.group
    );
    assert!(line.contains(&origin), "no {origin:?} in {line}");
    assert!(line.contains(exception), "no {exception:?} in {line}");
}

/// What the host's own reader finds in a letter is what the source record says.
#[track_caller]
pub fn check_trail(consumer: &Consumer, letter: &Record, source: &Record, next_attempt: u32) {
    let headers = letter.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
    let trail = RetryInfo::read_from(headers);
    let here = Origin { topic: "nowhere", partition: -1, offset: -1, timestamp: None };
    let origin = trail.origin(&here);
    assert_eq!(
        (origin.topic, origin.partition, origin.offset),
        (&*consumer.topic, source.partition, source.offset)
    );
    assert_eq!(origin.timestamp.map(|(millis, _)| millis), Some(source.timestamp_ms));
    assert_eq!(trail.group.as_deref(), Some(consumer.group.as_bytes()));
    assert_eq!(trail.attempt, next_attempt);
    assert!(trail.due_ms.is_some());
    assert_eq!((&letter.key, &letter.value), (&source.key, &source.value));
    assert_eq!(letter.header_text("trace"), source.header_text("trace"));
}

/// The host's desk has the letters of both sides, and reads them alike.
#[track_caller]
fn check_desk(consumer: &Consumer, of_spring: &Record, of_host: &Record) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let desk = runtime.block_on(async {
        let url = StoreUrl::parse(&consumer.store).expect("a URL");
        Desk::open(&Store::open(url).await.expect("a store")).await.expect("a desk")
    });
    let all = || {
        let all = Filter::default();
        runtime.block_on(desk.whole_letters(&all, &At::First, 10)).expect("letters").items
    };
    testkit::eventually(BOUND, || all().len() == 3);
    let letters = all();
    let find = |source: &Record| {
        let found = letters
            .iter()
            .find(|letter| letter.value.as_ref().map(|value| &value.0) == source.value.as_ref());
        found.expect("a letter of it").clone()
    };
    let (spring, host) = (find(of_spring), find(of_host));
    for (letter, source) in [(&spring, of_spring), (&host, of_host)] {
        let origin = (&letter.source.topic, letter.source.partition, letter.source.offset);
        assert_eq!(origin, (&consumer.topic, source.partition, source.offset));
        assert_eq!(letter.source_timestamp_ms, Some(source.timestamp_ms));
        assert_eq!((&letter.consumer_group, letter.attempts), (&consumer.group, consumer.retries + 1));
        assert_eq!(letter.key.as_ref().map(|key| &key.0), source.key.as_ref());
        assert_eq!(letter.sender_headers().collect::<Vec<_>>(), [(&b"trace"[..], Some(&b"1"[..]))]);
    }
    assert_eq!((&*spring.code, &spring.plugin), ("java.lang.IllegalStateException", &consumer.group));
    assert!(spring.detail.contains("asked to retry") && spring.backtrace.contains("interop.Handler"));
    assert_eq!((&*host.code, &*host.detail), ("asked-retry", "asked to retry"));
    assert!(host.plugin.starts_with("faulty@") && host.digest.len() == 64);
}

#[test]
fn a_letter_of_either_side_is_read_by_the_other_boot_3_5() {
    exchange(Boot::Three, "letters-3");
}

#[test]
fn a_letter_of_either_side_is_read_by_the_other_boot_4_1() {
    exchange(Boot::Four, "letters-4");
}

fn exchange(boot: Boot, topic: &str) {
    let consumer = Consumer::new(boot, topic, 2, 100, 2);
    let sent = |id: &str| Record::new(body(id, "retry", "")).with_key("k").with_header("trace", "1").on(1);
    let process = consumer.spring();
    consumer.kafka.produce(&consumer.topic, [sent("first"), sent("of-spring")]);
    testkit::eventually(BOUND, || consumer.kafka.read_all(&consumer.dead).len() == 2);
    testkit::eventually(BOUND, || read_by_spring(&process).len() == 2);
    let own = read_by_spring(&process);
    stop(process, SPRING_STOPPED);

    let source = |id: &str| {
        let all = consumer.kafka.read_all(&consumer.topic);
        all.into_iter().find(|record| id_of(record) == id).expect("the source record")
    };
    check_line(&consumer, &own["of-spring"], &source("of-spring"), "cause=java.lang.IllegalStateException");
    let letters = consumer.kafka.read_all(&consumer.dead);
    let letter = letters.iter().find(|letter| id_of(letter) == "of-spring").expect("Spring's letter");
    check_trail(&consumer, letter, &source("of-spring"), 4);
    let text = |name: &str| letter.header_text(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(text("kafka_exception-cause-fqcn"), "java.lang.IllegalStateException");
    assert!(text("kafka_exception-message").contains("asked to retry"));
    assert!(text("kafka_exception-stacktrace").contains("interop.Handler"));

    assert_eq!(consumer.adopt(consumer.retries, &[]).0, Some(0));
    let host = consumer.host(consumer.retries);
    consumer.kafka.produce(&consumer.topic, [sent("of-host")]);
    testkit::eventually(BOUND, || consumer.kafka.read_all(&consumer.dead).len() == 3);
    consumer.settle();
    check_desk(&consumer, &source("of-spring"), &source("of-host"));
    stop(host, 0);
    assert_eq!(consumer.adopt(consumer.retries, &["--to-spring"]).0, Some(0));
    let process = consumer.spring();
    testkit::eventually(BOUND, || read_by_spring(&process).contains_key("of-host"));
    let line = &read_by_spring(&process)["of-host"];
    check_line(
        &consumer,
        line,
        &source("of-host"),
        "exception=consumer.plugin.Retry cause=asked-retry message=asked_to_retry",
    );
    stop(process, SPRING_STOPPED);
    assert_eq!(consumer.kafka.read_all(&consumer.dead).len(), 3, "nothing was given to the listener again");
}
