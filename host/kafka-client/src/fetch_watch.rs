//! Notices a client that fetches nothing of a partition although messages are there.
//!
//! librdkafka never takes a lower leader epoch from the metadata than it knows (`rd_kafka_toppar_leader_update`), but the
//! epochs of a topic that was created again begin anew. Kafka refuses every fetch with the old one
//! (`UNKNOWN_LEADER_EPOCH`, KIP-320), or the client sends none because it has not taken the new leader either. It goes
//! on like this for good, without an error. Only a new client reads on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};

use crate::raw;
use crate::raw::admin::{ListOffsets, LogEnd, Offsets};

/// For how long nothing is fetched before Kafka is asked, and again until its answer counts, besides the time that Kafka
/// may take for a fetch.
const GRACE: Duration = Duration::from_secs(5);
/// The default of `fetch.wait.max.ms`.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// The pause between two questions, and the timeout of one. It passes if a partition has no leader.
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
/// So many answers in a row must say the same, each after another [`GRACE`]. After an outage of Kafka, the first answer
/// may come before the first fetch; during one, there is none.
const ANSWERS: u32 = 3;
/// The pause after a replacement, which doubles with each.
const MIN_PAUSE: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// A partition that a client should fetch, of which nothing waits to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// A number that changes whenever something is read.
    pub progress: i64,
    /// The offset of the next record, if it is known.
    pub next: Option<i64>,
}

/// A partition of which nothing was read for some time.
#[derive(Debug)]
struct Silent {
    since: Instant,
    progress: i64,
    /// Whether the client does not know the end of the log: a refused fetch makes it forget that.
    is_refused: bool,
    /// The end of the log according to Kafka, and how many answers in a row said that the client is behind it.
    missed: Option<(i64, u32)>,
}

/// Watches the successive clients of one member.
pub struct FetchWatch {
    grace: Duration,
    silent: HashMap<(String, i32), Silent>,
    request: Option<ListOffsets>,
    next_request: Instant,
    next_replacement: Instant,
    pause: Duration,
}

impl FetchWatch {
    /// A watch of clients with this configuration.
    pub fn new(config: &ClientConfig) -> Self {
        let wait = config.get("fetch.wait.max.ms").and_then(|value| value.parse().ok());
        let now = Instant::now();
        Self {
            grace: GRACE + wait.map_or(FETCH_WAIT, Duration::from_millis),
            silent: HashMap::new(),
            request: None,
            next_request: now,
            next_replacement: now,
            pause: MIN_PAUSE,
        }
    }

