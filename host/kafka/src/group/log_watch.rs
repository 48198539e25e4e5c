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
use super::opening::{describe, has_decisions};
use crate::partition::{Condition, Partition, PartitionContext};
use crate::publisher::Destination;
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
        let mut topics = consumer.context().topics();
        if self.request.is_none() && !topics.is_empty() {
            topics.extend(consumer.context().logs());
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
            // A request may take its whole time, in which nothing is committed.
            self.next_opening = Instant::now() + OPENING_INTERVAL.max(5 * began.elapsed());
        }
        let Some(answer) = self.request.as_ref().and_then(|request| request.answer(Duration::ZERO)) else {
            return;
        };
        self.request = None;
        if let Ok(found) = answer {
            context.read_recreated_again(consumer, &found);
            context.read_logs_again(&found);
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
        let id = |partition: &Partition| found.get(partition.topic())?.as_ref().ok()?.id;
        let is_other = |partition: &Partition| matches!((id(partition), partition.topic_id()), (Some(id), Some(read)) if id != read);
        for partition in self.those(is_other) {
            self.read_again(consumer, &partition, Resume::again(id(&partition), 0, Cause::Recreated));
        }
    }

    /// Has the held keys and the decisions read if their topic was created, or created again.
    fn read_logs_again(&self, found: &Descriptions) {
        let PartitionContext { held_keys, decisions, .. } = &*self.partition_context;
        let topic = |topic: &Destination| found.get(&*topic.name())?.as_ref().ok();
        if let Some((held, topic)) = held_keys.as_ref().and_then(|held| Some((held, topic(held.topic())?))) {
            held.is_read_to(topic.id, 0);
        }
        let decided = decisions.as_ref().and_then(|decisions| Some((decisions, topic(decisions.topic())?)));
        if let Some((decisions, topic)) = decided.filter(|(_, topic)| has_decisions(topic)) {
            decisions.is_read_to(topic.id, 0);
        }
    }

    fn read_regressed_again(&self, consumer: &Arc<BaseConsumer<Self>>) {
        for partition in self.those(Partition::has_regressed) {
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
        for partition in self.those(|partition| partition.unchecked().is_some()) {
            let Some(Position { offset, epoch }) = partition.unchecked() else { continue };
            let (topic, index) = (partition.topic(), partition.index());
            let is_lasting = matches!(partition.condition().0, Condition::Blocked(_));
            match seek(consumer, topic, index, Offset::Offset(offset), epoch) {
                Ok(()) => partition.set_checked(),
                Err(error) if is_lasting && self.unopened_report.lock().is_due() => {
                    let group = &self.group;
                    tracing::warn!(group, topic, partition = index, %error, "not read: its position cannot be checked");
                }
                // Right after an assignment, the client has not begun yet.
                Err(_) => {}
            }
        }
    }

    fn open_unopened(&self, consumer: &Arc<BaseConsumer<Self>>) {
        let unopened = self.those(Partition::is_unopened);
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
        if let Err(error) = seek(consumer, topic, index, offset, epoch) {
            // The former partition stays closed, and the next round tries again.
            let group = &self.group;
            tracing::warn!(group, topic, partition = index, %error, "cannot read from another position yet");
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

/// Has the client read from this position on. With a leader epoch it checks the position, and goes to the offset at which
/// the log was cut if that is before it; at an assignment it does not (`rd_kafka_toppar_fetch_start`).
fn seek(
    consumer: &BaseConsumer<MemberContext>,
    topic: &str,
    partition: i32,
    offset: Offset,
    epoch: Option<i32>,
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition, offset)?;
    if let Some(epoch) = epoch {
        raw::set_leader_epoch(&mut list, topic, partition, epoch);
    }
    let sought = consumer.seek_partitions(list, SEEK_TIMEOUT)?;
    sought.elements().iter().try_for_each(|element| element.error())
}
