//! Retries at their due times, and the final dead letter.

use sha2::{Digest, Sha256};
use testkit::{Kafka, Record};

use crate::support::{BOUND, Guest, Host, attempts, big_endian, body, deliveries};

/// The headers that the host adds behind those of the sender, in order.
pub const BLOCK: [&str; 18] = [
    "kafka_original-topic",
    "kafka_original-partition",
    "kafka_original-offset",
    "kafka_original-timestamp",
    "kafka_original-timestamp-type",
    "kafka_dlt-original-consumer-group",
    "kafka_exception-fqcn",
    "kafka_exception-cause-fqcn",
    "kafka_exception-message",
    "kafka_exception-stacktrace",
    "retry_topic-original-timestamp",
    "retry_topic-attempts",
    "retry_topic-backoff-timestamp",
    "host-attempts",
    "host-failure-code",
    "host-first-failed",
    "host-plugin",
    "host-plugin-digest",
];

#[test]
fn a_message_that_always_fails_is_dead_lettered_after_six_attempts() {
    let kafka = Kafka::shared();
    let guest = Guest::slow();
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    let sent = Record::new(body("hopeless", "retry", ""))
        .with_key([0, 0xff, 1])
        .with_header("trace", "1")
        .with_header([0xc3, 0x28], "not UTF-8")
        .with_null_header("trace")
        .on(1);
    // So that neither partition nor offset is 0.
    kafka.produce(&guest.topic, [Record::new(body("first", "done", "")).on(1), sent.clone()]);
    guest.settle(kafka);
    let lines = host.stop();
    let source = kafka.read_all(&guest.topic).pop().expect("the source record");

    let all = deliveries(&lines);
    assert_eq!(attempts(&all, "hopeless"), [1, 2, 3, 4, 5, 6]);
    check_due_times(
        kafka,
        &guest,
        &all["hopeless"].iter().map(|delivery| delivery.at_us).collect::<Vec<_>>(),
    );

    let dead = kafka.read_all(&guest.dead);
    assert_eq!(dead.len(), 1, "{dead:?}");
    let dead = &dead[0];
    assert_eq!((&dead.key, &dead.value, dead.partition), (&sent.key, &sent.value, 1));
    let (own, block) = dead.headers.split_at(sent.headers.len());
    assert_eq!(own, sent.headers);
    let names: Vec<_> = block.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, BLOCK);
    check_spring_headers(dead, &source, &guest);
}

/// By the clock of the host, no retry is delivered before its due time, which is its delay after the failure.
#[track_caller]
fn check_due_times(kafka: &Kafka, guest: &Guest, at_us: &[i64]) {
    for (index, topic) in guest.retry_topics.iter().enumerate() {
        let records = kafka.read_all(topic);
        assert_eq!(records.len(), 1, "{topic}");
        let delay_us = 1_000_000 << index;
        let due_us = big_endian(&records[0], "retry_topic-backoff-timestamp") * 1000;
        assert_eq!(big_endian(&records[0], "retry_topic-attempts"), index as i64 + 2);
        let (failed_us, delivered_us) = (at_us[index], at_us[index + 1]);
        assert!(due_us >= failed_us + delay_us, "{topic}: due {due_us}, failed {failed_us}");
        assert!(delivered_us >= due_us, "{topic}: {} us early", due_us - delivered_us);
        println!("{topic}: {} ms late", (delivered_us - due_us) as f64 / 1000.0);
    }
}

fn check_spring_headers(dead: &Record, source: &Record, guest: &Guest) {
    let text = |name: &str| dead.header_text(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(text("kafka_original-topic"), "faulty");
    assert_eq!(dead.header("kafka_original-partition"), Some(&1_i32.to_be_bytes()[..]));
    assert_eq!(dead.header("kafka_original-offset"), Some(&1_i64.to_be_bytes()[..]));
    assert_eq!(dead.header("kafka_original-timestamp"), Some(&source.timestamp_ms.to_be_bytes()[..]));
    assert_eq!(text("kafka_original-timestamp-type"), "CreateTime");
    assert_eq!(text("kafka_dlt-original-consumer-group"), "faulty-group");
    assert_eq!(text("kafka_exception-fqcn"), "consumer.plugin.Retry");
    assert_eq!(text("kafka_exception-cause-fqcn"), "asked-retry");
    assert_eq!(text("kafka_exception-message"), "asked to retry");
    assert_eq!(text("kafka_exception-stacktrace"), "");
    // Java's BigInteger has as many bytes as the number needs: six until the year 10889.
    assert_eq!(dead.header("retry_topic-original-timestamp"), Some(&source.timestamp_ms.to_be_bytes()[2..]));
    assert_eq!(dead.header("retry_topic-attempts"), Some(&7_i32.to_be_bytes()[..]));
    assert_eq!(dead.header("retry_topic-backoff-timestamp").map(<[u8]>::len), Some(6));
    assert_eq!(text("host-attempts"), "6");
    assert_eq!(text("host-failure-code"), "asked-retry");
    let first_failed: i64 = text("host-first-failed").parse().expect("milliseconds");
    let waited = dead.timestamp_ms - first_failed;
    assert!(
        (31_000..31_000 + BOUND.as_millis() as i64).contains(&waited),
        "{waited} ms from the first failure to the dead letter"
    );
    assert_eq!(text("host-plugin"), concat!("faulty@", env!("CARGO_PKG_VERSION")));
    let digest: String = Sha256::digest(std::fs::read(&guest.path).expect("the plugin's bytes"))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(text("host-plugin-digest"), digest);
}

#[test]
fn a_chosen_delay_spends_no_attempt_and_delays_no_other_message() {
    const CHOSEN_US: i64 = 4_000_000;
    let kafka = Kafka::shared();
    let guest = Guest::fast("after-ms");
    let host = Host::start(kafka, &[&guest.path]);
    // Both use the longest tier: the first waits there for 4 s, the second for 160 ms.
    let patient = Record::new(body("patient", "retry", r#","after-ms":4000"#));
    kafka.produce(&guest.topic, [patient.on(0), Record::new(body("hasty", "retry", "")).on(0)]);
    testkit::eventually(BOUND, || host.handled("patient") == 3);
    let lines = host.stop();
    let all = deliveries(&lines);
    assert_eq!(attempts(&all, "patient"), [1, 1, 1]);
    let at: Vec<i64> = all["patient"].iter().map(|delivery| delivery.at_us).collect();
    for pair in at.windows(2) {
        assert!(pair[1] - pair[0] >= CHOSEN_US, "{} us after the failure", pair[1] - pair[0]);
        println!("at most {} ms late", (pair[1] - pair[0] - CHOSEN_US) as f64 / 1000.0);
    }
    assert_eq!(attempts(&all, "hasty"), [1, 2, 3, 4, 5, 6]);
    assert!(all["hasty"][5].at_us < at[1], "a message that is due later delayed one that was due");
    assert_eq!(kafka.read_all(&guest.dead).len(), 1);
    let held = kafka.read_all("after-ms----retry-160");
    assert!(held.iter().any(|record| big_endian(record, "retry_topic-attempts") == 1), "in the longest tier");
    // A message that is not due is not lost: it stays in the retry topic, uncommitted.
    assert_eq!(kafka.lag(&format!("{}-retry", guest.group), "after-ms----retry-160"), 1);
}
