//! A producer that is replaced when it fails permanently.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base::throttle::Throttle;
use parking_lot::{Mutex, RwLock};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{PUBLISH_BOUND, Placed, UNBATCHED, UNPROVEN};
use crate::errors;
use crate::raw::{self, PolledProducer, Record};

/// The maximum age of an error that is reported as the cause of a failing publish.
const MAX_ERROR_AGE: Duration = Duration::from_secs(60);
/// The timeout of a metadata request.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// A producer that is replaced when it fails permanently.
pub(super) struct Client {
    pub(super) config: ClientConfig,
    pub(super) producer: RwLock<Arc<PolledProducer<DeliveryReports>>>,
    /// Limits how often the bootstrap brokers are added again.
    bootstrap: Mutex<Throttle>,
    last_error: LastError,
}

/// The time and text of a producer's last error.
type LastError = Arc<Mutex<Option<(Instant, String)>>>;

/// Why a record was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unacknowledged {
    /// The error.
    pub code: RDKafkaErrorCode,
    /// Whether the topic may have the record all the same.
    pub may_be_there: bool,
}

impl Client {
    pub(super) fn new(config: ClientConfig) -> KafkaResult<Self> {
        let last_error = LastError::default();
        let producer = config.create_with_context(DeliveryReports { last_error: Arc::clone(&last_error) })?;
        let bootstrap = Mutex::new(Throttle::new(PUBLISH_BOUND));
        Ok(Self { config, producer: RwLock::new(Arc::new(producer)), bootstrap, last_error })
    }

    /// The client of `made`, whose batches hold one record. It is created on first use.
    pub(super) fn unbatched<'a>(&self, made: &'a OnceLock<Self>) -> Result<&'a Self, RDKafkaErrorCode> {
        Self::made(made, || {
            let mut config = self.config.clone();
            // An alias of the user would compete with its property.
            config.remove("compression.type");
            for (key, value) in UNBATCHED {
                config.set(key, value);
            }
            config
        })
    }

    /// The client of `made`, which is created on first use.
    pub(super) fn made(
        made: &OnceLock<Self>,
        config: impl FnOnce() -> ClientConfig,
    ) -> Result<&Self, RDKafkaErrorCode> {
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let client = Self::new(config()).map_err(|error| {
            tracing::error!(%error, "cannot create a producer");
            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
        })?;
        Ok(made.get_or_init(|| client))
    }

    /// The last error of the connection, unless it is older than a minute.
    pub(super) fn last_error(&self) -> Option<String> {
        let last_error = self.last_error.lock();
        last_error.as_ref().filter(|(at, _)| at.elapsed() < MAX_ERROR_AGE).map(|(_, error)| error.clone())
    }

    /// Asks for a topic's metadata. Blocks for up to 5 s.
    pub(super) fn metadata(&self, topic: &str) -> KafkaResult<Metadata> {
        let producer = Arc::clone(&self.producer.read());
        producer.client().fetch_metadata(Some(topic), METADATA_TIMEOUT)
    }

    /// Makes the producer fetch a topic's metadata. Blocks for up to 5 s.
    pub(super) fn refresh_metadata(&self, topic: &str) {
        // If no broker responds, a later check repeats the request.
        let _ = self.metadata(topic);
    }

    pub(super) async fn publish(&self, record: Record<'_>) -> Result<Placed, RDKafkaErrorCode> {
        self.publish_watched(record, || {}, || {}).await.map_err(|error| error.code)
    }

    /// Publishes a record. Calls `enqueued` when its place in the order is certain, and `stalled` whenever it was not
    /// acknowledged for another 5 s.
    pub(super) async fn publish_watched(
        &self,
        record: Record<'_>,
        enqueued: impl FnOnce(),
        stalled: impl Fn(),
    ) -> Result<Placed, Unacknowledged> {
        let producer = Arc::clone(&self.producer.read());
        let result = self.publish_by(&producer, record, enqueued, stalled).await;
        let is_timed_out = result.is_err_and(|error| error.code == RDKafkaErrorCode::MessageTimedOut);
        // Also if it refused the record: it may have failed while nothing was published.
        if producer.client().fatal_error().is_some() || is_timed_out {
            self.replace(&producer);
        }
        result
    }

    async fn publish_by(
        &self,
        producer: &PolledProducer<DeliveryReports>,
        record: Record<'_>,
        enqueued: impl FnOnce(),
        stalled: impl Fn(),
    ) -> Result<Placed, Unacknowledged> {
        let (report, reported) = oneshot::channel();
        let refused = |code| Unacknowledged { code, may_be_there: false };
        raw::produce(producer, record, Box::new(report)).map_err(refused)?;
        enqueued();
        let mut reported = pin!(reported);
        let lost = Unacknowledged { code: RDKafkaErrorCode::Fail, may_be_there: true };
        loop {
            match timeout(PUBLISH_BOUND, &mut reported).await {
                Ok(result) => return result.unwrap_or(Err(lost)),
                Err(_) => {
                    self.restore_brokers(producer);
                    stalled();
                }
            }
        }
    }

    /// A record was not acknowledged in time; see [`raw::bootstrap_again`].
    fn restore_brokers(&self, producer: &PolledProducer<DeliveryReports>) {
        if self.bootstrap.lock().is_due() {
            let servers = self.config.get("bootstrap.servers").unwrap_or_default();
            raw::bootstrap_again(producer.client(), servers);
        }
    }

    /// Replaces a producer. A fatal error of an idempotent producer is permanent, and one that timed out may
    /// have lost the connection to a partition's leader. The old producer is dropped when its last record has
    /// been reported.
    fn replace(&self, broken: &Arc<PolledProducer<DeliveryReports>>) {
        let mut current = self.producer.write();
        if !Arc::ptr_eq(&current, broken) {
            return;
        }
        tracing::warn!(
            fatal = ?broken.client().fatal_error(),
            "replacing the producer; records that were in flight may be in their topics twice"
        );
        match self.config.create_with_context(DeliveryReports { last_error: Arc::clone(&self.last_error) }) {
            Ok(producer) => *current = Arc::new(producer),
            Err(error) => tracing::error!(%error, "cannot replace the producer"),
        }
    }
}

/// Passes each delivery report to the call that waits for it.
pub(super) struct DeliveryReports {
    last_error: LastError,
}

type Report = oneshot::Sender<Result<Placed, Unacknowledged>>;

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = Box<Report>;

    fn delivery(&self, result: &DeliveryResult<'_>, report: Box<Report>) {
        let result = match result {
            // Not confirmed by the broker: librdkafka concludes from a later record that was accepted that
            // this one was accepted before. That is wrong if the topic was created again in between, since an
            // empty log accepts any sequence number. Reported as unpublished, the record is published again.
            Ok(record) if record.offset() < 0 => Err(Unacknowledged { code: UNPROVEN, may_be_there: true }),
            Ok(record) => Ok(Placed { partition: record.partition(), offset: record.offset() }),
            Err((error, record)) => Err(Unacknowledged {
                code: error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
                may_be_there: raw::may_be_persisted(record),
            }),
        };
        // The receiver is gone if the call was cancelled.
        let _ = report.send(result);
    }
}

impl ClientContext for DeliveryReports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "producer");
        // "All brokers are down" follows the error with the cause.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last_error.lock() = Some((Instant::now(), errors::cause(reason)));
        }
    }
}
