//! The headers of a record that is sent back.

use consumer::reports::ReplayTag;
use desk_api::{DeadLetter, ReplayTarget};
use kafka::headers::{self, BLOCK_LEN, FailureHeaders, ID, Origin, REPLAY, REPLAYS};
use kafka::raw::HeaderList;

use crate::record;

/// The sender's headers, the message's identity, and for a retry topic the headers that its readers need.
pub(super) fn header_list(
    dead_letter: &DeadLetter,
    replay: &str,
    position: i64,
    target: ReplayTarget,
    now_ms: i64,
) -> HeaderList {
    let mut list = HeaderList::with_capacity(dead_letter.headers.len() + 3 + BLOCK_LEN);
    record::sender_headers(dead_letter).for_each(|(name, value)| list.push(name, value));
    list.push(ID, Some(message_id(dead_letter).as_bytes()));
    list.push(REPLAYS, Some(dead_letter.replays.saturating_add(1).to_string().as_bytes()));
    list.push(REPLAY, Some(ReplayTag::write(replay, position).as_bytes()));
    if target == ReplayTarget::Retry {
        failure_headers(dead_letter, now_ms).write(&mut list);
    }
    list
}

/// The message's original id, from its headers: the store holds it without NUL characters.
fn message_id(dead_letter: &DeadLetter) -> &str {
    if dead_letter.edited_from.is_some() {
        return &dead_letter.message;
    }
    headers::own_id(record::headers(dead_letter)).unwrap_or(&dead_letter.message)
}

/// Retries start over: the first attempt is due now, and the age counts from now.
fn failure_headers(dead_letter: &DeadLetter, now_ms: i64) -> FailureHeaders<'_> {
    let kind = headers::timestamp_type(record::headers(dead_letter));
    FailureHeaders {
        origin: Origin {
            topic: &dead_letter.source.topic,
            partition: dead_letter.source.partition,
            offset: dead_letter.source.offset,
            timestamp: dead_letter.source_timestamp_ms.map(|millis| (millis, kind)),
        },
        group: &dead_letter.consumer_group,
        exception: &dead_letter.exception,
        code: &dead_letter.code,
        detail: &dead_letter.detail,
        backtrace: &dead_letter.backtrace,
        attempts: 0,
        next_attempt: 1,
        due_ms: now_ms,
        first_failed_ms: now_ms,
        plugin: &dead_letter.plugin,
        digest: &dead_letter.digest,
        value_cut: None,
        key_cut: None,
        headers_cut: None,
    }
}
