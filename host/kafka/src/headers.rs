//! The headers of failed messages: a block that the host appends to the sender's headers, and reads again.
//!
//! Names and encodings are those of Spring Kafka (`DeadLetterPublishingRecovererFactory`, `KafkaHeaders`), so
//! that either side can continue the retries of the other. Readers use the last header of a name. The host
//! appends its block after the sender's headers and, when the message fails again, replaces only the last
//! header of each name. Headers that a sender forged therefore stay in place and have no effect.

mod added;

use std::borrow::Cow;
use std::str;

use crate::raw::{HeaderList, Headers, TimestampType};
use crate::window::RetryState;

pub use self::added::{added, is_of_replay, is_reserved};

/// The sender's message id, preserved by every retry.
pub const ID: &[u8] = b"host-id";

const ORIGINAL_TOPIC: &[u8] = b"kafka_original-topic";
const ORIGINAL_PARTITION: &[u8] = b"kafka_original-partition";
const ORIGINAL_OFFSET: &[u8] = b"kafka_original-offset";
const ORIGINAL_TIMESTAMP: &[u8] = b"kafka_original-timestamp";
const ORIGINAL_TIMESTAMP_TYPE: &[u8] = b"kafka_original-timestamp-type";
const GROUP: &[u8] = b"kafka_dlt-original-consumer-group";
const EXCEPTION: &[u8] = b"kafka_exception-fqcn";
const EXCEPTION_CAUSE: &[u8] = b"kafka_exception-cause-fqcn";
const EXCEPTION_MESSAGE: &[u8] = b"kafka_exception-message";
const EXCEPTION_STACKTRACE: &[u8] = b"kafka_exception-stacktrace";
const RETRY_ORIGINAL_TIMESTAMP: &[u8] = b"retry_topic-original-timestamp";
const RETRY_ATTEMPTS: &[u8] = b"retry_topic-attempts";
const RETRY_DUE: &[u8] = b"retry_topic-backoff-timestamp";
const ATTEMPTS: &[u8] = b"host-attempts";
const FAILURE_CODE: &[u8] = b"host-failure-code";
const FIRST_FAILED: &[u8] = b"host-first-failed";
const PLUGIN: &[u8] = b"host-plugin";
const PLUGIN_DIGEST: &[u8] = b"host-plugin-digest";
const VALUE_CUT: &[u8] = b"host-value-cut";
const KEY_CUT: &[u8] = b"host-key-cut";
/// The number of replays of the message.
pub const REPLAYS: &[u8] = b"host-replays";
/// The replay that a record belongs to: the replay's id, `/`, and the position in the replay.
pub const REPLAY: &[u8] = b"host-replay";
const HEADERS_CUT: &[u8] = b"host-headers-cut";

/// The headers that the host writes to a retry topic, in order. The `host-…-cut` headers occur only in
/// dead-letter topics; in a retry topic they belong to the sender.
const BLOCK: [&[u8]; 18] = [
    ORIGINAL_TOPIC,
    ORIGINAL_PARTITION,
    ORIGINAL_OFFSET,
    ORIGINAL_TIMESTAMP,
    ORIGINAL_TIMESTAMP_TYPE,
    GROUP,
    EXCEPTION,
    EXCEPTION_CAUSE,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    RETRY_ORIGINAL_TIMESTAMP,
    RETRY_ATTEMPTS,
    RETRY_DUE,
    ATTEMPTS,
    FAILURE_CODE,
    FIRST_FAILED,
    PLUGIN,
    PLUGIN_DIGEST,
];

/// The timestamp of a record without one, in the protocol, in headers and in message ids.
pub const NO_TIMESTAMP: i64 = -1;

/// The original position of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The source topic.
    pub topic: &'a str,
    /// The source partition.
    pub partition: i32,
    /// The source offset.
    pub offset: i64,
    /// The timestamp in milliseconds since the Unix epoch; None if the record has none.
    pub timestamp: Option<(i64, TimestampType)>,
}

/// A message's id: the sender's from these headers, otherwise one derived from the origin, which is the same
/// for every redelivery.
pub fn id<'a>(
    headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    origin: &Origin<'_>,
) -> Cow<'a, str> {
    let Origin { topic, partition, offset, timestamp } = origin;
    let millis = timestamp.map_or(NO_TIMESTAMP, |(millis, _)| millis);
    own_id(headers).map_or_else(|| coordinates(topic, *partition, *offset, millis).into(), Cow::Borrowed)
}

