//! Publishing to retry and dead-letter topics: durable when it returns.

use std::borrow::Cow;
use std::ffi::CString;
use std::pin::pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use settings::KafkaArgs;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use crate::errors;
use crate::raw::{self, HeaderList, Record};

/// How long a publish may take before its partition waits for it.
pub const PUBLISH_BOUND: Duration = Duration::from_secs(5);

const SETTINGS: [(&str, &str); 9] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Java's and Spring's choice of partition for a key.
    ("partitioner", "murmur2_random"),
    ("linger.ms", "1"),
    // Below the room that retry topics have beyond the source's largest record, so that no batch
    // of small records is refused for its size; a single record may be as large as it was.
    ("batch.size", "32768"),
    ("message.max.bytes", "100000000"),
    ("queue.buffering.max.kbytes", "131072"),
    // Longer than a broker takes to restart: until then the producer repeats nothing.
    ("message.timeout.ms", "30000"),
    ("reconnect.backoff.max.ms", "2000"),
];

/// How long what a producer said last may explain that nothing is acknowledged.
const RECENT: Duration = Duration::from_secs(60);
/// How long a producer may take to look a topic up.
const LOOK_UP: Duration = Duration::from_secs(5);

/// A record was reported as delivered without the place where it is.
const UNPROVEN: RDKafkaErrorCode = RDKafkaErrorCode::Inconsistent;

/// A topic to publish to. Clones are the same destination.
#[derive(Debug, Clone)]
pub struct Destination {
    name: CString,
    partitions: Arc<AtomicI32>,
}

impl Destination {
    /// A topic with this many partitions. None where the name holds a NUL.
    pub fn new(name: &str, partitions: usize) -> Option<Self> {
        let to = Self { name: CString::new(name).ok()?, partitions: Arc::default() };
        to.set_partitions(partitions);
        Some(to)
    }

    /// It has this many partitions now.
    pub fn set_partitions(&self, partitions: usize) {
        self.partitions.store(i32::try_from(partitions).unwrap_or(i32::MAX), Ordering::Relaxed);
    }

    fn has(&self, partition: i32) -> bool {
        partition < self.partitions.load(Ordering::Relaxed)
    }

    /// Its name, for people.
    pub fn name(&self) -> Cow<'_, str> {
        self.name.to_string_lossy()
    }
}

/// Where a record was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// What makes every batch hold one record.
const ALONE: [(&str, &str); 2] = [("batch.num.messages", "1"), ("linger.ms", "0")];

/// Publishes with the broker's acknowledgement (`acks=all`, idempotent).
pub struct Publisher {
    batched: Client,
    /// For records that were refused for the size of their batch; made when the first one is.
    alone: OnceLock<Client>,
    /// Told when a topic does not seem to be as it was.
    doubt: Notify,
}

/// A producer, made anew when it fails for good.
struct Client {
    config: ClientConfig,
    producer: RwLock<Arc<ThreadedProducer<Reports>>>,
    /// When brokers were looked for last because nothing was acknowledged.
    looked: Mutex<Option<Instant>>,
    said: Said,
}

/// What a producer said last, and when.
type Said = Arc<Mutex<Option<(Instant, String)>>>;

impl Publisher {
    /// # Errors
    /// What librdkafka has against the configuration.
    pub fn new(kafka: &KafkaArgs) -> KafkaResult<Self> {
        let batched = Client::new(crate::client::config(kafka, &SETTINGS))?;
        Ok(Self { batched, alone: OnceLock::new(), doubt: Notify::new() })
    }

    /// A record could not be published: somebody should look at the topics.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Completes once somebody should look at the topics.
    pub async fn in_doubt(&self) {
        self.doubt.notified().await;
    }

    /// What went wrong with the connection in the last minute, for people.
    pub fn last_said(&self) -> Option<String> {
        let said = self.batched.said.lock();
        said.as_ref().filter(|(at, _)| at.elapsed() < RECENT).map(|(_, what)| what.clone())
    }

    /// Lets the producers look a topic up again, which they do by themselves only every few
    /// minutes. Blocks for up to 10 s.
    pub fn look_up(&self, topic: &str) {
        for client in [Some(&self.batched), self.alone.get()].into_iter().flatten() {
            let producer = Arc::clone(&client.producer.read());
            // Where nobody answers, it is asked again later.
            let _ = producer.client().fetch_metadata(Some(topic), LOOK_UP);
        }
    }

