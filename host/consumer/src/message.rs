//! Builds the contract's message from a record.

use std::borrow::Cow;

use contract::{Header, Message};
use kafka::headers::{Origin, is_of_replay};

use crate::policy::Policy;

/// A record's headers with their names as text.
pub(crate) type NamedHeaders<'a> = Vec<(Cow<'a, str>, Option<&'a [u8]>)>;

/// The sender's headers, without those of replays, with their names as text, in order. Names that are not UTF-8 get replacement
/// characters.
pub(crate) fn named<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> NamedHeaders<'a> {
    let senders = headers.filter(|(name, _)| !is_of_replay(name));
    senders.map(|(name, value)| (String::from_utf8_lossy(name), value)).collect()
}

/// A record, as far as the contract's message contains it.
pub(crate) struct Record<'a> {
    /// The message's id.
    pub id: &'a str,
    /// The message's original position.
    pub origin: Origin<'a>,
    /// None is a null key.
    pub key: Option<&'a [u8]>,
    /// None is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The sender's headers.
    pub headers: &'a NamedHeaders<'a>,
    /// The number of the delivery, from 1.
    pub attempt: u32,
}

impl<'a> Record<'a> {
    /// The message for a plugin with this retry policy.
    pub fn message(self, policy: &Policy) -> Message<'a> {
        let Self { id, origin, key, value, headers, attempt } = self;
        let headers = headers.iter().map(|(name, value)| Header { key: name, value: *value });
        Message {
            id,
            topic: origin.topic,
            partition: origin.partition.cast_unsigned(),
            offset: origin.offset.cast_unsigned(),
            timestamp_ms: origin.timestamp.map_or(0, |(millis, _)| millis.max(0).cast_unsigned()),
            key,
            value,
            headers: headers.collect(),
            attempt,
            // A rule may allow more retries than the policy, and a policy may have changed.
            max_attempts: policy.max_attempts().max(attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka::raw::TimestampType;
    use settings::RuleSettings;

    use super::*;
    use crate::policy::Retry;

    const RETRY: Retry = Retry {
        retries: 5,
        delay_ms: 1000,
        multiplier: 2.0,
        max_delay_ms: 3_600_000,
        jitter: 0.0,
        max_age_ms: 86_400_000,
        blocking_tries: 0,
        blocking_delay_ms: 100,
    };

    fn record<'a>(headers: &'a NamedHeaders<'a>, attempt: u32) -> Record<'a> {
        let timestamp = Some((-5, TimestampType::CreateTime));
        let origin = Origin { topic: "t", partition: 3, offset: 9, timestamp };
        Record { id: "id", origin, key: None, value: Some(b"v"), headers, attempt }
    }

    #[test]
    fn max_attempts_are_the_policys_and_never_less_than_the_attempt() {
        let more = RuleSettings { code: "slow".into(), retries: Some(10), ..RuleSettings::default() };
        let fewer = RuleSettings { code: "bad".into(), retries: Some(0), ..RuleSettings::default() };
        let policy = Policy::new(RETRY, vec![more, fewer]).expect("a policy");
        let headers = named([].into_iter());
        for (attempt, expected) in [(1, 6), (6, 6), (7, 7), (11, 11)] {
            let message = record(&headers, attempt).message(&policy);
            assert_eq!((message.attempt, message.max_attempts), (attempt, expected));
        }
    }

    #[test]
    fn headers_keep_their_order_and_values() {
        let policy = Policy::new(RETRY, Vec::new()).expect("a policy");
        // A plugin that passes headers on must not pass those of a replay on.
        let all = [(&b"a"[..], Some(&b"1"[..])), (b"\xff", None), (b"host-replay", None), (b"a", None)];
        let headers = named(all.into_iter());
        let message = record(&headers, 1).message(&policy);
        let expected = [("a", Some(&b"1"[..])), ("\u{fffd}", None), ("a", None)];
        assert!(message.headers.iter().map(|header| (header.key, header.value)).eq(expected));
        assert_eq!((message.topic, message.partition, message.offset, message.timestamp_ms), ("t", 3, 9, 0));
    }
}
