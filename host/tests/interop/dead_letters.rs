//! Dead letters of Spring read by the host, and those of the host read by Spring.

use std::collections::HashMap;

use desk::{Desk, record};
use desk_api::{Filter, PageSelector};
use kafka::headers::{Origin, RetryInfo};
use store::{Store, StoreUrl};
use testkit::{Boot, Process, Record};

use crate::fixture::{BOUND, Consumer, SPRING_STOPPED, stop};
use crate::support::{between, body, id_of};

/// The dead letters printed by the Spring reader, by message id.
pub fn read_by_spring(process: &Process) -> HashMap<String, String> {
    let lines = process.lines().into_iter().filter(|line| line.starts_with("dead at="));
    lines.map(|line| (between(&line, "\"id\":\"", "\"").expect("an id").to_owned(), line)).collect()
}

/// Checks a line of the Spring reader against the source record and the exception.
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

/// Checks the headers of a dead letter, as read by the host, against the source record.
#[track_caller]
pub fn check_trail(consumer: &Consumer, dead_letter: &Record, source: &Record, next_attempt: u32) {
    let headers = dead_letter.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
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
    assert_eq!((&dead_letter.key, &dead_letter.value), (&source.key, &source.value));
    assert_eq!(dead_letter.header_text("trace"), source.header_text("trace"));
}

/// Checks that the desk has the dead letters of both sides with the same fields.
#[track_caller]
fn check_desk(consumer: &Consumer, of_spring: &Record, of_host: &Record) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let desk = runtime.block_on(async {
        let url = StoreUrl::parse(&consumer.store).expect("a URL");
        Desk::open(&Store::open(url).await.expect("a store")).await.expect("a desk")
    });
    let all = || {
        let all = Filter::default();
        runtime.block_on(desk.full_dead_letters(&all, &PageSelector::First, 10)).expect("dead letters").items
    };
    testkit::eventually(BOUND, || all().len() == 3);
    let dead_letters = all();
    let find = |source: &Record| {
        let found = dead_letters
            .iter()
            .find(|dead_letter| dead_letter.value.as_ref().map(|value| &value.0) == source.value.as_ref());
        found.expect("a dead letter of the source record").clone()
    };
    let (spring, host) = (find(of_spring), find(of_host));
    for (dead_letter, source) in [(&spring, of_spring), (&host, of_host)] {
        let origin = (&dead_letter.source.topic, dead_letter.source.partition, dead_letter.source.offset);
        assert_eq!(origin, (&consumer.topic, source.partition, source.offset));
        assert_eq!(dead_letter.source_timestamp_ms, Some(source.timestamp_ms));
        assert_eq!(
            (&dead_letter.consumer_group, dead_letter.attempts),
            (&consumer.group, consumer.retries + 1)
        );
        assert_eq!(dead_letter.key.as_ref().map(|key| &key.0), source.key.as_ref());
        assert_eq!(
            record::sender_headers(dead_letter).collect::<Vec<_>>(),
            [(&b"trace"[..], Some(&b"1"[..]))]
        );
    }
    assert_eq!((&*spring.code, &spring.plugin), ("java.lang.IllegalStateException", &consumer.group));
    assert!(spring.detail.contains("asked to retry") && spring.backtrace.contains("interop.Handler"));
    assert_eq!((&*host.code, &*host.detail), ("asked-retry", "asked to retry"));
    assert!(host.plugin.starts_with("faulty@") && host.digest.len() == 64);
}

#[test]
fn each_side_reads_dead_letters_of_the_other_boot_3_5() {
    exchange(Boot::Three, "exchange-3");
}

#[test]
fn each_side_reads_dead_letters_of_the_other_boot_4_1() {
    exchange(Boot::Four, "exchange-4");
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
    let dead_letters = consumer.kafka.read_all(&consumer.dead);
    let dead_letter = dead_letters
        .iter()
        .find(|dead_letter| id_of(dead_letter) == "of-spring")
        .expect("the dead letter of Spring");
    check_trail(&consumer, dead_letter, &source("of-spring"), 4);
    let text = |name: &str| dead_letter.header_text(name).unwrap_or_else(|| panic!("no {name}"));
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
    assert_eq!(consumer.kafka.read_all(&consumer.dead).len(), 3, "no message was delivered again");
}
