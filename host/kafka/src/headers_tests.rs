use proptest::prelude::*;

use super::added::SPRINGS;
use super::*;

type Owned = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn failure_headers(origin: Origin<'_>) -> FailureHeaders<'_> {
    FailureHeaders {
        origin,
        group: "email-send-group",
        exception: "consumer.plugin.Retry",
        code: "smtp-transient",
        detail: "421 later",
        backtrace: "",
        attempts: 1,
        next_attempt: 2,
        due_ms: 0x01a2_084a_3438,
        first_failed_ms: 1_792_000_000_123,
        plugin: "email@0.1.0",
        digest: "00ff",
        value_cut: None,
        key_cut: None,
        headers_cut: None,
    }
}

fn written(failure: &FailureHeaders<'_>) -> Owned {
    let mut headers = Vec::new();
    failure.write_to(|name, value| headers.push((name.to_vec(), Some(value.to_vec()))));
    headers
}

fn read(headers: &Owned) -> RetryInfo {
    RetryInfo::read_from(headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())))
}

fn value<'a>(headers: &'a Owned, name: &[u8]) -> Option<&'a [u8]> {
    headers.iter().rev().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
}

const HERE: Origin<'static> = Origin { topic: "retry", partition: 9, offset: 9, timestamp: None };

/// The bytes that Spring Kafka 3.3 wrote for the same record.
#[test]
fn names_that_the_host_or_spring_writes_are_reserved() {
    for name in [
        "host-attempts",
        "host-replay",
        "host-anything",
        "kafka_original-topic",
        "kafka_dlt-exception-message",
    ] {
        assert!(is_reserved(name.as_bytes()), "{name}");
    }
    for name in ["host-id", "hosts", "kafka_own", "x"] {
        assert!(!is_reserved(name.as_bytes()), "{name}");
    }
}

#[test]
fn bytes_are_those_of_spring_kafka() {
    let origin = Origin {
        topic: "email.send",
        partition: 3,
        offset: 1,
        timestamp: Some((0x01a2_084a_267e, TimestampType::CreateTime)),
    };
    let headers = written(&failure_headers(origin));
    assert_eq!(value(&headers, b"kafka_original-topic"), Some(&b"email.send"[..]));
    assert_eq!(value(&headers, b"kafka_original-partition"), Some(&[0, 0, 0, 3][..]));
    assert_eq!(value(&headers, b"kafka_original-offset"), Some(&[0, 0, 0, 0, 0, 0, 0, 1][..]));
    assert_eq!(
        value(&headers, b"kafka_original-timestamp"),
        Some(&[0, 0, 0x01, 0xa2, 0x08, 0x4a, 0x26, 0x7e][..])
    );
    assert_eq!(value(&headers, b"kafka_original-timestamp-type"), Some(&b"CreateTime"[..]));
    assert_eq!(
        value(&headers, b"retry_topic-original-timestamp"),
        Some(&[0x01, 0xa2, 0x08, 0x4a, 0x26, 0x7e][..])
    );
    assert_eq!(value(&headers, b"retry_topic-attempts"), Some(&[0, 0, 0, 2][..]));
    assert_eq!(
        value(&headers, b"retry_topic-backoff-timestamp"),
        Some(&[0x01, 0xa2, 0x08, 0x4a, 0x34, 0x38][..])
    );
}

#[test]
fn attempts_are_read_as_in_spring() {
    for (bytes, expected) in [
        (&[0, 0, 0, 3][..], 3),
        (&[7], 7),
        (&[0], 1),
        (&[0, 0, 0, 0], 1),
        (&[0, 0, 0x80, 0], 1),
        (&[0, 0, 0x7f, 0xff], 32767),
        (&[0xff; 4], 1),
        (&[0, 0, 3], 1),
        (&[], 1),
    ] {
        assert_eq!(attempt(Some(bytes)), expected, "{bytes:?}");
    }
    assert_eq!(attempt(None), 1);
}