/// The retry headers of a record on a retry topic, or the equivalent of a message that is retried in place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RetryInfo {
    /// The number of the next delivery, from 1.
    pub attempt: u32,
    /// The due time in milliseconds since the Unix epoch.
    pub due_ms: Option<i64>,
    /// The time of the first failure in milliseconds since the Unix epoch; only this host writes it.
    pub first_failed_ms: Option<i64>,
    /// The consumer group in which it failed.
    pub group: Option<Vec<u8>>,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<i64>,
    log_append_time: bool,
    /// The positions of the latest block's headers.
    block: Vec<usize>,
}

impl RetryInfo {
    /// Reads the latest block of a record.
    pub fn read(headers: Headers<'_>) -> Self {
        Self::read_from(headers)
    }

    /// The state of a message that is retried in place, which has no headers of the host.
    pub fn in_place(retry_state: RetryState) -> Box<Self> {
        let RetryState { attempt, due_ms, first_failed_ms } = retry_state;
        let (due_ms, first_failed_ms) = (Some(due_ms), Some(first_failed_ms));
        Box::new(Self { attempt, due_ms, first_failed_ms, ..Self::default() })
    }

    /// Reads the latest block from any list of headers: names and values.
    pub fn read_from<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Self {
        let mut last: [Option<(usize, &[u8])>; BLOCK.len()] = [None; BLOCK.len()];
        for (index, (name, value)) in headers.enumerate() {
            let known = BLOCK.iter().zip(&mut last).find(|(known, _)| **known == name);
            if let Some((_, slot)) = known {
                *slot = Some((index, value.unwrap_or_default()));
            }
        }
        let get = |name: &[u8]| {
            let (_, slot) = BLOCK.iter().zip(&last).find(|(known, _)| **known == name)?;
            slot.map(|(_, value)| value)
        };
        Self {
            attempt: attempt(get(RETRY_ATTEMPTS)),
            due_ms: get(RETRY_DUE).and_then(big_integer),
            first_failed_ms: get(FIRST_FAILED).and_then(text).and_then(|text| text.parse().ok()),
            group: get(GROUP).map(<[u8]>::to_vec),
            topic: get(ORIGINAL_TOPIC).and_then(text).map(str::to_owned),
            partition: get(ORIGINAL_PARTITION)
                .and_then(|value| Some(i32::from_be_bytes(value.try_into().ok()?)))
                .filter(|partition| *partition >= 0),
            offset: get(ORIGINAL_OFFSET)
                .and_then(|value| Some(i64::from_be_bytes(value.try_into().ok()?)))
                .filter(|offset| *offset >= 0),
            timestamp: get(ORIGINAL_TIMESTAMP)
                .and_then(|value| Some(i64::from_be_bytes(value.try_into().ok()?))),
            log_append_time: get(ORIGINAL_TIMESTAMP_TYPE) == Some(b"LogAppendTime"),
            block: last.iter().flatten().map(|(index, _)| *index).collect(),
        }
    }

    /// The origin of the message according to the headers; `here` if they are incomplete.
    pub fn origin<'a>(&'a self, here: &Origin<'a>) -> Origin<'a> {
        let (Some(topic), Some(partition), Some(offset)) = (&self.topic, self.partition, self.offset) else {
            return here.clone();
        };
        let kind =
            if self.log_append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let timestamp = self.timestamp.filter(|millis| *millis != NO_TIMESTAMP).map(|millis| (millis, kind));
        Origin { topic, partition, offset, timestamp }
    }

    /// Whether the header at this position belongs to the latest block, not to the sender.
    pub fn owns(&self, index: usize) -> bool {
        self.block.contains(&index)
    }
}

/// The block that is appended to the sender's headers when a message has failed.
#[derive(Debug)]
pub struct FailureHeaders<'a> {
    /// The original position of the message.
    pub origin: Origin<'a>,
    /// The consumer group in which it failed.
    pub group: &'a str,
    /// The kind of failure, in the form of a class name.
    pub exception: &'a str,
    /// The failure's code.
    pub code: &'a str,
    /// The failure's description for users.
    pub detail: &'a str,
    /// The plugin's backtrace, or empty.
    pub backtrace: &'a str,
    /// The number of deliveries so far.
    pub attempts: u32,
    /// The number of the next delivery.
    pub next_attempt: u32,
    /// The due time of the next delivery in milliseconds since the Unix epoch.
    pub due_ms: i64,
    /// The time of the first failure in milliseconds since the Unix epoch.
    pub first_failed_ms: i64,
    /// The plugin's name@version.
    pub plugin: &'a str,
    /// The plugin's digest, in hexadecimal.
    pub digest: &'a str,
    /// The length of the value in bytes, if the record is published without it.
    pub value_cut: Option<usize>,
    /// The length of the key in bytes, if the record is published without it.
    pub key_cut: Option<usize>,
    /// The number of the sender's headers, if the record is published without them.
    pub headers_cut: Option<usize>,
}

