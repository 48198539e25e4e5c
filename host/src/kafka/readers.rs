//! Which consumer groups read a topic.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;

use super::client::KafkaArgs;
use super::committed::committed;
use super::errors::Context;
use crate::commands::assignment;

/// How long Kafka may take to answer a question.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many groups without members are asked for what they have committed; each is a question of its own.
const MOST: usize = 50;

/// Groups whose members were assigned a partition of the topic, or that have committed an offset of one.
/// Blocks until Kafka has answered, for several times 5 s at most.
///
/// # Errors
/// Kafka does not answer.
pub fn of(kafka: &KafkaArgs, topic: &str) -> KafkaResult<Vec<String>> {
    let client: BaseConsumer<Context> = kafka.config(&[]).create_with_context(Context::default())?;
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let partitions: Vec<(&str, i32)> = partitions.map(|partition| (topic, partition.id())).collect();
    let found = client.fetch_group_list(None, TIMEOUT)?;
    let mut reading = Vec::new();
    let mut asked = 0;
    for group in found.groups() {
        let assigned = group.members().iter().filter_map(|member| assignment::decode(member.assignment()?));
        let reads = if assigned.flatten().any(|(assigned, _)| assigned == topic) {
            true
        } else if asked < MOST {
            asked += 1;
            has_committed(kafka, group.name(), &partitions)?
        } else {
            false
        };
        if reads {
            reading.push(group.name().to_owned());
        }
    }
    reading.sort();
    Ok(reading)
}

fn has_committed(kafka: &KafkaArgs, group: &str, partitions: &[(&str, i32)]) -> KafkaResult<bool> {
    let own = [("group.id", group), ("enable.auto.commit", "false")];
    let client: BaseConsumer<Context> = kafka.config(&own).create_with_context(Context::default())?;
    committed(&client, partitions.iter().copied(), TIMEOUT).map(|found| !found.is_empty())
}
