//! Pauses of fetching, which bound the memory of messages with large headers.

use std::sync::atomic::Ordering;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::MemberContext;
use crate::partition::{Flow, Partition};
use crate::raw;

impl MemberContext {
    /// Pauses and resumes the partitions of messages with large headers.
    pub(super) fn control_flow(&self, consumer: &BaseConsumer<Self>) {
        if !self.partition_context.has_large_headers.load(Ordering::Relaxed) {
            return;
        }
        for partition in self.those(|_| true) {
            if let Some(flow) = partition.flow() {
                self.change_flow(consumer, &partition, flow);
            }
        }
    }

    /// Resumes a partition that is paused.
    pub(super) fn end_pause(&self, consumer: &BaseConsumer<Self>, partition: &Partition) {
        if partition.end_pause() {
            self.change_flow(consumer, partition, Flow::Resume);
        }
    }

    fn change_flow(&self, consumer: &BaseConsumer<Self>, partition: &Partition, flow: Flow) {
        let (topic, index) = (partition.topic(), partition.index());
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(topic, index);
        let result = match flow {
            Flow::Pause => consumer.pause(&list),
            Flow::Resume => consumer.resume(&list),
        };
        if flow == Flow::Resume {
            raw::admin::wake_fetch(consumer, topic, index);
        }
        tracing::debug!(group = self.group, topic, partition = index, ?flow, "fetching");
        if let Err(error) = result {
            tracing::warn!(group = self.group, topic, partition = index, %error, "cannot pause or resume fetching");
        }
    }
}
