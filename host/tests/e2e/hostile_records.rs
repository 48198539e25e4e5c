//! Malformed and forged records.

use testkit::{Kafka, Record};

use crate::retry::BLOCK;
use crate::support::{Guest, Host, attempts, big_endian, body, deliveries, id_of};

#[test]
fn forged_and_broken_headers_reach_the_dead_letter_topic_byte_for_byte() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("forged");
    let host = Host::start(kafka, &[&guest.path]);
    let broken = Record::new(body("broken", "retry", ""))
        .with_header([0xff, 0xfe], "a name that is not UTF-8")
        .with_header("nul\0nul", [0, 0xff])
        .with_header("\0", "")
        .with_header("", "no name")
        .with_null_header("")
        .with_header("twice", "1")
        .with_null_header("twice")
        .with_header("twice", "1")
        .with_header(vec![b'n'; 10_000], vec![b'v'; 10_000]);
    let forged = Record::new(body("forged", "retry", ""))
        .with_header("kafka_original-topic", "evil")
        .with_header("kafka_original-partition", 7_i32.to_be_bytes())
        .with_header("kafka_original-offset", 7_i64.to_be_bytes())
        .with_header("kafka_original-timestamp", 7_i64.to_be_bytes())
        .with_header("kafka_dlt-original-consumer-group", "another-group")
        .with_header("kafka_dlt-original-topic", "evil")
        .with_header("kafka_exception-fqcn", "evil")
        .with_header("retry_topic-attempts", 6_i32.to_be_bytes())
        .with_header("retry_topic-attempts", [6])
        .with_header("retry_topic-backoff-timestamp", i64::MAX.to_be_bytes())
        .with_null_header("retry_topic-original-timestamp")
        .with_header("host-attempts", "6")
        .with_header("host-first-failed", "1")
        .with_header("host-value-cut", "1")
        .with_header("host-failure-code", "evil")
        .with_header("host-plugin", "evil@6.6.6")
        .with_header("host-id", "an-id");
    kafka.produce(&guest.topic, [broken.clone(), forged.clone()]);
    guest.settle(kafka);
    let lines = host.stop();
    let all = deliveries(&lines);
    let dead = kafka.read_all(&guest.dead);
    assert_eq!(dead.len(), 2);
    for (offset, sent) in [(0, &broken), (1, &forged)] {
        let id = id_of(sent);
        assert_eq!(attempts(&all, &id), [1, 2, 3, 4, 5, 6], "{id}");
        let dead = dead.iter().find(|dead| dead.value == sent.value).expect("the dead letter of the record");
        let (own, block) = dead.headers.split_at(sent.headers.len());
        assert_eq!(own, sent.headers, "{id}");
        let names: Vec<_> = block.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        assert_eq!(names, BLOCK, "{id}");
        assert_eq!(dead.header_text("kafka_original-topic").as_deref(), Some(guest.topic.as_str()));
        assert_eq!(big_endian(dead, "kafka_original-offset"), offset);
        assert_eq!(dead.header_text("host-attempts").as_deref(), Some("6"));
    }
    let id = lines.iter().filter(|line| line.contains("message=an-id ")).count();
    assert_eq!(id, 6, "every retry keeps the id of the sender");
}

#[test]
fn null_and_empty_values_stay_distinct() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("nulls");
    let host = Host::start(kafka, &[&guest.path]);
    let rejected = body("r", "reject", "");
    let sent = [
        Record::new(rejected.as_str()),
        Record::new(rejected.as_str()).with_key(""),
        // Not JSON: rejected.
        Record::new("").with_key("empty"),
        Record::new([0, 0xff, 0xfe]).with_key([0xff, 0]),
        // The guest completes tombstones.
        Record::tombstone().with_key("tombstone"),
        Record::tombstone(),
    ];
    kafka.produce(&guest.topic, sent.clone());
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    assert_eq!(attempts(&all, "-"), [1; 4], "two without a value, two without JSON");
    let mut dead: Vec<_> =
        kafka.read_all(&guest.dead).into_iter().map(|record| (record.key, record.value)).collect();
    let mut expected: Vec<_> = sent[..4].iter().cloned().map(|record| (record.key, record.value)).collect();
    dead.sort();
    expected.sort();
    assert_eq!(dead, expected);
}

#[test]
fn garbage_on_a_retry_topic_is_a_first_attempt_and_records_of_other_groups_are_skipped() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("garbage");
    let host = Host::start(kafka, &[&guest.path]);
    kafka.produce(&guest.retry_topics[0], garbage());
    // It fails once more. Its origin is broken, so the dead letter names the retry topic.
    let lost = Record::new(body("lost", "reject", "")).with_header("kafka_original-partition", [1, 2, 3]);
    kafka.produce(&guest.retry_topics[1], [lost]);
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    for id in [
        "bare",
        "three-bytes",
        "five-bytes",
        "empty",
        "zero",
        "negative",
        "huge",
        "null",
        "far",
        "long",
        "no-due",
        "origin",
        "-",
        "lost",
    ] {
        assert_eq!(attempts(&all, id), [1], "{id}");
    }
    for id in ["one-byte", "right"] {
        assert_eq!(attempts(&all, id), [3], "{id}");
    }
    assert!(!all.contains_key("foreign"), "another group's record was handled");
    let dead = kafka.read_all(&guest.dead);
    assert_eq!(dead.iter().map(id_of).collect::<Vec<_>>(), ["lost"]);
    assert_eq!(dead[0].header_text("kafka_original-topic").as_ref(), Some(&guest.retry_topics[1]));
}

/// Records of a retry topic with missing, malformed and foreign headers. Two have a valid attempt.
fn garbage() -> Vec<Record> {
    let record = |id: &str| Record::new(body(id, "done", ""));
    let attempt = |id: &str, value: &[u8]| record(id).with_header("retry_topic-attempts", value);
    let in_two_days = big_endian_now(2 * 24 * 3600 * 1000);
    vec![
        record("bare"),
        attempt("three-bytes", &[0, 0, 3]),
        attempt("five-bytes", &[0, 0, 0, 0, 3]),
        attempt("empty", &[]),
        attempt("zero", &[0, 0, 0, 0]),
        attempt("negative", &[0xff; 4]),
        attempt("huge", &[0, 1, 0, 0]),
        attempt("one-byte", &[3]),
        attempt("right", &[0, 0, 0, 3]),
        record("null").with_null_header("retry_topic-attempts").with_null_header("kafka_original-topic"),
        record("far").with_header("retry_topic-backoff-timestamp", in_two_days),
        record("long").with_header("retry_topic-backoff-timestamp", [1; 20]),
        record("no-due").with_header("retry_topic-backoff-timestamp", []),
        record("origin")
            .with_header("kafka_original-topic", [0xff])
            .with_header("kafka_original-partition", [1, 2, 3])
            .with_header("kafka_original-offset", [1; 9])
            .with_header("kafka_original-timestamp", [])
            .with_header("host-first-failed", [0xff]),
        Record::tombstone().with_header("retry_topic-attempts", [9; 9]),
        record("foreign").with_header("kafka_dlt-original-consumer-group", "another-group"),
    ]
}

fn big_endian_now(plus_ms: i64) -> [u8; 8] {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970");
    (now.as_millis() as i64 + plus_ms).to_be_bytes()
}