impl FailureHeaders<'_> {
    /// Appends the block.
    pub fn write(&self, list: &mut HeaderList) {
        self.write_to(|name, value| list.push(name, Some(value)));
    }

    fn write_to(&self, mut push: impl FnMut(&[u8], &[u8])) {
        let (millis, kind) = match self.origin.timestamp {
            Some((millis, TimestampType::CreateTime)) => (millis, "CreateTime"),
            Some((millis, TimestampType::LogAppendTime)) => (millis, "LogAppendTime"),
            None => (NO_TIMESTAMP, "NoTimestampType"),
        };
        push(ORIGINAL_TOPIC, self.origin.topic.as_bytes());
        push(ORIGINAL_PARTITION, &self.origin.partition.to_be_bytes());
        push(ORIGINAL_OFFSET, &self.origin.offset.to_be_bytes());
        push(ORIGINAL_TIMESTAMP, &millis.to_be_bytes());
        push(ORIGINAL_TIMESTAMP_TYPE, kind.as_bytes());
        push(GROUP, self.group.as_bytes());
        push(EXCEPTION, self.exception.as_bytes());
        push(EXCEPTION_CAUSE, self.code.as_bytes());
        push(EXCEPTION_MESSAGE, self.detail.as_bytes());
        push(EXCEPTION_STACKTRACE, self.backtrace.as_bytes());
        push(RETRY_ORIGINAL_TIMESTAMP, minimal(&millis.to_be_bytes()));
        push(RETRY_ATTEMPTS, &self.next_attempt.to_be_bytes());
        push(RETRY_DUE, minimal(&self.due_ms.to_be_bytes()));
        push(ATTEMPTS, self.attempts.to_string().as_bytes());
        push(FAILURE_CODE, self.code.as_bytes());
        push(FIRST_FAILED, self.first_failed_ms.to_string().as_bytes());
        push(PLUGIN, self.plugin.as_bytes());
        push(PLUGIN_DIGEST, self.digest.as_bytes());
        for (name, size) in
            [(VALUE_CUT, self.value_cut), (KEY_CUT, self.key_cut), (HEADERS_CUT, self.headers_cut)]
        {
            if let Some(size) = size {
                push(name, size.to_string().as_bytes());
            }
        }
    }
}

/// The headers of a dead letter, written by this host or Spring Kafka. Headers that are missing are None.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DeadLetterInfo<'a> {
    /// The topic to which the message was originally published.
    pub topic: Option<&'a str>,
    /// Its partition in that topic.
    pub partition: Option<i32>,
    /// Its offset in that partition.
    pub offset: Option<i64>,
    /// Its timestamp in milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// The consumer group in which it failed.
    pub group: Option<&'a str>,
    /// The kind of failure, in the form of a class name.
    pub exception: Option<&'a str>,
    /// The class name of the root cause, or the failure's code.
    pub cause: Option<&'a str>,
    /// The failure's code; only this host writes it.
    pub code: Option<&'a str>,
    /// The description for users.
    pub detail: Option<&'a str>,
    /// The stack trace.
    pub backtrace: Option<&'a str>,
    /// The number of deliveries so far; 0 if unknown.
    pub attempts: u32,
    /// The number of replays before this failure.
    pub replays: u32,
    /// The time of the first failure in milliseconds since the Unix epoch.
    pub first_failed_ms: Option<i64>,
    /// The plugin's name@version.
    pub plugin: Option<&'a str>,
    /// The plugin's digest.
    pub digest: Option<&'a str>,
    /// The length in bytes of a value that was removed.
    pub value_cut: Option<u64>,
}

