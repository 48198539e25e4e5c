//! Notices that a log is not the one that was read until now: its topic was deleted and created again, or it was cut.
//!
//! librdkafka goes on at its position in the new log, and skips the messages before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::MemberContext;
use super::opening::describe;
use crate::partition::Partition;
use crate::raw::TopicId;
use crate::raw::admin::{DescribeTopics, Descriptions, Topic};
use crate::resume::{Cause, Resume};

/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The time for changing a position, which asks no broker.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for the ids of the topics.
#[derive(Default)]
pub(super) struct LogWatch {
    request: Option<DescribeTopics>,
}

impl LogWatch {
    /// Asks `broker`, unless an answer is awaited.
    pub(super) fn ask(&mut self, consumer: &BaseConsumer<MemberContext>, broker: i32) {
        let topics = consumer.context().topics();
        if self.request.is_none() && !topics.is_empty() {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            self.request = Some(DescribeTopics::send(consumer, broker, &names, TIMEOUT));
        }
    }

    /// Reads partitions again whose log is another one.
    pub(super) fn serve(&mut self, consumer: &Arc<BaseConsumer<MemberContext>>) {
        let context = consumer.context();
        if context.partition_context.has_regressed.swap(false, Ordering::Relaxed) {
            context.read_regressed_again(consumer);
        }
        let Some(answer) = self.request.as_ref().and_then(|request| request.answer(Duration::ZERO)) else {
            return;
        };
        self.request = None;
        if let Ok(found) = answer {
            context.read_recreated_again(consumer, &found);
        }
    }
}

impl MemberContext {
    fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.partitions.lock().keys().map(|(topic, _)| topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    fn read_recreated_again(&self, consumer: &Arc<BaseConsumer<Self>>, found: &Descriptions) {
        let id = |partition: &Partition| found.get(partition.topic())?.ok()?.id;
        let other = |partition: &Partition| {
            id(partition).filter(|id| partition.topic_id().is_some_and(|read| read != *id))
        };
        let all: Vec<Arc<Partition>> = self.partitions.lock().values().cloned().collect();
        for (partition, id) in all.iter().filter_map(|partition| Some((partition, other(partition)?))) {
            self.read_again(consumer, partition, Some(id), None);
        }
    }

    fn read_regressed_again(&self, consumer: &Arc<BaseConsumer<Self>>) {
        let all: Vec<Arc<Partition>> = self.partitions.lock().values().cloned().collect();
        for partition in all.iter().filter(|partition| partition.regressed_to().is_some()) {
            let topic = partition.topic();
            let found =
                describe(consumer, [topic].into_iter()).ok().and_then(|mut found| found.remove(topic));
            match found {
                Some(Topic { id, .. }) if id == partition.topic_id() => {
                    self.read_again(consumer, partition, id, partition.regressed_to());
                }
                Some(Topic { id, .. }) => self.read_again(consumer, partition, id, None),
                // Until Kafka answers, nothing of the partition is read.
                None => self.partition_context.has_regressed.store(true, Ordering::Relaxed),
            }
        }
    }

    /// Drops what is known of a partition, and reads it again from its beginning, or from the offset at which its log
    /// was cut. Calls in progress end, but nothing of the former log is committed any more.
    fn read_again(
        &self,
        consumer: &Arc<BaseConsumer<Self>>,
        former: &Arc<Partition>,
        topic_id: Option<TopicId>,
        cut_at: Option<i64>,
    ) {
        let (topic, index) = (former.topic(), former.index());
        former.close();
        let cause = if cut_at.is_some() { Cause::Truncated } else { Cause::Recreated };
        let result = seek(consumer, topic, index, cut_at);
        if let Err(error) = result {
            // The former partition stays closed, and the next round tries again.
            let group = &self.group;
            tracing::warn!(group, topic, partition = index, %error, "cannot read the new log yet");
            self.partition_context.has_regressed.store(former.regressed_to().is_some(), Ordering::Relaxed);
            return;
        }
        let resume = Resume::again(topic_id, cut_at.unwrap_or(0), cause);
        self.report_resume(topic, index, &resume);
        let context = Arc::clone(&self.partition_context);
        if let Some(partition) = Partition::open(Arc::clone(consumer), topic, index, resume, context) {
            self.partitions.lock().insert((topic.to_owned(), index), partition);
        }
    }
}

fn seek(
    consumer: &BaseConsumer<MemberContext>,
    topic: &str,
    partition: i32,
    offset: Option<i64>,
) -> rdkafka::error::KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, offset.map_or(Offset::Beginning, Offset::Offset))?;
    let sought = consumer.seek_partitions(list, SEEK_TIMEOUT)?;
    sought.elements().iter().try_for_each(|element| element.error())
}
