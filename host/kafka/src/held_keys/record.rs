//! The records of held keys: JSON, so that any tool can read them.

use base::bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::key_order::OrderKey;

/// The maximum length of the key in a record's value in bytes; the rest is cut. The record's own key has a hash.
const MAX_KEY: usize = 1024;

/// A held key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The messages' key; of a long one the first 1,024 bytes.
    pub key: Vec<u8>,
    /// The partition of the source topic with the dead letter that holds it.
    pub partition: i32,
    /// The offset of that dead letter in its partition.
    pub offset: i64,
    /// The failure code of the dead letter.
    pub code: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// A record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub key: OrderKey,
    /// None: the key is released.
    pub held: Option<Held>,
}

#[derive(Serialize, Deserialize)]
struct Key<'a> {
    group: std::borrow::Cow<'a, str>,
    /// The hash of the messages' key, as hexadecimal digits.
    key: String,
}

#[derive(Serialize, Deserialize)]
struct Value {
    key: Bytes,
    partition: i32,
    offset: i64,
    code: String,
    since_ms: i64,
}

/// The key of a record.
pub(super) fn key(group: &str, key: OrderKey) -> Vec<u8> {
    json(&Key { group: group.into(), key: format!("{key:032x}") })
}

/// The value of a record that holds a key.
pub(super) fn value(held: &Held) -> Vec<u8> {
    let Held { key, partition, offset, code, since_ms } = held;
    let key = Bytes(key.iter().take(MAX_KEY).copied().collect());
    json(&Value { key, partition: *partition, offset: *offset, code: code.clone(), since_ms: *since_ms })
}

/// Reads a record. None if it belongs to another group or is no record of a host.
pub(super) fn read(group: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Change> {
    let Key { group: of, key } = serde_json::from_slice(key?).ok()?;
    let key = OrderKey::from_str_radix(&key, 16).ok().filter(|_| key.len() == 32 && of == group)?;
    let held = match value {
        None => None,
        Some(value) => {
            let Value { key, partition, offset, code, since_ms } = serde_json::from_slice(value).ok()?;
            Some(Held { key: key.0, partition, offset, code, since_ms })
        }
    };
    Some(Change { key, held })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers alone.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_change_round_trips(
            group: String,
            hash: u128,
            bytes in prop::collection::vec(any::<u8>(), 0..MAX_KEY),
            (partition, offset, since_ms) in any::<(i32, i64, i64)>(),
            code: String,
            releases: bool,
        ) {
            let held = Held { key: bytes, partition, offset, code, since_ms };
            let change = Change { key: hash, held: (!releases).then_some(held.clone()) };
            let text = value(&held);
            let value = (!releases).then_some(&*text);
            prop_assert_eq!(read(&group, Some(&key(&group, hash)), value), Some(change));
            prop_assert_eq!(read(&format!("{group}2"), Some(&key(&group, hash)), value), None);
        }

        #[test]
        fn other_records_are_ignored(key: Vec<u8>, value: Vec<u8>) {
            prop_assert_eq!(read("g", Some(&key), Some(&value)), None);
        }
    }

    #[test]
    fn keys_of_records_never_change() {
        assert_eq!(key("g", 255), br#"{"group":"g","key":"000000000000000000000000000000ff"}"#);
        assert_eq!(read("g", Some(br#"{"group":"g","key":"+0000000000000000000000000000ff"}"#), None), None);
    }
}
