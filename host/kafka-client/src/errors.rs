//! Errors of librdkafka as messages for users.

use std::time::Duration;

use base::clock;
use base::error::UserError;
use base::kafka_properties::without_value;
use base::text;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The error for a configuration that librdkafka refuses. The message leaves out the value, which may be a
/// secret.
pub fn invalid_config(error: &KafkaError) -> UserError {
    match error {
        KafkaError::ClientConfig(_, description, key, value) => {
            UserError::usage(format!("invalid Kafka property {key}: {}", without_value(description, value)))
                .help("properties are librdkafka's, given as -X PROPERTY=VALUE")
        }
        KafkaError::ClientCreation(cause) => {
            UserError::usage(format!("invalid Kafka settings: {}", cause.trim()))
        }
        other => UserError::usage(format!("invalid Kafka settings: {}", reason(other))),
    }
}

/// The error for a consumer that cannot reach Kafka and is not polled otherwise.
pub fn unreachable(address: &str, consumer: &BaseConsumer<Context>, error: &KafkaError) -> UserError {
    // Errors are queued as events.
    while let Some(Err(_)) = consumer.poll(Duration::from_millis(50)) {}
    no_answer(address, consumer.context(), error)
}

/// The error for a client that cannot reach Kafka. The client's last error is more specific than "timed out".
pub fn no_answer(address: &str, context: &Context, error: &KafkaError) -> UserError {
    let (code, cause) = context
        .last_error
        .lock()
        .take()
        .unwrap_or_else(|| (error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), reason(error)));
    if is_refusal(code) {
        return UserError::unavailable(format!("Kafka at {address} refuses this client ({cause})"))
            .help("set sasl.mechanism and sasl.username to match the broker: -X, or [kafka.properties] in host.toml")
            .help("set the password in the environment: KAFKA_PROPERTIES=\"sasl.password=…\"");
    }
    if code == RDKafkaErrorCode::SSL {
        return UserError::unavailable(format!("cannot reach Kafka at {address} over TLS ({cause})"))
            .help("specify the CA certificate of the broker: -X ssl.ca.location=FILE.pem")
            .help("for a broker without TLS, set security.protocol to plaintext or sasl_plaintext");
    }
    UserError::unavailable(format!("cannot reach Kafka at {address} ({cause})"))
        .help("start it, or specify another: --bootstrap-servers HOST:PORT, or KAFKA_BOOTSTRAP_SERVERS")
        .help("or try the host without Kafka: host demo")
}

/// Keeps the last error of librdkafka for the error message instead of logging it.
#[derive(Debug, Default)]
pub struct Context {
    last_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Context {
    /// Whether the broker refused the client's credentials, so that waiting does not help.
    pub fn is_refused(&self) -> bool {
        self.last_error.lock().as_ref().is_some_and(|(code, _)| is_refusal(*code))
    }

    /// Forgets the last error: Kafka has answered.
    pub fn forget_error(&self) {
        *self.last_error.lock() = None;
    }

    /// The cause of the last error.
    pub fn cause(&self) -> Option<String> {
        self.last_error.lock().as_ref().map(|(_, cause)| cause.clone())
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // "1/1 brokers are down" follows the error with the cause.
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.last_error.lock() = Some((code, cause(reason)));
        }
    }
}

impl ConsumerContext for Context {}

/// Whether the error concerns the connection to Kafka. Such errors may be temporary.
pub fn is_connection(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::Authentication
            | Code::SSL
    )
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
}

/// Whether the code only means that no response arrived in time.
pub fn is_no_response(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::MessageTimedOut || is_connection(code)
}

/// A suggested fix for a record that cannot be published to `topic`.
pub fn publish_help(code: Option<RDKafkaErrorCode>, topic: &str) -> String {
    use RDKafkaErrorCode as Code;
    match code {
        Some(Code::TopicAuthorizationFailed) => {
            format!("grant WRITE and DESCRIBE on topic {topic} to this client")
        }
        Some(Code::ClusterAuthorizationFailed) => {
            "grant IDEMPOTENT_WRITE on the cluster to this client".to_owned()
        }
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
            format!("create it: host topics create {topic}, or run the host with --create-topics=true")
        }
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => {
            format!("raise max.message.bytes of topic {topic}")
        }
        Some(Code::KafkaStorageError) => "free space on the broker's disk".to_owned(),
        Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend) => {
            format!("restore the missing brokers, or lower min.insync.replicas of topic {topic}")
        }
        Some(Code::InvalidRecord) => {
            format!(
                "set cleanup.policy=delete on topic {topic}: a compacted topic refuses records without a key"
            )
        }
        Some(Code::InvalidTimestamp) => clock::KAFKA_HELP.to_owned(),
        Some(Code::PolicyViolation) => "check the broker's policies".to_owned(),
        _ => format!(
            "check that the brokers are running and accept this client, and that topic {topic} has a leader: host topics describe {topic}"
        ),
    }
}

/// An error's reason in Kafka's terms.
pub fn reason(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), short)
}

/// An error code in Kafka's terms, without its origin ("Broker: " or "Local: ").
pub fn short(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    let text = text.split_once('(').and_then(|(_, text)| text.strip_suffix(')')).unwrap_or(&text);
    let text = ["Broker: ", "Local: "].iter().find_map(|who| text.strip_prefix(who)).unwrap_or(text);
    text::line(text.as_bytes())
}

/// The cause in one of librdkafka's error lines, such as `localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1
/// failed: Connection refused (after 0ms in state CONNECT)`.
pub fn cause(line: &str) -> String {
    let line = line.split(" (after ").next().unwrap_or(line);
    let line = line.rsplit_once(" failed: ").map_or(line, |(_, cause)| cause);
    let line = line.split_once("/bootstrap: ").map_or(line, |(_, cause)| cause);
    let line = text::line(line.trim().as_bytes());
    // The text is used inside a sentence: "Connection refused" becomes lower case, "SSL" does not.
    let mut chars = line.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain([second]).chain(chars).collect()
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_extracted() {
        let refused = "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(cause(refused), "connection refused");
        let unknown = "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known (after 3ms in state CONNECT)";
        assert_eq!(cause(unknown), "failed to resolve 'nohost:9092': Name or service not known");
        assert_eq!(cause("something else"), "something else");
    }

    #[test]
    fn codes_are_readable() {
        assert_eq!(short(RDKafkaErrorCode::UnknownTopicOrPartition), "Unknown topic or partition");
        assert_eq!(short(RDKafkaErrorCode::OperationTimedOut), "Timed out");
    }
}
