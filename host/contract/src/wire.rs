//! Messages and outcomes as they are passed. They are the same in versions 0.1 and 0.2.

use crate::types::{self, Failure, Outcome, RetryLater};
pub(crate) use crate::v0_2::messages::Message;
use crate::v0_2::messages::{self, Header};

/// Takes the headers of a message. Both types have the same layout, so that the list is converted without an allocation.
pub(crate) fn headers<'a>(message: &mut types::Message<'a>) -> Vec<Header<'a>> {
    let headers = std::mem::take(&mut message.headers).into_iter();
    headers.map(|header| Header { key: header.key, value: header.value }).collect()
}

pub(crate) fn message<'a>(message: &types::Message<'a>, headers: &'a [Header<'a>]) -> Message<'a> {
    Message {
        id: message.id,
        topic: message.topic,
        partition: message.partition,
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        key: message.key,
        value: message.value,
        headers,
        attempt: message.attempt,
        max_attempts: message.max_attempts,
        attributes: &[],
    }
}

/// The outcome of a call.
pub(crate) fn outcome(outcome: messages::Outcome) -> Outcome {
    match outcome {
        messages::Outcome::Done(text) => Outcome::Done(text),
        messages::Outcome::Skipped(text) => Outcome::Skipped(text),
        messages::Outcome::Retry(messages::RetryLater { failure: why, after_ms }) => {
            Outcome::Retry(RetryLater { failure: failure(why), after_ms })
        }
        messages::Outcome::Reject(why) => Outcome::Reject(failure(why)),
    }
}

fn failure(messages::Failure { code, detail }: messages::Failure) -> Failure {
    Failure { code, detail }
}
