//! The held keys of a group, as Kafka has them: also while no host runs.

use std::collections::BTreeSet;

use base::bytes::Bytes;
use base::error::UserError;
use kafka::held_keys::Held;
use rdkafka::metadata::Metadata;
use serde::Serialize;
use settings::KafkaArgs;

use super::Partition;
use crate::held_keys;
use crate::kafka_client::KafkaClient;
use desk_cli::dlt::format::{age, fitted};
use desk_cli::output::escaped;

/// The maximum number of keys in a table.
const MAX_ROWS: usize = 50;

/// A key whose messages are held after a dead letter.
#[derive(Serialize)]
pub struct HeldKey {
    topic: String,
    partition: i32,
    key: Bytes,
    since_ms: i64,
    /// The offset of the dead letter in its source topic.
    offset: i64,
    code: String,
}

/// The keys that a group holds of the topics of these partitions.
pub(super) fn of(
    client: &KafkaClient,
    kafka: &KafkaArgs,
    metadata: &Metadata,
    group: &str,
    partitions: &[Partition],
) -> Result<Vec<HeldKey>, UserError> {
    let topics: BTreeSet<&str> = partitions.iter().map(|partition| partition.topic.as_str()).collect();
    let mut all = Vec::new();
    for topic in topics {
        let Some(held) = held_keys::read(client, kafka, metadata, group, topic)? else { continue };
        all.extend(held.list().into_iter().map(|(_, held)| {
            let Held { key, partition, offset, code, since_ms } = held;
            HeldKey { topic: topic.to_owned(), partition, key: Bytes(key), since_ms, offset, code }
        }));
    }
    Ok(all)
}

/// The longest held ones, as a table.
pub(super) fn table(held: &[HeldKey]) -> String {
    let rows = held.iter().take(MAX_ROWS).map(|held| {
        let key = escaped(&String::from_utf8_lossy(&held.key.0));
        let (lasts, origin) = (age(held.since_ms), format!("{}@{}", held.partition, held.offset));
        [held.topic.clone(), key, lasts, origin, escaped(&held.code)]
    });
    let mut text = fitted(["TOPIC", "HELD KEY", ">FOR", "DEAD LETTER", "CODE"], rows.collect());
    if held.len() > MAX_ROWS {
        text += &format!("\nand {} more: -o json lists all of them", held.len() - MAX_ROWS);
    }
    text
}
