//! Requests to the broker: topics, offsets and groups.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{Thread, current, park, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupList;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Kafka;
use crate::must;
use crate::wait::eventually;

/// The bound on a request. A broker may take seconds after its start.
const BOUND: Duration = Duration::from_secs(30);
/// How many clients are kept for further requests.
const MAX_CLIENTS: usize = 8;

impl Kafka {
    /// Settings of a client for this broker, with `group.id` if `group` is not empty.
    pub fn config(&self, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("reconnect.backoff.max.ms", "200");
        if !group.is_empty() {
            config.set("group.id", group);
        }
        config
    }

    /// Creates a topic with topic settings and waits until it can be used.
    #[track_caller]
    pub fn create_topic(&self, name: &str, partitions: usize, settings: &[(&str, &str)]) {
        must(
            self.try_create_topic(name, partitions, settings)
                .with_context(|| format!("creating topic {name}")),
        );
        eventually(BOUND, || self.partitions(name).is_ok_and(|found| found == partitions));
    }

    fn try_create_topic(&self, name: &str, partitions: usize, settings: &[(&str, &str)]) -> Result<()> {
        let mut topic = NewTopic::new(name, i32::try_from(partitions)?, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(BOUND));
        for result in block_on(self.admin()?.create_topics(&[topic], &options))? {
            result.map_err(|(_, code)| anyhow!("{code}"))?;
        }
        Ok(())
    }

    /// Deletes a group without members and its committed offsets. A missing group is no error.
    #[track_caller]
    pub fn delete_group(&self, group: &str) {
        eventually(BOUND, || {
            let results = self.admin().map(|admin| {
                block_on(admin.delete_groups(&[group], &AdminOptions::new().request_timeout(Some(BOUND))))
            });
            match must(must(results).map_err(Into::into)).pop() {
                Some(Err((_, RDKafkaErrorCode::GroupIdNotFound))) | Some(Ok(_)) => true,
                // The group still has members.
                Some(Err(_)) | None => false,
            }
        });
    }

    /// The ids of the members of a group.
    #[track_caller]
    pub fn members(&self, group: &str) -> Vec<String> {
        let list = self.list_groups(Some(group));
        let members = list.groups().iter().flat_map(|group| group.members());
        members.map(|member| member.id().to_owned()).collect()
    }

    /// The names of all groups, in no order.
    #[track_caller]
    pub fn groups(&self) -> Vec<String> {
        self.list_groups(None).groups().iter().map(|group| group.name().to_owned()).collect()
    }

    #[track_caller]
    fn list_groups(&self, group: Option<&str>) -> GroupList {
        must(self.answered(|| Ok(self.client("")?.fetch_group_list(group, BOUND)?)))
    }

    /// The number of brokers that are up.
    pub(super) fn broker_count(&self) -> Result<usize> {
        Ok(self.client("")?.fetch_metadata(None, BOUND)?.brokers().len())
    }

    /// The leader of a partition, or -1, and the number of its replicas that are in sync.
    #[track_caller]
    pub fn leader(&self, topic: &str, partition: usize) -> (i32, usize) {
        must(self.answered(|| {
            let metadata = self.client("")?.fetch_metadata(Some(topic), BOUND)?;
            let found = metadata.topics().first().and_then(|topic| topic.partitions().get(partition));
            let found = found.ok_or_else(|| anyhow!("{topic}-{partition} is unknown"))?;
            Ok((found.leader(), found.isr().len()))
        }))
    }

    /// The end offset of each partition, which is the offset of its next record.
    #[track_caller]
    pub fn end_offsets(&self, topic: &str) -> Vec<i64> {
        self.watermarks(topic).into_iter().map(|(_, end)| end).collect()
    }

    /// Whether the topic exists and its log is empty. After a topic was created again, that is the new log: the broker
    /// acknowledges records for the old one for a while, and deletes them with it.
    pub fn is_empty(&self, topic: &str) -> bool {
        self.try_watermarks(topic).is_ok_and(|marks| marks.iter().all(|(_, end)| *end == 0))
    }

