//! Publishing to retry and dead-letter topics, and for plugins. A record is durable when the call returns.

mod client;
mod records;

use std::borrow::Cow;
use std::ffi::CString;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base::clock;
use parking_lot::Mutex;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use settings::KafkaArgs;
use tokio::sync::Notify;

use self::client::Client;
pub use self::client::Unacknowledged;
pub use self::records::{NewRecord, RecordPublisher};
use crate::raw::{HeaderList, Record};

/// The time after which a publish counts as failing.
pub const PUBLISH_BOUND: Duration = Duration::from_secs(5);

const SETTINGS: [(&str, &str); 9] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // The partitioner of Java clients and Spring.
    ("partitioner", "murmur2_random"),
    ("linger.ms", "1"),
    // Less than the additional record size of retry topics, so that no batch of small records exceeds the
    // limit. A single record may have the size of the source's largest.
    ("batch.size", "32768"),
    ("message.max.bytes", "100000000"),
    ("queue.buffering.max.kbytes", "131072"),
    // Longer than a broker's restart.
    ("message.timeout.ms", "30000"),
    ("reconnect.backoff.max.ms", "2000"),
];

/// The interval at which a time that was refused is tried again, and logged.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(30);

/// A record was reported as delivered, but without an offset.
const UNPROVEN: RDKafkaErrorCode = RDKafkaErrorCode::Inconsistent;

/// A topic to publish to. Clones share the number of partitions.
#[derive(Debug, Clone)]
pub struct Destination {
    name: CString,
    partitions: Arc<AtomicI32>,
}

impl Destination {
    /// A topic with this number of partitions. None if the name contains a NUL.
    pub fn new(name: &str, partitions: usize) -> Option<Self> {
        let to = Self { name: CString::new(name).ok()?, partitions: Arc::default() };
        to.set_partitions(partitions);
        Some(to)
    }

    /// Sets the number of partitions.
    pub fn set_partitions(&self, partitions: usize) {
        self.partitions.store(i32::try_from(partitions).unwrap_or(i32::MAX), Ordering::Relaxed);
    }

    fn has(&self, partition: i32) -> bool {
        partition < self.partitions.load(Ordering::Relaxed)
    }

    /// The topic's name.
    pub fn name(&self) -> Cow<'_, str> {
        self.name.to_string_lossy()
    }
}

/// The position of a published record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record to publish that comes from one that was read.
#[derive(Debug, Clone, Copy)]
pub struct Derived<'r> {
    /// The partition of the record in its source topic. If the destination has no such partition, the key decides.
    pub partition: i32,
    /// The time that the record gets if Kafka refuses that of this machine's clock, in milliseconds since the Unix
    /// epoch: the timestamp of the record that was read. None if there is none, or if retention might remove the
    /// record at once.
    pub timestamp_ms: Option<i64>,
    /// None is a null key.
    pub key: Option<&'r [u8]>,
    /// None is a null value.
    pub value: Option<&'r [u8]>,
}

/// Limits every batch to one record, and compresses it well: its source may have been compressed too.
const UNBATCHED: [(&str, &str); 4] = [
    ("batch.num.messages", "1"),
    ("linger.ms", "0"),
    ("compression.codec", "zstd"),
    // The default level may need more bytes than the gzip of the sender.
    ("compression.level", "12"),
];

/// Publishes records and waits for the acknowledgement (`acks=all`, idempotent).
pub struct Publisher {
    batched: Client,
    /// For records that were refused because of their batch, their own size or their time; created on first use.
    unbatched: OnceLock<Client>,
    /// When Kafka last refused the time of this machine's clock.
    refused_time: Mutex<Option<Instant>>,
    /// Notified when a topic may have changed.
    topic_check: Notify,
}

impl Publisher {
    /// # Errors
    /// librdkafka refuses the configuration.
    pub fn new(kafka: &KafkaArgs) -> KafkaResult<Self> {
        let batched = Client::new(crate::client::config(kafka, &SETTINGS))?;
        let unbatched = OnceLock::new();
        Ok(Self { batched, unbatched, refused_time: Mutex::default(), topic_check: Notify::new() })
    }

