//! The committed offsets of a consumer group.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::commit_metadata::CommitMetadata;
use crate::raw;
use crate::tracker::Position;

/// The committed offset of a partition.
pub struct Committed {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next message.
    pub offset: i64,
    /// Its leader epoch, if one was committed (KIP-320).
    pub epoch: Option<i32>,
    /// The metadata of the commit; untrusted.
    pub metadata: Vec<u8>,
}

impl Committed {
    /// The offset with its leader epoch.
    pub fn position(&self) -> Position {
        Position { offset: self.offset, epoch: self.epoch }
    }

    /// The host's metadata, with the state of the messages after the offset. None if another program wrote it.
    pub fn host_metadata(&self) -> Option<CommitMetadata> {
        CommitMetadata::decode(self.offset, &self.metadata)
    }
}

/// Fetches the committed offsets of the consumer's group for these partitions within `timeout`. Partitions
/// without a commit are left out.
///
/// # Errors
/// Kafka does not respond, or not for all partitions.
pub fn committed<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = (&'a str, i32)>,
    timeout: Duration,
) -> KafkaResult<Vec<Committed>> {
    let mut requested = TopicPartitionList::new();
    for (topic, partition) in partitions {
        requested.add_partition(topic, partition);
    }
    if requested.count() == 0 {
        return Ok(Vec::new());
    }
    let found = consumer.committed_offsets(requested, timeout)?;
    let mut all = Vec::new();
    for element in found.elements() {
        element.error()?;
        let Offset::Offset(offset) = element.offset() else { continue };
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let metadata = raw::metadata(&found, &topic, partition).unwrap_or_default();
        let epoch = raw::leader_epoch(&found, &topic, partition);
        all.push(Committed { topic, partition, offset, epoch, metadata });
    }
    Ok(all)
}

/// Adds an offset to what will be committed.
///
/// # Errors
/// The offset is invalid.
pub fn add_commit(
    list: &mut TopicPartitionList,
    (topic, partition): (&str, i32),
    Position { offset, epoch }: Position,
    metadata: &str,
) -> KafkaResult<()> {
    let mut element = list.add_partition(topic, partition);
    element.set_offset(Offset::Offset(offset))?;
    element.set_metadata(metadata);
    if let Some(epoch) = epoch {
        raw::set_leader_epoch(list, topic, partition, epoch);
    }
    Ok(())
}
