//! The headers of a dead letter that are not the sender's.

use super::{BLOCK, HEADERS_CUT, ID, KEY_CUT, REPLAY, REPLAYS, RetryInfo, VALUE_CUT};

/// The names that Spring Kafka writes in two families, `kafka_` and `kafka_dlt-` (`KafkaHeaders`).
pub(super) const SPRINGS: [&[u8]; 12] = [
    b"original-topic",
    b"original-partition",
    b"original-offset",
    b"original-timestamp",
    b"original-timestamp-type",
    b"exception-fqcn",
    b"exception-cause-fqcn",
    b"exception-message",
    b"exception-stacktrace",
    b"key-exception-fqcn",
    b"key-exception-message",
    b"key-exception-stacktrace",
];

/// Whether this host or Spring Kafka adds headers of this name to a dead letter.
fn is_known(name: &[u8]) -> bool {
    const HOSTS: [&[u8]; 6] = [ID, REPLAYS, REPLAY, VALUE_CUT, KEY_CUT, HEADERS_CUT];
    let family = name.strip_prefix(b"kafka_dlt-").or_else(|| name.strip_prefix(b"kafka_"));
    BLOCK.contains(&name) || HOSTS.contains(&name) || family.is_some_and(|rest| SPRINGS.contains(&rest))
}

/// Whether replays write headers of this name, which are no plugin's concern.
pub fn is_of_replay(name: &[u8]) -> bool {
    name == REPLAYS || name == REPLAY
}

/// Whether headers of this name are the host's or Spring Kafka's, so that a plugin does not write them. The id of a message
/// may be the plugin's own.
pub fn is_reserved(name: &[u8]) -> bool {
    name != ID && (is_known(name) || name.starts_with(b"host-"))
}

/// Whether each header of a dead letter was added by this host or Spring Kafka, and not by the sender. A replay
/// leaves it out.
///
/// This host appends a whole block, so that an earlier header of one of its names is the sender's, as in a retry.
/// Spring Kafka may repeat its headers at every hop: without a whole block, all of them count as added.
pub fn added<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone) -> Vec<bool> {
    let block = RetryInfo::read_from(headers.clone()).block;
    let is_whole = block.len() == BLOCK.len();
    let is_senders = |index, name| is_whole && BLOCK.contains(&name) && !block.contains(&index);
    headers.enumerate().map(|(index, (name, _))| is_known(name) && !is_senders(index, name)).collect()
}
