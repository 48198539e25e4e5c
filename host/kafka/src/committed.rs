//! What a group has committed.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::raw;
use crate::window::Window;

/// What a group has committed for a partition.
pub struct Committed {
    /// The partition's topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The offset of the next message.
    pub offset: i64,
    /// What stands beside it; anybody may have written it.
    pub metadata: Vec<u8>,
}

impl Committed {
    /// What a host says of the messages behind the offset. None where it was somebody else.
    pub fn window(&self) -> Option<Window> {
        Window::decode(self.offset, &self.metadata)
    }
}

/// Asks within `timeout` what the consumer's group has committed for these partitions; those
/// without a commit are left out.
///
/// # Errors
/// Kafka does not answer, or not for all of them.
pub fn committed<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = (&'a str, i32)>,
    timeout: Duration,
) -> KafkaResult<Vec<Committed>> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in partitions {
        asked.add_partition(topic, partition);
    }
    if asked.count() == 0 {
        return Ok(Vec::new());
    }
    let found = consumer.committed_offsets(asked, timeout)?;
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