impl<'a> DeadLetterInfo<'a> {
    /// Takes the last header of each name.
    pub fn read(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone) -> Self {
        let last = |wanted: &[u8]| {
            let found = headers.clone().filter(|(name, _)| *name == wanted).last();
            found.map(|(_, value)| value.unwrap_or_default())
        };
        // `@RetryableTopic` writes the first family of names, a recoverer without it the second.
        let either = |name: &str| {
            let long = |family: &str| last(format!("{family}{name}").as_bytes());
            long("kafka_").or_else(|| long("kafka_dlt-"))
        };
        let number = |name| last(name).and_then(text).and_then(|text| text.parse().ok());
        let wide = |value: &[u8]| Some(i64::from_be_bytes(value.try_into().ok()?));
        // The header counts the next delivery.
        let next = last(RETRY_ATTEMPTS).map(|value| attempt(Some(value)) - 1);
        Self {
            topic: either("original-topic").and_then(text).filter(|topic| !topic.is_empty()),
            partition: either("original-partition")
                .and_then(|value| Some(i32::from_be_bytes(value.try_into().ok()?)))
                .filter(|partition| *partition >= 0),
            offset: either("original-offset").and_then(wide).filter(|offset| *offset >= 0),
            timestamp_ms: either("original-timestamp").and_then(wide),
            group: last(GROUP).and_then(text),
            exception: either("exception-fqcn").and_then(text),
            cause: either("exception-cause-fqcn").and_then(text),
            code: last(FAILURE_CODE).and_then(text),
            detail: either("exception-message").and_then(text),
            backtrace: either("exception-stacktrace").and_then(text),
            attempts: number(ATTEMPTS).and_then(|count| u32::try_from(count).ok()).or(next).unwrap_or(0),
            replays: number(REPLAYS).and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            first_failed_ms: number(FIRST_FAILED),
            plugin: last(PLUGIN).and_then(text).filter(|plugin| !plugin.is_empty()),
            digest: last(PLUGIN_DIGEST).and_then(text),
            value_cut: number(VALUE_CUT).and_then(|size| u64::try_from(size).ok()),
        }
    }
}

/// Whether a header of a dead letter marks that its key or the sender's headers were removed.
pub fn is_cut(name: &[u8]) -> bool {
    name == KEY_CUT || name == HEADERS_CUT
}

/// The type of a dead letter's original timestamp.
pub fn timestamp_type<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> TimestampType {
    let last = headers.filter(|(name, _)| *name == ORIGINAL_TIMESTAMP_TYPE).last();
    match last {
        Some((_, Some(b"LogAppendTime"))) => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    }
}

/// The message id that the sender set.
pub fn own_id<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Option<&'a str> {
    let own = headers.filter(|(name, _)| *name == ID).last();
    own.and_then(|(_, value)| text(value?)).filter(|id| !id.is_empty())
}

/// The id of a message without one from the sender. It is derived from the origin, which is the same for
/// every redelivery. `timestamp_ms` is [`NO_TIMESTAMP`] for a record without a timestamp.
pub fn coordinates(topic: &str, partition: i32, offset: i64, timestamp_ms: i64) -> String {
    format!("{topic}/{partition}/{offset}/{timestamp_ms}")
}

/// The maximum number of headers in a block.
pub const BLOCK_LEN: usize = BLOCK.len() + 3;

fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok()
}

/// Four bytes big-endian, or one byte. Any other length, and values outside 1 to 32767, count as 1.
fn attempt(value: Option<&[u8]>) -> u32 {
    let attempt = match value {
        Some([byte]) => i32::from(*byte),
        Some(value) => value.try_into().map_or(1, i32::from_be_bytes),
        None => 1,
    };
    u32::try_from(attempt).ok().filter(|attempt| (1..=32767).contains(attempt)).unwrap_or(1)
}

/// Java's `BigInteger.toByteArray`: signed, big-endian, of minimal length.
fn minimal(bytes: &[u8; 8]) -> &[u8] {
    let sign = if bytes[0] & 0x80 == 0 { 0x00 } else { 0xff };
    let redundant =
        bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0).count();
    bytes.get(redundant..).unwrap_or(bytes)
}

/// Java's `new BigInteger(bytes)`; None if the value exceeds 64 bits.
pub fn big_integer(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.first()? & 0x80 != 0;
    let fill = if negative { 0xff } else { 0x00 };
    let (extra, low) = bytes.split_at(bytes.len().saturating_sub(8));
    let mut wide = [fill; 8];
    wide.get_mut(8 - low.len()..)?.copy_from_slice(low);
    let value = i64::from_be_bytes(wide);
    (extra.iter().all(|byte| *byte == fill) && (value < 0) == negative).then_some(value)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