#[test]
fn big_integers_beyond_64_bits_are_refused() {
    assert_eq!(big_integer(&[]), None);
    assert_eq!(big_integer(&[0, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
    assert_eq!(big_integer(&[0, 0x7f, 0, 0, 0, 0, 0, 0, 0]), Some(0x7f00_0000_0000_0000));
    assert_eq!(big_integer(&[0xff]), Some(-1));
}

#[test]
fn forged_headers_stay_and_have_no_effect() {
    let mut headers: Owned = vec![
        (b"retry_topic-attempts".to_vec(), Some(vec![0, 0, 0, 9])),
        (b"kafka_original-topic".to_vec(), None),
        (b"kafka_dlt-original-consumer-group".to_vec(), Some(b"other".to_vec())),
    ];
    let origin = Origin { topic: "t", partition: 0, offset: 5, timestamp: None };
    headers.extend(written(&failure_headers(origin.clone())));
    let info = read(&headers);
    assert_eq!((info.attempt, info.group.as_deref()), (2, Some(&b"email-send-group"[..])));
    assert_eq!(info.origin(&HERE), origin);
    assert!((0..3).all(|index| !info.owns(index)));
    assert!((3..headers.len()).all(|index| info.owns(index)));
}

fn sent_and_dead(sent: &[&[u8]], block: bool) -> Vec<bool> {
    let mut headers: Owned = sent.iter().map(|name| (name.to_vec(), Some(b"x".to_vec()))).collect();
    if block {
        let origin = Origin { topic: "t", partition: 0, offset: 5, timestamp: None };
        headers.extend(written(&failure_headers(origin)));
    }
    added(headers.iter().map(|(name, value)| (&name[..], value.as_deref())))
}

#[test]
fn only_headers_that_are_written_at_a_failure_count_as_added() {
    let senders: [&[u8]; 8] = [
        b"host-name",
        b"host-env",
        b"retry_topic-mine",
        b"kafka_original-x",
        b"kafka_dlt-",
        b"kafka_dlt-topic",
        b"kafka_exception-",
        b"kafka_topic",
    ];
    for block in [false, true] {
        let added = sent_and_dead(&senders, block);
        assert_eq!(added[..senders.len()], [false; 8]);
        assert!(added[senders.len()..].iter().all(|added| *added), "the block");
    }
    let springs: Vec<Vec<u8>> = ["kafka_", "kafka_dlt-"]
        .iter()
        .flat_map(|family| SPRINGS.iter().map(move |name| [family.as_bytes(), name].concat()))
        .collect();
    let springs: Vec<&[u8]> = springs.iter().map(Vec::as_slice).collect();
    assert!(sent_and_dead(&springs, false).iter().all(|added| *added));
    assert!(
        sent_and_dead(&[ID, REPLAYS, REPLAY, VALUE_CUT, KEY_CUT, HEADERS_CUT], false)
            .iter()
            .all(|added| *added)
    );
}

#[test]
fn a_senders_header_before_a_whole_block_stays_the_senders() {
    let forged: [&[u8]; 4] = [ORIGINAL_TOPIC, RETRY_ATTEMPTS, b"kafka_dlt-original-topic", ID];
    assert_eq!(sent_and_dead(&forged, true)[..4], [false, false, true, true]);
    // Spring Kafka may repeat its headers.
    assert_eq!(sent_and_dead(&forged, false), [true; 4]);
}

#[test]
fn the_id_is_the_same_for_every_delivery_whatever_the_timestamp() {
    for timestamp in [None, Some(-5), Some(0), Some(7)] {
        let timestamp = timestamp.map(|millis| (millis, TimestampType::CreateTime));
        let origin = Origin { topic: "t", partition: 2, offset: 5, timestamp };
        let source = id(std::iter::empty(), &origin).into_owned();
        let millis = timestamp.map_or(-1, |(millis, _)| millis);
        assert_eq!(source, format!("t/2/5/{millis}"));
        let headers = written(&failure_headers(origin));
        let retry_info = read(&headers);
        assert_eq!(id(std::iter::empty(), &retry_info.origin(&HERE)), source);
        let dead = DeadLetterInfo::read(headers.iter().map(|(name, value)| (&name[..], value.as_deref())));
        assert_eq!(coordinates("t", 2, 5, dead.timestamp_ms.expect("a timestamp")), source);
    }
}

#[test]
fn a_record_without_headers_is_its_own_origin() {
    let info = read(&Vec::new());
    assert_eq!((info.attempt, info.due_ms), (1, None));
    assert_eq!(info.origin(&HERE), HERE);
}

fn foreign_headers() -> impl Strategy<Value = Owned> {
    let name = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::sample::select(BLOCK.to_vec()).prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec((name, prop::option::of(prop::collection::vec(any::<u8>(), 0..12))), 0..12)
}

proptest! {
    #[test]
    fn big_integers_round_trip(value: i64) {
        prop_assert_eq!(big_integer(minimal(&value.to_be_bytes())), Some(value));
    }

    #[test]
    fn big_integers_have_minimal_length(value: i64) {
        let bytes = value.to_be_bytes();
        let short = minimal(&bytes);
        if let [first, second, ..] = short {
            prop_assert!(!(*first == 0 && second & 0x80 == 0) && !(*first == 0xff && second & 0x80 != 0));
        }
    }

    #[test]
    fn arbitrary_headers_do_not_panic(headers in foreign_headers()) {
        let info = read(&headers);
        prop_assert!((1..=32767).contains(&info.attempt));
        let _ = info.origin(&HERE);
    }

    /// The block round-trips, whatever headers precede it.
    #[test]
    fn the_block_round_trips(
        sender in foreign_headers(),
        topic in "[a-zA-Z0-9._-]{1,20}",
        partition in 0..i32::MAX,
        offset in 0..i64::MAX,
        millis in 0..i64::MAX,
        attempt in 1..32767u32,
        due_ms: i64,
    ) {
        let timestamp = Some((millis, TimestampType::LogAppendTime));
        let origin = Origin { topic: &topic, partition, offset, timestamp };
        let failure = FailureHeaders { next_attempt: attempt, due_ms, ..failure_headers(origin.clone()) };
        let mut headers = sender.clone();
        headers.extend(written(&failure));
        let info = read(&headers);
        prop_assert_eq!(info.attempt, attempt);
        prop_assert_eq!(info.due_ms, Some(due_ms));
        prop_assert_eq!(info.first_failed_ms, Some(failure.first_failed_ms));
        prop_assert_eq!(info.origin(&HERE), origin);
    }
}
