//! The headers of a retry record or dead letter, and of the record after its next failure.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::sync::LazyLock;

use consumer::policy::{Failed, Policy, Retry, Step};
use fuzz::Input;
use kafka::headers::{FailureHeaders, NO_TIMESTAMP, Origin, RetryInfo};
use kafka::raw::{HeaderList, TimestampType};
use libfuzzer_sys::fuzz_target;

type Header<'a> = (&'a [u8], Option<&'a [u8]>);

const HERE: Origin<'static> = Origin { topic: "here", partition: 9, offset: 9, timestamp: None };
const MAX_AGE_MS: u64 = 60_000;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let retry = Retry {
        retries: 5,
        delay_ms: 1000,
        multiplier: 2.0,
        max_delay_ms: 8000,
        jitter: 0.5,
        max_age_ms: MAX_AGE_MS,
        blocking_tries: 0,
        blocking_delay_ms: 100,
    };
    Policy::new(retry, Vec::new()).expect("a policy")
});

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let texts: [_; 5] = std::array::from_fn(|_| input.text());
    let [topic, group, code, detail, plugin] = &texts;
    let timestamp = match input.byte() % 3 {
        0 => None,
        1 => Some((input.number(), TimestampType::CreateTime)),
        _ => Some((input.number(), TimestampType::LogAppendTime)),
    };
    let (partition, offset) = ((input.number() & 0x7fff_ffff) as i32, input.number() & i64::MAX);
    let (due_ms, first_failed_ms) = (input.number(), input.number());
    let now_ms = input.number();
    let next_attempt = u32::from(u16::from_be_bytes([input.byte(), input.byte()]) % 0x7fff) + 1;
    let after_ms = Some(input.number().unsigned_abs()).filter(|after_ms| after_ms % 2 == 0);
    let mut record = Vec::new();
    while !input.is_empty() {
        record.push((input.chunk(), input.optional()));
    }

    // A record with arbitrary headers.
    let received = list(&record);
    assert!(received.iter().eq(record.iter().copied()), "librdkafka returns the headers unchanged");
    let trail = RetryInfo::read(received.iter());
    check(&trail, &record);
    let failed = Failed {
        attempt: trail.attempt,
        retries: 5,
        after_ms,
        now_ms,
        first_failed_ms: trail.first_failed_ms.unwrap_or(now_ms),
        random: 0.5,
    };
    if let Step::Retry { due_ms, attempt, .. } = POLICY.next(&failed) {
        assert!(due_ms >= now_ms && attempt >= trail.attempt);
        assert!(i128::from(due_ms) - i128::from(failed.first_failed_ms) <= i128::from(MAX_AGE_MS));
    }

    // The headers written at a failure are read back unchanged, and the headers of the sender stay.
    let senders = senders(&trail, &record);
    let origin = Origin { topic, partition, offset, timestamp };
    let stamp = FailureHeaders {
        origin: origin.clone(),
        group,
        exception: "consumer.plugin.Retry",
        code,
        detail,
        backtrace: detail,
        attempts: trail.attempt,
        next_attempt,
        due_ms,
        first_failed_ms,
        plugin,
        digest: "00ff",
        value_cut: None,
        key_cut: None,
        headers_cut: None,
    };
    let mut published = list(&senders);
    stamp.write(&mut published);
    let read = RetryInfo::read(published.iter());
    assert_eq!(read.attempt, next_attempt);
    assert_eq!((read.due_ms, read.first_failed_ms), (Some(due_ms), Some(first_failed_ms)));
    assert_eq!(read.group.as_deref(), Some(group.as_bytes()));
    let timestamp = timestamp.filter(|(millis, _)| *millis != NO_TIMESTAMP);
    assert_eq!(read.origin(&HERE), Origin { timestamp, ..origin });
    let written: Vec<_> = published.iter().collect();
    assert_eq!(self::senders(&read, &written), senders);

    // The same for another failure.
    let mut again = list(&self::senders(&read, &written));
    FailureHeaders { origin: read.origin(&HERE), ..stamp }.write(&mut again);
    assert!(again.iter().map(|(name, _)| name).eq(published.iter().map(|(name, _)| name)));
    assert_eq!(RetryInfo::read(again.iter()).origin(&HERE), read.origin(&HERE));
});

fn list(headers: &[Header<'_>]) -> HeaderList {
    let mut list = HeaderList::with_capacity(headers.len());
    headers.iter().for_each(|(name, value)| list.push(name, *value));
    list
}

fn senders<'a>(trail: &RetryInfo, headers: &[Header<'a>]) -> Vec<Header<'a>> {
    headers.iter().enumerate().filter(|(index, _)| !trail.owns(*index)).map(|(_, header)| *header).collect()
}

fn check(trail: &RetryInfo, headers: &[Header<'_>]) {
    assert!((1..=32767).contains(&trail.attempt));
    let origin = trail.origin(&HERE);
    assert!(origin.partition >= 0 && origin.offset >= 0);
    assert!(origin.timestamp.is_none_or(|(millis, _)| millis != NO_TIMESTAMP));
    for (index, (name, _)) in headers.iter().enumerate().filter(|(index, _)| trail.owns(*index)) {
        assert!(
            headers.iter().skip(index + 1).all(|(other, _)| other != name),
            "the last header of a name counts"
        );
    }
}
