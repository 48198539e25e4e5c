//! What happens beside the requests: is Kafka there, are the topics there, is the client still good.

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
/// Two missed probes and their time-outs.
const READY_FOR: Duration = Duration::from_secs(8);

/// When Kafka was last heard of.
#[derive(Default)]
pub(crate) struct Health(Mutex<Option<Instant>>);

impl Health {
    /// Whether Kafka answered within the last 8 seconds.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.lock().is_some_and(|heard| heard.elapsed() < READY_FOR)
    }

    fn heard(&self) {
        *self.0.lock() = Some(Instant::now());
    }
}

/// Watches until it is dropped: asks for the topics every 2 seconds, creates what is missing if
/// `create_topics`, and replaces the client after a fatal error.
pub(crate) async fn watch(publisher: Publisher, create_topics: bool) {
    let mut said = None;
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
                publisher.health().heard();
                topics(&publisher, missing, create_topics).await
            }
            Ok(Err(error)) => State::Away(error.to_string()),
            Err(panicked) => State::Away(panicked.to_string()),
        };
        let interval = if matches!(state, State::Good) { INTERVAL } else { RETRY_INTERVAL };
        if said.as_ref() != Some(&state) {
            state.log();
            said = Some(state);
        }
        // Not at once: trouble that lasts must not turn this into a busy loop.
        tokio::time::sleep(RETRY_INTERVAL).await;
        let _ = tokio::time::timeout(interval, publisher.trouble().notified()).await;
    }
}

#[derive(PartialEq)]
enum State {
    Good,
    Missing(String),
    Away(String),
}

impl State {
    fn log(&self) {
        match self {
            Self::Good => tracing::info!("Kafka answers, and the topics are there"),
            Self::Missing(what) => tracing::warn!("{what}"),
            Self::Away(why) => {
                tracing::warn!("Kafka does not answer ({why}); requests get 503 until it does");
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
        return State::Good;
    }
    let names = missing.join(", ");
    if !create {
        return State::Missing(format!(
            "Kafka has no topic {names}: create it, or start with --create-topics"
        ));
    }
    match create_topics(publisher, &missing).await {
        Ok(()) => {
            tracing::info!("created {names} with the broker's defaults");
            State::Good
        }
        Err(error) => State::Missing(format!("Kafka has no topic {names}, and creating it failed: {error}")),
    }
}

async fn create_topics(publisher: &Publisher, names: &[&str]) -> Result<(), KafkaError> {
    let admin: AdminClient<AdminContext> = publisher.config().create_with_context(AdminContext)?;
    // Minus one: the broker's default.
    let new: Vec<_> = names.iter().map(|name| NewTopic::new(name, -1, TopicReplication::Fixed(-1))).collect();
    let options =
        AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT)).request_timeout(Some(ADMIN_TIMEOUT));
    let results = admin.create_topics(&new, &options).await;
    // Dropping it joins its thread.
    let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
    for result in results? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}

/// Logs as the publisher's client does.
struct AdminContext;

impl ClientContext for AdminContext {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        crate::publisher::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("{error}: {reason}");
    }
}
