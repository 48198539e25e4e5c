//! Publishing a message and reporting its outcome.

use std::sync::Arc;
use std::time::Duration;

use base::clock;
use base::error::UserError;
use base::throttle::Throttle;
use kafka_raw::PolledProducer;
use parking_lot::{Mutex, RwLock};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext};
use tokio::sync::{Notify, oneshot};

use crate::native;
use crate::settings::{Settings, refused_config};
use crate::watch::Health;

/// The interval at which refused messages are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// The position of a message in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// Whether an unconfirmed message is in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is not in the topic and never will be.
    NotSent,
    /// It may or may not be in the topic.
    Unknown,
}

impl Delivery {
    /// The value of the `delivery` member in a problem document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not-sent",
            Self::Unknown => "unknown",
        }
    }
}

/// The reason why a message was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// The message exceeds the topic's size limit and was not sent.
    TooLarge,
    /// Kafka refused the message or did not confirm it in time.
    Unavailable {
        /// Whether the message is in the topic.
        delivery: Delivery,
        /// The reason, for the client.
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
                Self::unavailable(delivery, "too many messages are waiting for Kafka")
            }
            (Some(RDKafkaErrorCode::InvalidTimestamp), _) => Self::unavailable(
                delivery,
                "Kafka refused the time of the message: the clock of the producer's machine may be wrong",
            ),
            // librdkafka's code for several refused messages of a batch, whatever the reason.
            (Some(RDKafkaErrorCode::InvalidRecord), _) => Self::unavailable(
                delivery,
                "Kafka refused the message: the clock of the producer's machine may be wrong, or the topic is compacted",
            ),
            (Some(code), _) => {
                Self::unavailable(delivery, format!("Kafka did not accept the message: {code}"))
            }
            (None, _) => Self::unavailable(delivery, format!("Kafka did not accept the message: {error}")),
        }
    }

    fn unavailable(delivery: Delivery, reason: impl Into<String>) -> Self {
        Self::Unavailable { delivery, reason: reason.into() }
    }
}

/// Publishes messages with an idempotent producer and `acks=all`. Clones share the Kafka client.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    /// Replaced after a fatal error. Readers hold the lock only to enqueue a message.
    client: RwLock<Client>,
    config: ClientConfig,
    report_timeout: Duration,
    health: Health,
    trouble: Arc<Notify>,
}

pub(crate) type Client = Arc<PolledProducer<Reports>>;

impl Publisher {
    /// Creates the Kafka client without waiting for a broker.
    ///
    /// # Errors
    /// librdkafka refuses a property.
    pub fn new(settings: &Settings) -> Result<Self, UserError> {
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

    /// Publishes a message with its id in the `host-id` header and waits for Kafka's confirmation.
    ///
    /// The first poll enqueues the message. Dropping the future after that does not cancel it.
    ///
    /// # Errors
    /// [`PublishError`], at the latest when the request's timeout expires.
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
            // The client was dropped, or the confirmation is overdue.
            Ok(Err(_)) | Err(_) => Err(PublishError::unavailable(
                Delivery::Unknown,
                "Kafka did not report in time whether it has the message",
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

    /// The current client.
    pub(crate) fn client(&self) -> Client {
        Arc::clone(&self.0.client.read())
    }

    /// The client's configuration.
    pub(crate) fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// When Kafka last responded.
    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    /// Notified when the client may have to be replaced or a topic created.
    pub(crate) fn trouble(&self) -> &Notify {
        &self.0.trouble
    }

    /// Replaces the client after a fatal error. Its last delivery reports settle the unconfirmed messages,
    /// as `unknown` if the broker may have them. Blocks for up to a second.
    pub(crate) fn replace_if_fatal(&self) {
        let Some((code, reason)) = self.0.client.read().client().fatal_error() else { return };
        tracing::error!("the Kafka client failed with a fatal error ({code}: {reason}); replacing it");
        match connect(&self.0.config, &self.0.trouble) {
            Ok(client) => {
                let old = std::mem::replace(&mut *self.0.client.write(), client);
                drop(old);
            }
            Err(error) => tracing::error!("the Kafka client cannot be replaced: {error}"),
        }
    }

    /// Blocks until every message is confirmed or has failed, at most for `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.client().flush(timeout)
    }
}

fn connect(config: &ClientConfig, trouble: &Arc<Notify>) -> Result<Client, KafkaError> {
    let refusals = Mutex::new(Throttle::new(LOG_INTERVAL));
    Ok(Arc::new(config.create_with_context(Reports { trouble: Arc::clone(trouble), refusals })?))
}

/// Passes librdkafka's delivery reports to the waiting requests.
pub(crate) struct Reports {
    trouble: Arc<Notify>,
    /// Limits how often refused messages are logged.
    refusals: Mutex<Throttle>,
}

impl Reports {
    /// Logs that Kafka refused a message for its time, or for a reason that may be its time.
    fn report_refusal(&self, code: Option<RDKafkaErrorCode>, topic: &str) {
        let Some(code @ (RDKafkaErrorCode::InvalidTimestamp | RDKafkaErrorCode::InvalidRecord)) = code else {
            return;
        };
        if self.refusals.lock().is_due() {
            let other =
                if code == RDKafkaErrorCode::InvalidRecord { ", or the topic is compacted" } else { "" };
            tracing::error!(
                topic,
                help = clock::KAFKA_HELP,
                "{}{other}; messages get 503",
                clock::KAFKA_REFUSES
            );
        }
    }
}

type Outcome = Result<Receipt, PublishError>;

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Outcome>>;

    fn delivery(&self, result: &DeliveryResult<'_>, request: Self::DeliveryOpaque) {
        let outcome = match result {
            // librdkafka concludes it from a repeated attempt or from a later message. That is wrong if the topic was
            // created again in between.
            Ok(message) if message.offset() < 0 => Err(PublishError::unavailable(
                Delivery::Unknown,
                "Kafka did not confirm where it stored the message",
            )),
            Ok(message) => Ok(Receipt { partition: message.partition(), offset: message.offset() }),
            Err((error, message)) => {
                let code = error.rdkafka_error_code();
                self.report_refusal(code, message.topic());
                Err(PublishError::new(code, native::delivery_of(message), error))
            }
        };
        // The receiver is dropped if the HTTP client has disconnected.
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
        // The broker connections have logged it.
        tracing::debug!("{error}: {reason}");
    }

    fn stats_raw(&self, _statistics: &[u8]) {}
}

/// Forwards a log line of librdkafka.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
    match level {
        Emerg | Alert | Critical | Error | Warning => tracing::warn!(target: "kafka", "{facility} {message}"),
        Notice | Info => tracing::info!(target: "kafka", "{facility} {message}"),
        Debug => tracing::debug!(target: "kafka", "{facility} {message}"),
    }
}