    /// The committed offset of each partition, if any.
    #[track_caller]
    pub fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        must(
            self.answered(|| self.try_committed(group, topic))
                .with_context(|| format!("committed offsets of {group} on {topic}")),
        )
    }

    /// The lag of the group. A partition without a committed offset counts as a whole.
    #[track_caller]
    pub fn lag(&self, group: &str, topic: &str) -> i64 {
        let marks = self.watermarks(topic);
        let committed = self.committed(group, topic);
        marks.into_iter().zip(committed).map(|((start, end), done)| end - done.unwrap_or(start)).sum()
    }

    #[track_caller]
    fn watermarks(&self, topic: &str) -> Vec<(i64, i64)> {
        must(self.answered(|| self.try_watermarks(topic)))
    }

    fn try_watermarks(&self, topic: &str) -> Result<Vec<(i64, i64)>> {
        let client = self.client("")?;
        (0..self.partitions(topic)?)
            .map(|partition| {
                let marks = client.fetch_watermarks(topic, i32::try_from(partition)?, BOUND);
                marks.with_context(|| format!("watermarks of {topic}-{partition}"))
            })
            .collect()
    }

    fn try_committed(&self, group: &str, topic: &str) -> Result<Vec<Option<i64>>> {
        let partitions = self.partitions(topic)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, i32::try_from(partition)?);
        }
        let committed = self.client(group)?.committed_offsets(list, BOUND)?;
        let mut offsets = vec![None; partitions];
        for element in committed.elements() {
            element.error()?;
            let slot = usize::try_from(element.partition()).ok().and_then(|index| offsets.get_mut(index));
            if let (Offset::Offset(offset), Some(slot)) = (element.offset(), slot) {
                *slot = Some(offset);
            }
        }
        Ok(offsets)
    }

    /// The number of partitions of the topic. An error if one has no leader.
    pub(super) fn partitions(&self, topic: &str) -> Result<usize> {
        let metadata = self.client("")?.fetch_metadata(Some(topic), BOUND)?;
        let topic = metadata.topics().first().context("no metadata")?;
        if let Some(error) = topic.error() {
            return Err(anyhow!("topic {}: {:?}", topic.name(), error));
        }
        for partition in topic.partitions() {
            if partition.leader() < 0 {
                let error = KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable);
                return Err(error)
                    .with_context(|| format!("{}-{} has no leader", topic.name(), partition.id()));
            }
        }
        Ok(topic.partitions().len())
    }

    /// Repeats a request until the broker can answer. A new topic briefly has no leader, and a restarting
    /// broker has neither leaders nor groups.
    fn answered<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        let end = Instant::now() + BOUND;
        loop {
            match ask() {
                Err(error) if passes(&error) && Instant::now() < end => {
                    // A client whose metadata has no broker never reconnects.
                    self.clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    fn client(&self, group: &str) -> Result<Arc<BaseConsumer>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = clients.iter().position(|(name, _)| name == group) {
            return Ok(Arc::clone(&clients[index].1));
        }
        // A consumer without a subscription does not join the group.
        let id = if group.is_empty() { "testkit" } else { group };
        let client: Arc<BaseConsumer> = Arc::new(self.config(id).create()?);
        clients.push_back((group.to_owned(), Arc::clone(&client)));
        // Each one has pipes, which processes that the tests start inherit.
        if clients.len() > MAX_CLIENTS {
            clients.pop_front();
        }
        Ok(client)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(AdminClient::from_config(&self.config(""))?)
    }
}

fn passes(error: &anyhow::Error) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.downcast_ref::<KafkaError>().and_then(KafkaError::rdkafka_error_code);
    matches!(
        code,
        Some(
            Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::WaitingForCoordinator
        )
    )
}

/// The admin futures of rdkafka have a thread of their own and need no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut context = TaskContext::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => park(),
        }
    }
}