    /// Looks at these partitions, every few seconds. Returns one that the client leaves unread: it must be replaced.
    pub fn look<'a, C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        expected: impl IntoIterator<Item = Expected<'a>>,
    ) -> Option<(String, i32)> {
        let answer = self.answer();
        self.note(consumer, expected, answer.as_ref());
        if answer.is_some() && self.silent.values().any(|silent| silent.missed.is_some()) {
            self.next_request = Instant::now() + self.grace;
        }
        self.ask(consumer);
        let now = Instant::now();
        let is_left = |silent: &Silent| silent.missed.is_some_and(|(_, answers)| answers >= ANSWERS);
        let (key, _) = self.silent.iter().find(|(_, silent)| is_left(silent))?;
        if now < self.next_replacement {
            return None;
        }
        let key = key.clone();
        self.next_replacement = now + self.pause;
        self.pause = MAX_PAUSE.min(2 * self.pause);
        self.forget();
        Some(key)
    }

    /// Since when the client fetches nothing of a partition, although Kafka has messages of it or the client does not
    /// know whether it has.
    pub fn unfetched(&self, topic: &str, partition: i32) -> Option<Instant> {
        // Without a copy of the name it cannot be looked up.
        let found = self.silent.iter().find(|((name, index), _)| *index == partition && name == topic);
        let (_, silent) = found?;
        (silent.is_refused || silent.missed.is_some()).then_some(silent.since)
    }

    /// Counts Kafka's answers anew, after it was away. The client must still be there.
    pub fn forget_answers(&mut self) {
        self.request = None;
        // Nothing was read meanwhile.
        self.silent
            .values_mut()
            .filter_map(|silent| silent.missed.as_mut())
            .for_each(|(_, answers)| *answers = 0);
    }

    /// Forgets a client, which must still be there.
    pub fn forget(&mut self) {
        self.silent.clear();
        self.request = None;
    }

    /// The ends of the logs, if Kafka has answered; none of them if it did not in time.
    fn answer(&mut self) -> Option<Offsets> {
        let answer = self.request.as_ref().and_then(|request| request.answer(Duration::ZERO))?;
        self.request = None;
        Some(answer.unwrap_or_default())
    }

    fn note<'a, C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        expected: impl IntoIterator<Item = Expected<'a>>,
        answer: Option<&Offsets>,
    ) {
        let now = Instant::now();
        let mut silent = HashMap::new();
        for Expected { topic, partition, progress, next } in expected {
            let key = (topic.to_owned(), partition);
            let known_end = raw::known_end(consumer, topic, partition);
            let before = self.silent.remove(&key).filter(|before| before.progress == progress);
            let (since, missed) = before.map_or((now, None), |before| (before.since, before.missed));
            let is_behind =
                |end: i64| known_end.is_none_or(|known| known < end) || next.is_some_and(|next| next < end);
            let missed = match answer {
                Some(ends) => match ends.get(&key) {
                    Some(end) => Some((*end, missed.map_or(1, |(_, answers)| answers + 1))),
                    None => missed.map(|(end, _)| (end, 0)),
                },
                None => missed,
            };
            let missed = missed.filter(|(end, _)| is_behind(*end));
            silent.insert(key, Silent { since, progress, is_refused: known_end.is_none(), missed });
        }
        self.silent = silent;
    }

    fn ask<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>) {
        let now = Instant::now();
        if self.request.is_some() || now < self.next_request {
            return;
        }
        let lasting = self.silent.iter().filter(|(_, silent)| now - silent.since >= self.grace);
        let lasting: Vec<(&str, i32)> = lasting.map(|((topic, index), _)| (topic.as_str(), *index)).collect();
        if !lasting.is_empty() {
            self.request = Some(ListOffsets::send(consumer, &lasting, LogEnd::Stable, TIMEOUT));
            self.next_request = now + INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rdkafka::TopicPartitionList;
    use rdkafka::consumer::{Consumer, DefaultConsumerContext};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
    use rdkafka::topic_partition_list::Offset;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    const BOUND: Duration = Duration::from_secs(20);

    fn publish(config: &ClientConfig) {
        let producer: BaseProducer = config.create().expect("a producer");
        producer.send(BaseRecord::<(), str>::to("t").payload("x").partition(0)).expect("queued");
        producer.flush(BOUND).expect("published");
    }

    /// Whether the watch has a client replaced within `time`, and whether it has noticed something, if the client reads
    /// one record, and its fetches are refused from then on, or not.
    fn look(cluster: &MockCluster<'_, DefaultProducerContext>, time: Duration, refuse: bool) -> (bool, bool) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
        config.set("fetch.wait.max.ms", "10");
        publish(&config);
        let consumer: BaseConsumer<DefaultConsumerContext> = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("t", 0, Offset::Beginning).expect("an offset");
        consumer.assign(&list).expect("assigned");
        consumer.poll(BOUND).expect("the record").expect("no error");
        if refuse {
            let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH;
            cluster.request_errors(RDKafkaApiKey::Fetch, &[refused; 10_000]);
            publish(&config);
        }
        let mut watch = FetchWatch::new(&config);
        watch.grace = Duration::from_millis(500);
        let end = Instant::now() + time;
        let mut was_unfetched = false;
        while Instant::now() < end {
            let expected = Expected { topic: "t", partition: 0, progress: 1, next: Some(1) };
            if watch.look(&consumer, [expected]).is_some() {
                return (true, was_unfetched);
            }
            was_unfetched |= watch.unfetched("t", 0).is_some();
            thread::sleep(Duration::from_millis(50));
        }
        (false, was_unfetched)
    }

    #[test]
    fn a_client_whose_fetches_are_refused_is_replaced() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t", 1, 1).expect("a topic");
        assert_eq!(look(&cluster, BOUND, true), (true, true));
    }

    #[test]
    fn a_client_that_has_read_all_is_kept() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("t", 1, 1).expect("a topic");
        assert_eq!(look(&cluster, Duration::from_secs(4), false), (false, false));
    }
}
