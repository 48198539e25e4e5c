//! The keys that the host's plugins hold after dead letters, for the API and the console.

use std::sync::Arc;

use base::bytes::Bytes;
use desk::audit::Actor;
use desk_api::HeldKey;
use kafka::held_keys::{Held, HeldKeys};
use kafka::key_order::OrderKey;
use kafka::publisher::Publisher;
use rdkafka::error::RDKafkaErrorCode;

use crate::{DeskState, health};

/// The held keys of a plugin (`on-dead = "hold"`).
#[derive(Clone)]
pub struct PluginKeys {
    /// The plugin's name, without its version.
    pub plugin: Arc<str>,
    /// The plugin's topic.
    pub topic: String,
    /// The keys.
    pub keys: Arc<HeldKeys>,
    /// Publishes that keys are released.
    pub publisher: Arc<Publisher>,
}

/// The reason why keys are not released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// No plugin of this host that holds keys has this name.
    #[error("unknown plugin")]
    Unknown,
    /// The store is unavailable; nothing has changed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// Kafka did not take all of them; the others are still held.
    #[error("{0}")]
    Kafka(RDKafkaErrorCode),
}

/// The keys that are selected.
#[derive(Debug, Clone, Copy)]
pub enum Selected<'a> {
    /// All of a plugin.
    All,
    /// Those with these ids.
    Ids(&'a [OrderKey]),
}

impl PluginKeys {
    /// The keys that have been held for the longest time, at most `max`.
    pub fn list(&self, max: usize) -> Vec<HeldKey> {
        self.keys.list().into_iter().take(max).map(|(key, held)| self.entry(key, held)).collect()
    }

    fn entry(&self, key: OrderKey, held: Held) -> HeldKey {
        let Held { key: bytes, partition, offset, code, since_ms } = held;
        HeldKey {
            id: id(key),
            plugin: self.plugin.to_string(),
            topic: self.topic.clone(),
            partition,
            offset,
            key: Bytes(bytes),
            code,
            since_ms,
        }
    }
}

/// The id of a key: 32 hexadecimal digits.
fn id(key: OrderKey) -> String {
    format!("{key:032x}")
}

/// The key with this id.
pub fn parse_id(id: &str) -> Option<OrderKey> {
    OrderKey::from_str_radix(id, 16).ok().filter(|_| id.len() == 32 && !id.starts_with('+'))
}

/// Releases keys of a plugin in all hosts of its consumer group. Returns the number of those that were held.
///
/// # Errors
/// The plugin is unknown, or the store or Kafka is unavailable.
pub async fn release(
    state: &DeskState,
    plugin: &str,
    selected: Selected<'_>,
    actor: Actor<'_>,
) -> Result<usize, ReleaseError> {
    let plugin = state.held_keys.iter().find(|it| *it.plugin == *plugin).ok_or(ReleaseError::Unknown)?;
    let keys: Vec<OrderKey> = match selected {
        Selected::All => plugin.keys.list().into_iter().map(|(key, _)| key).collect(),
        Selected::Ids(keys) => keys.iter().copied().filter(|key| plugin.keys.contains(*key)).collect(),
    };
    if keys.is_empty() {
        return Ok(0);
    }
    if health::outage(&state.members).is_some() {
        return Err(ReleaseError::Kafka(RDKafkaErrorCode::AllBrokersDown));
    }
    // First, so that nothing is released without an entry.
    state.desk.log_release(&plugin.plugin, actor).await?;
    plugin.keys.release(&plugin.publisher, &keys).await.map_err(ReleaseError::Kafka)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_digits() {
        assert_eq!(parse_id(&id(255)), Some(255));
        for other in
            ["", "ff", "+00000000000000000000000000000ff", "0000000000000000000000000000000000ff", "x"]
        {
            assert_eq!(parse_id(other), None, "{other}");
        }
    }
}
