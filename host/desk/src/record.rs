//! Records of a dead-letter topic, read as dead letters.

use base::bytes::Bytes;
use desk_api::{DeadLetter, DeadLetterState, Location, cause};
use effects::Content;
use kafka::headers::{self, DeadLetterInfo, NO_TIMESTAMP};
use sha2::{Digest as _, Sha256};

/// How many bytes of key and value a search covers.
const SEARCHED_BYTES: usize = 4 << 10;
/// Maximum length of details and other texts, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 8 << 10;
/// Maximum length of codes and of the names of plugins and topics, in bytes. PostgreSQL's indexes accept 2,704 bytes, and
/// some have one of each.
pub(crate) const MAX_NAME_BYTES: usize = 512;
/// Maximum length of a message id, in bytes: PostgreSQL's indexes accept 2,704 bytes.
pub(crate) const MAX_MESSAGE_ID_BYTES: usize = 1 << 10;

/// A record of a dead-letter topic.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its location.
    pub location: Location,
    /// Milliseconds since the Unix epoch; 0 if the record has no timestamp.
    pub timestamp_ms: i64,
    /// None for a null key.
    pub key: Option<Vec<u8>>,
    /// None for a tombstone.
    pub value: Option<Vec<u8>>,
    /// All headers, in order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// Reads a record of any producer. Texts that the record does not hold are empty.
pub fn dead_letter(record: Record, now_ms: i64) -> DeadLetter {
    let headers = || record.headers.iter().map(|(name, value)| (&name[..], value.as_deref()));
    let info = DeadLetterInfo::read(headers());
    let source = match (info.topic, info.partition, info.offset) {
        (Some(topic), Some(partition), Some(offset)) => Location { topic: named(topic), partition, offset },
        _ => record.location.clone(),
    };
    let message = match headers::own_id(headers()) {
        Some(id) => id.to_owned(),
        None => {
            let timestamp = info.timestamp_ms.unwrap_or(NO_TIMESTAMP);
            headers::coordinates(&source.topic, source.partition, source.offset, timestamp)
        }
    };
    let consumer_group = named(info.group.unwrap_or_default());
    let (plugin, digest) = match info.plugin {
        Some(plugin) => (named(plugin), bounded(info.digest.unwrap_or_default())),
        None => (consumer_group.clone(), String::new()),
    };
    let code = info.code.or(info.cause).or(info.exception).filter(|code| !code.is_empty());
    let code = named(code.unwrap_or("unknown"));
    let detail = bounded(info.detail.unwrap_or_default());
    DeadLetter {
        id: id(&record),
        state: DeadLetterState::Open,
        state_since_ms: now_ms,
        audit_entry: None,
        failed_ms: if record.timestamp_ms > 0 { record.timestamp_ms } else { now_ms },
        first_failed_ms: info.first_failed_ms,
        ingested_ms: now_ms,
        message: truncated(&message, MAX_MESSAGE_ID_BYTES),
        source,
        source_timestamp_ms: info.timestamp_ms.filter(|millis| *millis >= 0),
        failure: failure_id(&code, &plugin, &digest, &cause(&detail)),
        consumer_group,
        plugin,
        digest,
        code,
        detail,
        exception: bounded(info.exception.unwrap_or_default()),
        backtrace: bounded(info.backtrace.unwrap_or_default()),
        attempts: info.attempts,
        replays: info.replays,
        value_cut: info.value_cut,
        location: Some(record.location),
        key: record.key.map(Bytes),
        value: record.value.map(Bytes),
        headers: record.headers.into_iter().map(|(name, value)| (Bytes(name), value.map(Bytes))).collect(),
        edited_from: None,
        edited_as: None,
        failed_again_of: None,
        outcome: None,
    }
}

/// All headers of a dead letter, as bytes.
pub fn headers(dead_letter: &DeadLetter) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + Clone {
    dead_letter.headers.iter().map(|(name, value)| (&name.0[..], value.as_ref().map(|value| &value.0[..])))
}

/// The sender's headers: all but those added by retries and dead-lettering.
pub fn sender_headers(dead_letter: &DeadLetter) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let added = headers::added(headers(dead_letter));
    headers(dead_letter).zip(added).filter(|(_, added)| !added).map(|(header, _)| header)
}

/// The text that a search covers, in lower case.
pub(crate) fn searchable_text(dead_letter: &DeadLetter) -> String {
    let bytes = |bytes: &Option<Bytes>| {
        let bytes = bytes.as_ref().map_or(&[][..], |bytes| &bytes.0);
        String::from_utf8_lossy(bytes.get(..SEARCHED_BYTES).unwrap_or(bytes)).into_owned()
    };
    let texts =
        [&bytes(&dead_letter.key), &bytes(&dead_letter.value), &dead_letter.detail, &dead_letter.message];
    without_nul(&texts.map(String::as_str).join("\n").to_lowercase())
}

/// The id of the failure with this code, plugin, digest and cause.
pub fn failure_id(code: &str, plugin: &str, digest: &str, cause: &str) -> String {
    // Failures without a cause are also those of earlier versions, which did not tell causes apart.
    let fields = [code, plugin, digest].into_iter().chain(Some(cause).filter(|cause| !cause.is_empty()));
    let content = fields.fold(Content::default(), |content, field| content.field(field.as_bytes()));
    hex::encode(&content.digest()[..16])
}

/// The id of a record's dead letter. It includes the timestamp, because a topic that is deleted and created again
/// reuses offsets.
fn id(record: &Record) -> String {
    let Location { topic, partition, offset } = &record.location;
    let mut hash = Sha256::new();
    hash.update(topic.as_bytes());
    hash.update([0]);
    hash.update(partition.to_be_bytes());
    hash.update(offset.to_be_bytes());
    hash.update(record.timestamp_ms.to_be_bytes());
    hex::encode(&hash.finalize()[..16])
}

fn named(text: &str) -> String {
    truncated(text, MAX_NAME_BYTES)
}

fn bounded(text: &str) -> String {
    truncated(text, MAX_TEXT_BYTES)
}

fn truncated(text: &str, max_bytes: usize) -> String {
    let end = text.floor_char_boundary(max_bytes);
    let mut text = without_nul(text.get(..end).unwrap_or(text));
    // The replacement of a NUL is longer than the NUL.
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

/// Replaces NUL characters, which PostgreSQL does not accept.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
