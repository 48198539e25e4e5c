//! Publishing one message and telling what became of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};

use crate::failure::Failure;
use crate::native;
use crate::settings::{Settings, refused_config};
use crate::watch::Health;

/// Where Kafka put a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The partition's number.
    pub partition: i32,
    /// The offset in it; `None` where Kafka confirmed a repeated attempt without saying where it is.
    pub offset: Option<i64>,
}

/// Where a message is that was not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Not in the topic, and never will be.
    NotSent,
    /// Perhaps in the topic.
    Unknown,
}

/// Why a message was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// Larger than the topic takes; not sent.
    TooLarge,
    /// Kafka did not confirm it in time, or refused it.
    Unavailable {
        /// Where the message is.
        delivery: Delivery,
        /// What went wrong, for the client.
        reason: String,
    },
}

impl PublishError {
    fn new(code: Option<RDKafkaErrorCode>, delivery: Delivery, error: &KafkaError) -> Self {
        match (code, delivery) {
            (Some(RDKafkaErrorCode::MessageSizeTooLarge), Delivery::NotSent) => Self::TooLarge,
            (Some(RDKafkaErrorCode::MessageTimedOut), _) => {
                Self::unavailable(delivery, "Kafka did not confirm the message in time")
            }
            (Some(RDKafkaErrorCode::QueueFull), _) => {
                Self::unavailable(delivery, "too many messages wait for Kafka already")
            }
            (Some(code), _) => Self::unavailable(delivery, format!("Kafka did not take the message: {code}")),
            (None, _) => Self::unavailable(delivery, format!("Kafka did not take the message: {error}")),
        }
    }

    fn unavailable(delivery: Delivery, reason: impl Into<String>) -> Self {
        Self::Unavailable { delivery, reason: reason.into() }
    }
}

/// Publishes messages with an idempotent producer and `acks=all`. Clones share it.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    /// Replaced after a fatal error; readers hold it only while they enqueue.
    client: RwLock<Client>,
    config: ClientConfig,
    report_timeout: Duration,
    health: Health,
    trouble: Arc<Notify>,
}

pub(crate) type Client = ThreadedProducer<Reports>;

impl Publisher {
    /// Makes the Kafka client; does not wait for a broker.
    ///
    /// # Errors
    /// A [`Failure`] where librdkafka refuses a property.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let config = settings.client_config()?;
        let trouble = Arc::new(Notify::new());
        let client = connect(&config, &trouble).map_err(|error| refused_config(&error))?;
        Ok(Self(Arc::new(Inner {
            client: RwLock::new(client),
            config,
            report_timeout: settings.report_timeout(),
            health: Health::default(),
            trouble,
        })))
    }

    /// Publishes a message with its id in the header `host-id`, and waits for Kafka's word.
    ///
    /// The message is on its way once this was polled for the first time: dropping the future
    /// does not take it back.
    ///
    /// # Errors
    /// [`PublishError`], within the request's bound.
    pub async fn publish(&self, topic: &str, id: &str, value: &[u8]) -> Result<Receipt, PublishError> {
        let (report, outcome) = oneshot::channel();
        let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: "host-id", value: Some(id) });
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(topic, Box::new(report))
            .payload(value)
            .headers(headers);
        let enqueued = self.0.client.read().send(record).map_err(|(error, _)| error);
        enqueued.map_err(|error| self.not_enqueued(&error))?;
        match tokio::time::timeout(self.0.report_timeout, outcome).await {
            Ok(Ok(outcome)) => outcome,
            // Dropped with its client, or no word in time.
            Ok(Err(_)) | Err(_) => Err(PublishError::unavailable(
                Delivery::Unknown,
                "Kafka did not say in time whether it has the message",
            )),
        }
    }

    fn not_enqueued(&self, error: &KafkaError) -> PublishError {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::UnknownTopic)) {
            self.0.trouble.notify_one();
        }
        PublishError::new(code, Delivery::NotSent, error)
    }

    /// The client of now.
    pub(crate) fn client(&self) -> Client {
        self.0.client.read().clone()
    }

    /// The client's settings.
    pub(crate) fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// When Kafka was last heard of.
    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    /// Notified when the client may need to be replaced or a topic to be created.
    pub(crate) fn trouble(&self) -> &Notify {
        &self.0.trouble
    }

    /// Replaces the client if it hit a fatal error. What it had not confirmed is answered by its
    /// own last reports, `unknown` where the broker may have it. Blocks for up to a second.
    pub(crate) fn replace_if_fatal(&self) {
        let Some((code, reason)) = self.0.client.read().client().fatal_error() else { return };
        tracing::error!("Kafka ended this producer's session ({code}: {reason}); starting another");
        match connect(&self.0.config, &self.0.trouble) {
            Ok(client) => {
                let old = std::mem::replace(&mut *self.0.client.write(), client);
                drop(old);
            }
            Err(error) => tracing::error!("no new session: {error}"),
        }
    }

    /// Waits until every message is confirmed or given up; blocks for at most `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.client().flush(timeout)
    }
}

fn connect(config: &ClientConfig, trouble: &Arc<Notify>) -> Result<Client, KafkaError> {
    config.create_with_context(Reports { trouble: Arc::clone(trouble) })
}

/// Takes librdkafka's delivery reports to the requests that wait for them.
pub(crate) struct Reports {
    trouble: Arc<Notify>,
}

type Outcome = Result<Receipt, PublishError>;

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Outcome>>;

    fn delivery(&self, result: &DeliveryResult<'_>, request: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => Ok(Receipt {
                partition: message.partition(),
                offset: Some(message.offset()).filter(|offset| *offset >= 0),
            }),
            Err((error, message)) => {
                Err(PublishError::new(error.rdkafka_error_code(), native::delivery_of(message), error))
            }
        };
        // A client that left does not wait for it.
        let _ = request.send(outcome);
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.trouble.notify_one();
        }
        // What the broker connections log already.
        tracing::debug!("{error}: {reason}");
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

/// librdkafka's own lines, as ours.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
    match level {
        Emerg | Alert | Critical | Error | Warning => tracing::warn!(target: "kafka", "{facility} {message}"),
        Notice | Info => tracing::info!(target: "kafka", "{facility} {message}"),
        Debug => tracing::debug!(target: "kafka", "{facility} {message}"),
    }
}
