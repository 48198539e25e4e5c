//! A periodic check that a client still reaches a broker; see [`raw::bootstrap_again`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataBroker;

use crate::health::Health;
use crate::{errors, raw};

/// The interval of the check, the pause after one that failed, and the timeout of its request.
const INTERVAL: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(2);

/// The periodic check of one consumer.
#[derive(Debug)]
pub struct BrokerProbe {
    servers: String,
    topic: String,
    next: Instant,
}

impl BrokerProbe {
    /// A check for a consumer with this configuration that reads this topic.
    pub fn new(config: &ClientConfig, topic: &str) -> Self {
        let servers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        Self { servers, topic: topic.to_owned(), next: Instant::now() + INTERVAL }
    }

    /// Makes the check due now.
    pub fn hurry(&mut self) {
        self.next = Instant::now();
    }

    /// Runs the check if it is due: a broker of the cluster, or None if none answers. Blocks for up to 2 s.
    pub fn run_if_due<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>) -> Option<Option<i32>> {
        if Instant::now() < self.next {
            return None;
        }
        let answer = consumer.client().fetch_metadata(Some(&self.topic), TIMEOUT);
        if answer.is_err() {
            raw::bootstrap_again(consumer.client(), &self.servers);
        }
        self.next = Instant::now() + if answer.is_ok() { INTERVAL } else { AGAIN };
        Some(answer.ok().and_then(|found| found.brokers().first().map(MetadataBroker::id)))
    }
}

/// What a client says of its connections.
#[derive(Debug, Default)]
pub(crate) struct ConnectionErrors {
    /// It has lost all of them.
    lost_all: AtomicBool,
    /// The cause of the last error.
    cause: Mutex<Option<String>>,
}

impl ConnectionErrors {
    /// Notes an error of the client.
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lost_all.store(true, Ordering::Relaxed),
            Some(code) if errors::is_connection(code) => *self.cause.lock() = Some(errors::cause(reason)),
            _ => {}
        }
    }

    /// Whether all connections were lost since the last call.
    pub(crate) fn lost_all(&self) -> bool {
        self.lost_all.swap(false, Ordering::Relaxed)
    }

    /// Tells the member's health whether a broker answered the check.
    pub(crate) fn tell(&self, health: &Health, is_answered: bool) {
        if is_answered {
            *self.cause.lock() = None;
            health.answered();
        } else {
            let cause = self.cause.lock().clone();
            health.unanswered(cause.unwrap_or_else(|| "no broker answers".to_owned()));
        }
    }
}
