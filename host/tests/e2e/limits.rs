//! Records at the size limits of their topics.

use desk_api::{DeadLetterState, ReplayPlan};
use kafka::raw;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use testkit::{Kafka, Record, Rng, eventually};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries};
use crate::test_desk::TestDesk;

/// JSON, padded to `size` with what no compression makes much smaller.
fn padded(id: &str, action: &str, size: usize) -> String {
    // A field that these actions ignore.
    let with_path = |path: &str| body(id, action, &format!(r#","path":"{path}""#));
    with_path(&incompressible(size - with_path("").len()))
}

/// Text of `size` bytes in which nothing repeats.
fn incompressible(size: usize) -> String {
    let mut rng = Rng::new(u64::try_from(size).unwrap_or_default());
    // The printable characters of ASCII, without the two that JSON escapes.
    let characters: Vec<char> = (' '..='~').filter(|c| !matches!(c, '"' | '\\')).collect();
    let end = u64::try_from(characters.len()).expect("a few");
    (0..size).map(|_| characters[usize::try_from(rng.below(end)).expect("below the end")]).collect()
}

/// JSON of `size` bytes that compression makes much smaller.
fn repetitive(id: &str, action: &str, more: &str, size: usize) -> String {
    let mut text = body(id, action, more);
    text.extend(std::iter::repeat_n(' ', size - text.len()));
    text
}

/// Publishes the largest record with this id that the topic accepts. Returns its value.
fn publish_largest(kafka: &Kafka, topic: &str, limit: usize, id: &str) -> String {
    let mut config = kafka.config("");
    config.set("message.max.bytes", "100000000").set("linger.ms", "0");
    let producer: BaseProducer = config.create().expect("a producer");
    let before = kafka.end_offsets(topic);
    // A batch adds 61 bytes to its records, and a record adds a few more.
    for size in (limit - 200..limit).rev() {
        let value = padded(id, "retry", size);
        producer.send(BaseRecord::<(), str>::to(topic).payload(&value).partition(0)).expect("queued");
        producer.flush(BOUND).expect("flushed");
        if kafka.end_offsets(topic) != before {
            return value;
        }
    }
    panic!("{topic} accepts no record of {limit} bytes");
}

#[test]
fn a_record_at_the_limit_of_its_topic_reaches_the_dead_letter_topic_whole() {
    let kafka = Kafka::shared();
    // The default limit of the broker, which is above that of librdkafka, and a limit set by an operator.
    for (name, limit, settings) in
        [("default-max", 1_048_588, &[][..]), ("small-max", 20_000, &[("max.message.bytes", "20000")][..])]
    {
        let guest = Guest::fast(name);
        kafka.create_topic(&guest.topic, 1, settings);
        let value = publish_largest(kafka, &guest.topic, limit, "big");
        println!("{name}: a value of {} bytes", value.len());
        let host = Host::start(kafka, &[&guest.path]);
        guest.settle(kafka);
        assert_eq!(attempts(&deliveries(&host.stop()), "big"), [1, 2, 3, 4, 5, 6]);
        let dead = kafka.read_all(&guest.dead);
        assert_eq!(dead.len(), 1);
        assert!(dead[0].text() == value, "{} bytes instead of {}", dead[0].text().len(), value.len());
        assert_eq!(dead[0].header("host-value-cut"), None);
    }
}

#[test]
fn a_record_too_large_for_the_derived_topics_is_dead_lettered_without_its_value() {
    const SMALL: &[(&str, &str)] = &[("max.message.bytes", "3000")];
    let kafka = Kafka::shared();
    let guest = Guest::fast("cut");
    kafka.create_topic(&guest.dead, 1, SMALL);
    kafka.create_topic(&guest.retry_topics[0], 1, SMALL);
    let host = Host::start(kafka, &[&guest.path]);
    let headers = |record: Record| record.with_key("key").with_header("trace", "1").with_null_header("none");
    kafka.produce(
        &guest.topic,
        [
            headers(Record::new(padded("small", "reject", 300))),
            headers(Record::new(padded("rejected", "reject", 10_000))),
            // It is too large for the first retry topic.
            headers(Record::new(padded("retried", "retry", 10_001))),
        ],
    );
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    for id in ["small", "rejected", "retried"] {
        assert_eq!(attempts(&all, id), [1], "{id}");
    }
    let mut dead = kafka.read_all(&guest.dead);
    dead.sort_by_key(|record| record.header("kafka_original-offset").map(<[u8]>::to_vec));
    assert_eq!(dead.len(), 3);
    for (offset, (record, cut, code)) in dead
        .iter()
        .zip([(None, "asked-reject"), (Some("10000"), "asked-reject"), (Some("10001"), "asked-retry")])
        .map(|(record, (cut, code))| (record, cut, code))
        .enumerate()
    {
        assert_eq!(record.header_text("host-value-cut").as_deref(), cut);
        assert_eq!(record.value.is_none(), cut.is_some());
        assert_eq!(record.header_text("host-failure-code").as_deref(), Some(code));
        assert_eq!(record.header_text("kafka_original-topic").as_ref(), Some(&guest.topic));
        assert_eq!(record.header("kafka_original-offset"), Some(&(offset as i64).to_be_bytes()[..]));
        assert_eq!(record.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(record.headers[..2], [(b"trace".to_vec(), Some(b"1".to_vec())), (b"none".to_vec(), None)]);
    }
}

#[test]
fn a_key_too_large_for_the_dead_letter_topic_does_not_block_its_partition() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("cut-key");
    kafka.create_topic(&guest.dead, 1, &[("max.message.bytes", "3000")]);
    let host = Host::start(kafka, &[&guest.path]);
    let reject = |id: &str| Record::new(body(id, "reject", "")).with_header("trace", "1");
    let key = incompressible(4_000);
    kafka.produce(&guest.topic, [reject("large").with_key(key), reject("next").with_key("key")]);
    guest.settle(kafka);
    host.stop();
    let dead = kafka.read_all(&guest.dead);
    let id = |id: &str| {
        let offset: i64 = if id == "large" { 0 } else { 1 };
        let origin = Some(&offset.to_be_bytes()[..]);
        dead.iter().find(|record| record.header("kafka_original-offset") == origin).expect("a dead letter")
    };
    let (large, next) = (id("large"), id("next"));
    assert_eq!((&large.key, &large.value, large.header("trace")), (&None, &None, None));
    assert_eq!(large.header_text("host-key-cut").as_deref(), Some("4000"));
    assert_eq!(large.header_text("host-headers-cut").as_deref(), Some("1"));
    assert_eq!(large.header_text("kafka_original-topic").as_ref(), Some(&guest.topic));
    assert_eq!(next.text(), body("next", "reject", ""));
    assert_eq!(next.header_text("host-key-cut"), None);
}

/// The values of a topic's only partition and the names of their headers, by a client that decompresses.
fn read_compressed(kafka: &Kafka, topic: &str) -> Vec<(Option<Vec<u8>>, Vec<String>)> {
    let consumer: BaseConsumer = kafka.config("reader").create().expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
    consumer.assign(&partitions).expect("assigned");
    let count = kafka.end_offsets(topic)[0];
    (0..count)
        .map(|_| {
            let message = consumer.poll(BOUND).expect("a message").expect("no error");
            let names = raw::headers(&message).map(|(name, _)| String::from_utf8_lossy(name).into_owned());
            (message.payload().map(<[u8]>::to_vec), names.collect())
        })
        .collect()
}

#[test]
fn a_record_that_fits_its_topic_only_compressed_is_retried_dead_lettered_and_replayed_whole() {
    const SIZE: usize = 3_000_000;
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("gzipped"), TestDesk::new("gzipped"));
    // The default of brokers, in place of the one that lets tests read segments.
    for topic in guest.retry_topics.iter().chain([&guest.topic, &guest.dead]) {
        kafka.create_topic(topic, 1, &[("compression.type", "producer")]);
    }
    let host = desk.start(kafka, &guest, &[]);
    let mut config = kafka.config("");
    config.set("message.max.bytes", "100000000").set("compression.codec", "gzip");
    let producer: BaseProducer = config.create().expect("a producer");
    let rejected = repetitive("rejected", "reject", "", SIZE);
    for value in [&repetitive("retried", "retry", r#","until":1"#, SIZE), &rejected] {
        producer.send(BaseRecord::<(), str>::to(&guest.topic).payload(value)).expect("queued");
        producer.flush(BOUND).expect("flushed");
    }
    assert_eq!(kafka.end_offsets(&guest.topic)[0], 2, "the source accepts the records");
    eventually(BOUND, || host.handled("retried") == 2 && desk.count(DeadLetterState::Open) == 1);
    let replay = desk.replay(&ReplayPlan::default());
    // It is rejected again.
    assert_eq!(desk.wait_done(&replay.id).failed, 1);
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    assert_eq!((attempts(&all, "retried"), attempts(&all, "rejected")), (vec![1, 2], vec![1, 1]));
    let sent_back = read_compressed(kafka, &guest.topic).pop().expect("the replayed record");
    for (value, names) in read_compressed(kafka, &guest.dead).into_iter().chain([sent_back]) {
        assert!(value.as_deref() == Some(rejected.as_bytes()), "not the value that was sent");
        assert!(!names.iter().any(|name| name == "host-value-cut"), "{names:?}");
    }
}
