//! The held keys of a consumer group, read from Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base::error::UserError;
use kafka::client;
use kafka::compacted::{PARTITION, Reader};
use kafka::held_keys::{HeldKeys, topic_of};
use kafka::publisher::Destination;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::Offset;
use settings::KafkaArgs;

use crate::kafka_client::{KafkaClient, invalid_topic};

/// The maximum time for reading the topic.
const BOUND: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// The keys of a source topic that `group` holds now. None if no host has held keys of this topic: its topic is not in
/// `metadata`.
///
/// # Errors
/// Kafka is unreachable, or does not let the client read the topic.
pub fn read(
    client: &KafkaClient,
    kafka: &KafkaArgs,
    metadata: &Metadata,
    group: &str,
    source: &str,
) -> Result<Option<Arc<HeldKeys>>, UserError> {
    let topic = topic_of(source);
    if !metadata.topics().iter().any(|found| found.name() == topic) {
        return Ok(None);
    }
    let partition = (topic.clone(), PARTITION);
    let end = client.offsets(Offset::End, std::slice::from_ref(&partition))?;
    let end = end.find_partition(&topic, PARTITION).and_then(|found| found.offset().to_raw());
    let unread = |why: &str| UserError::unavailable(format!("topic {topic} cannot be read: {why}"));
    let end = end.filter(|end| *end >= 0).ok_or_else(|| unread("it has no leader"))?;
    let destination = Destination::new(&topic, 1).ok_or_else(|| invalid_topic(&topic))?;
    let (keys, stop) = (HeldKeys::new(group, destination), Arc::new(AtomicBool::new(false)));
    let reader = Reader::start(&keys, &client::config(kafka, &[]), &stop);
    let reader = reader.map_err(|error| unread(&error.to_string()))?;
    let until = Instant::now() + BOUND;
    while !keys.is_read_to(None, end) && Instant::now() < until {
        thread::sleep(POLL);
    }
    stop.store(true, Ordering::Relaxed);
    reader.join();
    if keys.is_read_to(None, end) {
        return Ok(Some(keys));
    }
    let seconds = BOUND.as_secs();
    Err(unread(&format!("its end was not reached within {seconds} s"))
        .help(format!("grant this client READ on topic {topic} and on group {group}")))
}
