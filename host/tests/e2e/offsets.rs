//! Source topics whose offsets have gaps.

use std::time::Duration;

use testkit::{Kafka, Record, eventually};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, id_of};

#[test]
fn aborted_transactions_are_not_handled_and_leave_no_lag() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("transaction");
    kafka.create_topic(&guest.topic, 1, &[]);
    let record = |id: &str, action: &str| Record::new(body(id, action, ""));
    kafka.produce_transaction(&guest.topic, [record("a", "done"), record("b", "retry")], true);
    kafka.produce_transaction(
        &guest.topic,
        [record("aborted-1", "done"), record("aborted-2", "retry")],
        false,
    );
    kafka.produce(&guest.topic, [record("c", "done")]);
    let host = Host::start(kafka, &[&guest.path]);
    kafka.produce_transaction(&guest.topic, [record("d", "reject")], true);
    kafka.produce_transaction(&guest.topic, [record("aborted-3", "done")], false);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 2);
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    let mut handled: Vec<&String> = all.keys().collect();
    handled.sort();
    assert_eq!(handled, ["a", "b", "c", "d"]);
    assert_eq!(attempts(&all, "b"), [1, 2, 3, 4, 5, 6]);
    for id in ["a", "c", "d"] {
        assert_eq!(attempts(&all, id), [1], "{id}");
    }
}

#[test]
fn a_compacted_topic_is_handled_and_committed_across_its_gaps() {
    const RECORDS: usize = 300;
    let kafka = Kafka::start_with(&[("log.cleaner.backoff.ms", "100")]);
    let guest = Guest::fast("compacted");
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("segment.ms", "50"),
        ("compression.type", "uncompressed"),
    ];
    kafka.create_topic(&guest.topic, 1, &settings);
    let record = |number: usize| {
        let action = if number % 30 == 7 { "retry" } else { "done" };
        // Most records are replaced by later ones with the same key.
        let key = if number % 30 < 10 { number } else { number % 10 };
        let value = body(&format!("r{number}"), action, r#","until":2"#);
        Record::new(value).with_key(format!("k{key}"))
    };
    kafka.produce(&guest.topic, (0..RECORDS).map(record));
    std::thread::sleep(Duration::from_millis(100));
    // Rolls the segment, so that earlier records can be compacted.
    kafka.produce(&guest.topic, [Record::new(body("last", "done", "")).with_key("last")]);
    // Even if the log cleaner ran early.
    eventually(BOUND, || kafka.read_all(&guest.topic).len() < RECORDS / 2);
    let left: Vec<Record> = kafka.read_all(&guest.topic);
    assert!(
        left.windows(2).any(|pair| pair[1].offset > pair[0].offset + 1),
        "no gap between offsets: {left:?}"
    );

    let host = Host::start(&kafka, &[&guest.path]);
    guest.settle(&kafka);
    let all = deliveries(&host.stop());
    assert_eq!(all.len(), left.len());
    for record in &left {
        let id = id_of(record);
        let expected: &[u32] = if record.text().contains("retry") { &[1, 2, 3] } else { &[1] };
        assert_eq!(attempts(&all, &id), expected, "{id}");
    }
    assert_eq!(kafka.committed(&guest.group, &guest.topic), [Some(RECORDS as i64 + 1)]);
}