    /// How many partitions a topic has; None where there is no such topic. Blocks for up to 5 s.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub fn partitions(&self, topic: &str) -> KafkaResult<Option<usize>> {
        let producer = Arc::clone(&self.batched.producer.read());
        let metadata = producer.client().fetch_metadata(Some(topic), LOOK_UP)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        Ok(found.map(|topic| topic.partitions().len()).filter(|count| *count > 0))
    }

    /// Publishes one record and waits until the broker has it. `partition` is the record's own
    /// number; where the destination has no such partition, its key decides. `headers` is asked
    /// again where the record is handed to librdkafka again, which keeps what it is given.
    ///
    /// # Errors
    /// Why the broker does not have it, or may not have it.
    pub async fn publish(
        &self,
        to: &Destination,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &impl Fn() -> HeaderList,
    ) -> Result<Placed, RDKafkaErrorCode> {
        let own = Some(partition).filter(|number| to.has(*number));
        if own.is_none() {
            self.doubt();
        }
        match self.publish_to(to, own, key, value, headers).await {
            // The topic was made again with fewer partitions.
            Err(RDKafkaErrorCode::UnknownPartition) if own.is_some() => {
                self.doubt();
                self.publish_to(to, None, key, value, headers).await
            }
            result => result,
        }
    }

    async fn publish_to(
        &self,
        to: &Destination,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &impl Fn() -> HeaderList,
    ) -> Result<Placed, RDKafkaErrorCode> {
        let record = || Record { topic: &to.name, partition, key, value, headers: headers() };
        match self.batched.publish(record()).await {
            // A batch is refused as a whole: the topic may take this record without the others.
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => self.alone()?.publish(record()).await,
            result => result,
        }
    }

    fn alone(&self) -> Result<&Client, RDKafkaErrorCode> {
        if let Some(client) = self.alone.get() {
            return Ok(client);
        }
        let mut config = self.batched.config.clone();
        for (key, value) in ALONE {
            config.set(key, value);
        }
        let client = Client::new(config).map_err(|error| {
            tracing::error!(%error, "cannot make a producer");
            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
        })?;
        Ok(self.alone.get_or_init(|| client))
    }
}

impl Client {
    fn new(config: ClientConfig) -> KafkaResult<Self> {
        let said = Said::default();
        let producer = config.create_with_context(Reports { said: Arc::clone(&said) })?;
        Ok(Self { config, producer: RwLock::new(Arc::new(producer)), looked: Mutex::default(), said })
    }

    async fn publish(&self, record: Record<'_>) -> Result<Placed, RDKafkaErrorCode> {
        let producer = Arc::clone(&self.producer.read());
        let result = self.publish_by(&producer, record).await;
        // Also one that takes nothing any more: it may have failed while there was nothing to publish.
        if producer.client().fatal_error().is_some() || result == Err(RDKafkaErrorCode::MessageTimedOut) {
            self.replace(&producer);
        }
        result
    }

    async fn publish_by(
        &self,
        producer: &ThreadedProducer<Reports>,
        record: Record<'_>,
    ) -> Result<Placed, RDKafkaErrorCode> {
        let (report, reported) = oneshot::channel();
        raw::produce(producer, record, Box::new(report))?;
        let mut reported = pin!(reported);
        loop {
            match timeout(PUBLISH_BOUND, &mut reported).await {
                Ok(result) => return result.unwrap_or(Err(RDKafkaErrorCode::Fail)),
                Err(_) => self.look_again(producer),
            }
        }
    }

    /// Nothing was acknowledged for a while; see [`raw::bootstrap_again`].
    fn look_again(&self, producer: &ThreadedProducer<Reports>) {
        let mut last = self.looked.lock();
        if last.is_none_or(|at| at.elapsed() >= PUBLISH_BOUND) {
            *last = Some(Instant::now());
            let servers = self.config.get("bootstrap.servers").unwrap_or_default();
            raw::bootstrap_again(producer.client(), servers);
        }
    }

    /// A fatal error of the idempotent producer ends it for good, and one that could not deliver
    /// for so long may have lost its way to a partition: whoever notices first puts a new one in
    /// its place. The old one lives on until its last record is reported.
    fn replace(&self, broken: &Arc<ThreadedProducer<Reports>>) {
        let mut current = self.producer.write();
        if !Arc::ptr_eq(&current, broken) {
            return;
        }
        tracing::warn!(fatal = ?broken.client().fatal_error(), "making a new producer");
        match self.config.create_with_context(Reports { said: Arc::clone(&self.said) }) {
            Ok(producer) => *current = Arc::new(producer),
            Err(error) => tracing::error!(%error, "cannot make a new producer"),
        }
    }
}

/// Passes each delivery report on to whoever waits for it.
struct Reports {
    said: Said,
}

type Report = oneshot::Sender<Result<Placed, RDKafkaErrorCode>>;

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Box<Report>) {
        let result = match result {
            // librdkafka's conclusion, not the broker's word: what was sent later was taken, so this was
            // taken before. It was not where a topic was made again in between, whose log takes any
            // sequence as its first. Said to be unpublished, it is published again.
            Ok(record) if record.offset() < 0 => Err(UNPROVEN),
            Ok(record) => Ok(Placed { partition: record.partition(), offset: record.offset() }),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        };
        // Nobody waits any more where the call was cut off.
        let _ = report.send(result);
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "producer");
        // "All brokers are down" comes after the error that says why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.said.lock() = Some((Instant::now(), errors::cause(reason)));
        }
    }
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
