//! Publishing to retry and dead-letter topics: durable when it returns.

use std::borrow::Cow;
use std::ffi::CString;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::client::KafkaArgs;
use super::raw::{self, HeaderList, Record};

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

/// A topic to publish to.
#[derive(Debug, Clone)]
pub struct Destination {
    name: CString,
    partitions: i32,
}

impl Destination {
    /// A topic with this many partitions. None where the name holds a NUL.
    pub fn new(name: &str, partitions: usize) -> Option<Self> {
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        Some(Self { name: CString::new(name).ok()?, partitions })
    }

    /// Its name, for people.
    pub fn name(&self) -> Cow<'_, str> {
        self.name.to_string_lossy()
    }
}

/// What makes every batch hold one record.
const ALONE: [(&str, &str); 2] = [("batch.num.messages", "1"), ("linger.ms", "0")];

/// Publishes with the broker's acknowledgement (`acks=all`, idempotent).
pub struct Publisher {
    batched: Client,
    /// For records that were refused for the size of their batch; made when the first one is.
    alone: OnceLock<Client>,
}

/// A producer, made anew when it fails for good.
struct Client {
    config: ClientConfig,
    producer: RwLock<Arc<ThreadedProducer<Reports>>>,
    /// When brokers were looked for last because nothing was acknowledged.
    looked: Mutex<Option<Instant>>,
}

impl Publisher {
    /// # Errors
    /// What librdkafka has against the configuration.
    pub fn new(kafka: &KafkaArgs) -> KafkaResult<Self> {
        Ok(Self { batched: Client::new(kafka.config(&SETTINGS))?, alone: OnceLock::new() })
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
    ) -> Result<(), RDKafkaErrorCode> {
        let own = Some(partition).filter(|number| *number < to.partitions);
        match self.publish_to(to, own, key, value, headers).await {
            // The topic was made again with fewer partitions.
            Err(RDKafkaErrorCode::UnknownPartition) if own.is_some() => {
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
    ) -> Result<(), RDKafkaErrorCode> {
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
        let producer = RwLock::new(Arc::new(config.create_with_context(Reports)?));
        Ok(Self { config, producer, looked: Mutex::default() })
    }

    async fn publish(&self, record: Record<'_>) -> Result<(), RDKafkaErrorCode> {
        let producer = Arc::clone(&self.producer.read());
        let (report, reported) = oneshot::channel();
        raw::produce(&producer, record, Box::new(report))?;
        let mut reported = pin!(reported);
        let result = loop {
            match timeout(PUBLISH_BOUND, &mut reported).await {
                Ok(result) => break result.unwrap_or(Err(RDKafkaErrorCode::Fail)),
                Err(_) => self.look_again(&producer),
            }
        };
        if producer.client().fatal_error().is_some() || result == Err(RDKafkaErrorCode::MessageTimedOut) {
            self.replace(&producer);
        }
        result
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
        match self.config.create_with_context(Reports) {
            Ok(producer) => *current = Arc::new(producer),
            Err(error) => tracing::error!(%error, "cannot make a new producer"),
        }
    }
}

/// Passes each delivery report on to whoever waits for it.
struct Reports;

type Report = oneshot::Sender<Result<(), RDKafkaErrorCode>>;

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Box<Report>) {
        let result = match result {
            Ok(_) => Ok(()),
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
    }
}
