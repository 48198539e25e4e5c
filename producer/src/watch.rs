//! Background checks: whether Kafka is reachable, the topics exist, and the client is usable.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;

use crate::native;
use crate::publisher::Publisher;
use crate::settings::{EMAIL_TOPIC, SMS_TOPIC};

const INTERVAL: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Two missed probes and their timeouts.
const READY_FOR: Duration = Duration::from_secs(8);

/// When Kafka last responded.
#[derive(Default)]
pub(crate) struct Health(Mutex<Option<Instant>>);

impl Health {
    /// Whether Kafka has responded within the last 8 seconds.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.lock().is_some_and(|at| at.elapsed() < READY_FOR)
    }

    fn responded(&self) {
        *self.0.lock() = Some(Instant::now());
    }
}

/// Runs until dropped: looks up the topics every 2 seconds, creates missing ones if `create_topics` is set,
/// and replaces the client after a fatal error.
pub(crate) async fn watch(publisher: Publisher, create_topics: bool) {
    let mut logged = None;
    loop {
        let probe = {
            let publisher = publisher.clone();
            tokio::task::spawn_blocking(move || {
                publisher.replace_if_fatal();
                let missing = missing_topics(&publisher);
                if missing.is_err() {
                    let servers = publisher.config().get("bootstrap.servers").unwrap_or_default();
                    native::bootstrap_again(publisher.client().client(), servers);
                }
                missing
            })
        };
        let state = match probe.await {
            Ok(Ok(missing)) => {
                publisher.health().responded();
                topics(&publisher, missing, create_topics).await
            }
            Ok(Err(error)) => State::Unreachable(error.to_string()),
            Err(panicked) => State::Unreachable(panicked.to_string()),
        };
        let interval = if matches!(state, State::Ready) { INTERVAL } else { RETRY_INTERVAL };
        if logged.as_ref() != Some(&state) {
            state.log();
            logged = Some(state);
        }
        // A persistent problem must not turn this into a busy loop.
        tokio::time::sleep(RETRY_INTERVAL).await;
        let _ = tokio::time::timeout(interval, publisher.trouble().notified()).await;
    }
}

#[derive(PartialEq)]
enum State {
    Ready,
    Missing(String),
    Unreachable(String),
}

impl State {
    fn log(&self) {
        match self {
            Self::Ready => tracing::info!("Kafka is reachable and the topics exist"),
            Self::Missing(problem) => tracing::warn!("{problem}"),
            Self::Unreachable(reason) => {
                tracing::warn!("Kafka is unreachable ({reason}); requests get 503 until it responds");
            }
        }
    }
}

fn missing_topics(publisher: &Publisher) -> Result<Vec<&'static str>, KafkaError> {
    let client = publisher.client();
    let mut missing = Vec::new();
    for name in [EMAIL_TOPIC, SMS_TOPIC] {
        let metadata = client.client().fetch_metadata(Some(name), PROBE_TIMEOUT)?;
        let unknown = Some(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
        if metadata.topics().iter().any(|topic| topic.error() == unknown) {
            missing.push(name);
        }
    }
    Ok(missing)
}

async fn topics(publisher: &Publisher, missing: Vec<&str>, create: bool) -> State {
    if missing.is_empty() {
        return State::Ready;
    }
    let names = missing.join(", ");
    if !create {
        return State::Missing(format!(
            "Kafka has no topic {names}; create it, or start with --create-topics"
        ));
    }
    match create_topics(publisher, &missing).await {
        Ok(()) => {
            tracing::info!("created topic {names} with the broker's defaults");
            State::Ready
        }
        Err(error) => State::Missing(format!("Kafka has no topic {names}, and creating it failed: {error}")),
    }
}

async fn create_topics(publisher: &Publisher, names: &[&str]) -> Result<(), KafkaError> {
    let admin: AdminClient<AdminContext> = publisher.config().create_with_context(AdminContext)?;
    // -1 stands for the broker's default.
    let new: Vec<_> = names.iter().map(|name| NewTopic::new(name, -1, TopicReplication::Fixed(-1))).collect();
    let options =
        AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT)).request_timeout(Some(ADMIN_TIMEOUT));
    let results = admin.create_topics(&new, &options).await;
    // Dropping the client joins its thread.
    let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
    for result in results? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}

/// Logs like the publisher's client.
struct AdminContext;

impl ClientContext for AdminContext {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        crate::publisher::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("{error}: {reason}");
    }
}
