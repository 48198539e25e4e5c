//! Notices that a log is not the one that was read until now: its topic was deleted and created again, or it was cut.
//!
//! librdkafka goes on at its position in the new log, and skips the messages before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;

use super::MemberContext;
use super::opening::describe;
use crate::partition::Partition;
use crate::raw;
use crate::raw::admin::{DescribeTopics, Descriptions, Topic};
use crate::resume::{Cause, Resume};
use crate::tracker::Position;

/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The minimum pause before Kafka is asked again where the reading of partitions begins.
const OPENING_INTERVAL: Duration = Duration::from_millis(500);
/// The time for changing a position, which asks no broker.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for the ids of the topics.
pub(super) struct LogWatch {
    request: Option<DescribeTopics>,
    next_opening: Instant,
}

impl LogWatch {
    pub(super) fn new() -> Self {
        Self { request: None, next_opening: Instant::now() }
    }

    /// Asks `broker`, unless an answer is awaited.
    pub(super) fn ask(&mut self, consumer: &BaseConsumer<MemberContext>, broker: i32) {
        let topics = consumer.context().topics();
        if self.request.is_none() && !topics.is_empty() {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            self.request = Some(DescribeTopics::send(consumer, broker, &names, TIMEOUT));
        }
    }

    /// Reads partitions again whose log is another one, and those whose commit was unknown.
    pub(super) fn serve(&mut self, consumer: &Arc<BaseConsumer<MemberContext>>) {
        let context = consumer.context();
        context.check_positions(consumer);
        if context.partition_context.has_regressed.swap(false, Ordering::Relaxed) {
            context.read_regressed_again(consumer);
        }
        if Instant::now() >= self.next_opening {
            let began = Instant::now();
            context.open_unopened(consumer);
            // A partition without a leader costs the time of a request, in which nothing is committed.
            self.next_opening = Instant::now() + OPENING_INTERVAL.max(5 * began.elapsed());
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
            self.read_again(consumer, partition, Resume::again(Some(id), 0, Cause::Recreated));
        }
    }

    fn read_regressed_again(&self, consumer: &Arc<BaseConsumer<Self>>) {
        let all: Vec<Arc<Partition>> = self.partitions.lock().values().cloned().collect();
        for partition in all {
            if !partition.has_regressed() {
                continue;
            }
            let topic = partition.topic();
            let found =
                describe(consumer, [topic].into_iter()).ok().and_then(|mut found| found.remove(topic));
            let Some(Topic { id, .. }) = found else {
                // Until Kafka answers, nothing of the partition is read.
                self.partition_context.has_regressed.store(true, Ordering::Relaxed);
                continue;
            };
            if id != partition.topic_id() {
                self.read_again(consumer, &partition, Resume::again(id, 0, Cause::Recreated));
            } else if let Some(resume) = partition.resume_after_regression() {
                self.read_again(consumer, &partition, resume);
            }
        }
    }

    /// Has the client check where the reading of newly assigned partitions begins. Partitions that it does not read yet
    /// are checked later.
    fn check_positions(&self, consumer: &BaseConsumer<Self>) {
        let all: Vec<Arc<Partition>> = self.partitions.lock().values().cloned().collect();
        let unchecked: Vec<_> =
            all.iter().filter_map(|partition| Some((partition, partition.unchecked()?))).collect();
        if unchecked.is_empty() {
            return;
        }
        let mut positions = Vec::with_capacity(unchecked.len());
        for (partition, at) in &unchecked {
            positions.push((partition.topic(), partition.index(), Offset::Offset(at.offset), at.epoch));
        }
        let Ok(results) = seek(consumer, &positions) else { return };
        for ((partition, _), result) in unchecked.iter().zip(results) {
            if result.is_ok() {
                partition.set_checked();
            }
        }
    }

    fn open_unopened(&self, consumer: &Arc<BaseConsumer<Self>>) {
        let all: Vec<Arc<Partition>> = self.partitions.lock().values().cloned().collect();
        let unopened: Vec<_> = all.into_iter().filter(|partition| partition.is_unopened()).collect();
        let keys = unopened.iter().map(|partition| (partition.topic().to_owned(), partition.index()));
        let mut found = self.resumes(consumer, keys.collect());
        for partition in unopened {
            if let Some(resume) = found.remove(&(partition.topic().to_owned(), partition.index())) {
                self.read_again(consumer, &partition, resume);
            }
        }
    }

    /// Drops what is known of a partition, and reads it as `resume` says. Calls in progress end, but nothing of them is
    /// committed any more.
    fn read_again(&self, consumer: &Arc<BaseConsumer<Self>>, former: &Arc<Partition>, resume: Resume) {
        let (topic, index) = (former.topic(), former.index());
        former.close();
        self.end_pause(consumer, former);
        let Position { offset, epoch } = resume.position;
        let offset = match resume.cause {
            Cause::Recreated => Offset::Beginning,
            _ => Offset::Offset(offset),
        };
        let sought =
            seek(consumer, &[(topic, index, offset, epoch)]).and_then(|sought| sought.into_iter().collect());
        if let Err::<(), _>(error) = sought {
            // The former partition stays closed, and the next round tries again.
            let group = &self.group;
            tracing::warn!(group, topic, partition = index, %error, "cannot read the new log yet");
            if former.has_regressed() {
                self.partition_context.has_regressed.store(true, Ordering::Relaxed);
            }
            return;
        }
        if let Some(partition) = self.open(consumer, topic, index, Some(resume)) {
            partition.set_checked();
            self.partitions.lock().insert((topic.to_owned(), index), partition);
        }
    }
}

/// Has the client read from these positions on. It checks those with a leader epoch, and goes to the offset at which the
/// log was cut if that is before the position; at an assignment it does not (`rd_kafka_toppar_fetch_start`). Returns a
/// result for each position.
fn seek(
    consumer: &BaseConsumer<MemberContext>,
    positions: &[(&str, i32, Offset, Option<i32>)],
) -> KafkaResult<Vec<KafkaResult<()>>> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (topic, partition, offset, epoch) in positions {
        list.add_partition_offset(topic, *partition, *offset)?;
        if let Some(epoch) = epoch {
            raw::set_leader_epoch(&mut list, topic, *partition, *epoch);
        }
    }
    let sought = consumer.seek_partitions(list, SEEK_TIMEOUT)?;
    let result = |(topic, partition): (&str, i32)| {
        sought.find_partition(topic, partition).map_or(Ok(()), |found| found.error())
    };
    Ok(positions.iter().map(|(topic, partition, ..)| result((topic, *partition))).collect())
}
