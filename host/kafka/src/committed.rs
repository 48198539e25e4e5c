//! The committed offsets of a consumer group.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::commit_metadata::CommitMetadata;
use crate::raw;

/// The committed offset of a partition.
pub struct Committed {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next message.
    pub offset: i64,
    /// The metadata of the commit; untrusted.
    pub metadata: Vec<u8>,
}

impl Committed {
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
        all.push(Committed { topic, partition, offset, metadata });
    }
    Ok(all)
}