    /// Requests a check of the topics, after a record could not be published.
    pub fn request_topic_check(&self) {
        self.topic_check.notify_one();
    }

    /// Completes when a check of the topics is requested.
    pub async fn topic_check_requested(&self) {
        self.topic_check.notified().await;
    }

    /// The last error of the connection, unless it is older than a minute.
    pub fn last_error(&self) -> Option<String> {
        self.batched.last_error()
    }

    /// Makes the producers fetch a topic's metadata, which they do by themselves only every few minutes.
    /// Blocks for up to 10 s.
    pub fn refresh_metadata(&self, topic: &str) {
        for client in [Some(&self.batched), self.unbatched.get()].into_iter().flatten() {
            client.refresh_metadata(topic);
        }
    }

    /// The number of partitions of a topic; None if it does not exist. Blocks for up to 5 s.
    ///
    /// # Errors
    /// Kafka is unreachable.
    pub fn partitions(&self, topic: &str) -> KafkaResult<Option<usize>> {
        let metadata = self.batched.metadata(topic)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        Ok(found.map(|topic| topic.partitions().len()).filter(|count| *count > 0))
    }

    /// Publishes a record and waits for the acknowledgement. `headers` is called again for each attempt, since
    /// librdkafka takes ownership of the list.
    ///
    /// # Errors
    /// The record was not published, or may not have been.
    pub async fn publish(
        &self,
        to: &Destination,
        record: Derived<'_>,
        headers: &impl Fn() -> HeaderList,
    ) -> Result<Placed, RDKafkaErrorCode> {
        let own = Some(record.partition).filter(|number| to.has(*number));
        if own.is_none() {
            self.request_topic_check();
        }
        match self.publish_to(to, own, record, headers).await {
            // The topic was created again with fewer partitions.
            Err(RDKafkaErrorCode::UnknownPartition) if own.is_some() => {
                self.request_topic_check();
                self.publish_to(to, None, record, headers).await
            }
            result => result,
        }
    }

    async fn publish_to(
        &self,
        to: &Destination,
        partition: Option<i32>,
        Derived { timestamp_ms, key, value, .. }: Derived<'_>,
        headers: &impl Fn() -> HeaderList,
    ) -> Result<Placed, RDKafkaErrorCode> {
        use RDKafkaErrorCode as Code;
        let record = |timestamp_ms| Record {
            topic: &to.name,
            partition,
            key,
            value,
            timestamp_ms,
            headers: headers(),
        };
        let time = timestamp_ms.filter(|_| self.is_time_refused());
        let mut published = self.batched.publish(record(time)).await;
        // A batch is refused as a whole: the topic may accept this record without the others, or compressed.
        if let Err(Code::MessageSizeTooLarge | Code::InvalidDifferentRecord) = published {
            published = self.batched.unbatched(&self.unbatched)?.publish(record(time)).await;
        }
        // Among several refused records of a batch, any reason is reported as `InvalidRecord`. The broker's text with
        // the reason cannot be read: librdkafka frees it before the delivery report.
        if let Err(Code::InvalidTimestamp | Code::InvalidRecord) = published {
            published = self.batched.unbatched(&self.unbatched)?.publish(record(timestamp_ms)).await;
            if published.is_ok() && time != timestamp_ms {
                self.report_refused_time(to);
            }
        }
        published
    }

    /// Whether Kafka has refused the time of this machine's clock of late. Then it is not tried again at once: after a
    /// refused record, librdkafka waits for all that are in flight.
    fn is_time_refused(&self) -> bool {
        self.refused_time.lock().is_some_and(|at| at.elapsed() < REFUSAL_INTERVAL)
    }

    fn report_refused_time(&self, to: &Destination) {
        if !self.is_time_refused() {
            *self.refused_time.lock() = Some(Instant::now());
            tracing::warn!(
                to = %to.name(), help = clock::KAFKA_HELP,
                "{}; failed messages are published with the timestamps of their source records, from which their \
                 retention counts",
                clock::KAFKA_REFUSES
            );
        }
    }
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
