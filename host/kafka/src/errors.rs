//! What librdkafka says of its errors, in words for a person.

use std::time::Duration;

use base::error::UserError;
use base::text;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A setting that librdkafka does not take. Its value stays out of the message: it may be a secret.
pub fn refused(error: &KafkaError) -> UserError {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => {
            UserError::usage(format!("bad Kafka property {key}: {}", description.trim()))
                .help("properties are librdkafka's, given as -X PROPERTY=VALUE")
        }
        KafkaError::ClientCreation(cause) => {
            UserError::usage(format!("bad Kafka settings: {}", cause.trim()))
        }
        other => UserError::usage(format!("bad Kafka settings: {}", reason(other))),
    }
}

/// Kafka does not answer a consumer that nobody polls.
pub fn away(address: &str, consumer: &BaseConsumer<Context>, error: &KafkaError) -> UserError {
    // Errors wait as events.
    while let Some(Err(_)) = consumer.poll(Duration::from_millis(50)) {}
    no_answer(address, consumer.context(), error)
}

/// Kafka does not answer. The client's last error says more than "timed out".
pub fn no_answer(address: &str, context: &Context, error: &KafkaError) -> UserError {
    let (code, cause) = context
        .last_error
        .lock()
        .take()
        .unwrap_or_else(|| (error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), reason(error)));
    if is_refusal(code) {
        return UserError::unavailable(format!("Kafka at {address} does not let this client in ({cause})"))
            .help("set sasl.mechanism and sasl.username as the broker has them: -X, or [kafka.properties] in host.toml")
            .help("and the password in the environment: KAFKA_PROPERTIES=\"sasl.password=…\"");
    }
    if code == RDKafkaErrorCode::SSL {
        return UserError::unavailable(format!("cannot reach Kafka at {address} over TLS ({cause})"))
            .help("name the certificate that signed the broker's: -X ssl.ca.location=FILE.pem")
            .help("a broker without TLS needs security.protocol=plaintext or sasl_plaintext");
    }
    UserError::unavailable(format!("cannot reach Kafka at {address} ({cause})"))
        .help("start it, or name another: --bootstrap-servers HOST:PORT, or KAFKA_BOOTSTRAP_SERVERS")
        .help("or try without Kafka: host demo")
}

/// Keeps what librdkafka says for the error message instead of logging it.
#[derive(Debug, Default)]
pub struct Context {
    last_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Context {
    /// Whether the broker answered, and refused who this client says it is: waiting does not help.
    pub fn is_refused(&self) -> bool {
        self.last_error.lock().as_ref().is_some_and(|(code, _)| is_refusal(*code))
    }
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // "1/1 brokers are down" comes after the error that says why.
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.last_error.lock() = Some((code, cause(reason)));
        }
    }
}

impl ConsumerContext for Context {}

/// Whether the error is about reaching Kafka at all; such errors may pass.
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

/// Whether the code only says that nothing came back in time.
pub fn is_silence(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::MessageTimedOut || is_connection(code)
}

/// What helps where a record cannot be published to `topic`.
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
            format!("create it: host topics create {topic}; with --create-topics=true the host does")
        }
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => {
            format!("raise max.message.bytes of topic {topic}")
        }
        Some(Code::KafkaStorageError) => "make room on the broker's disk".to_owned(),
        Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend) => {
            format!("bring brokers back, or lower min.insync.replicas of topic {topic}")
        }
        Some(Code::PolicyViolation) => "ask who set the broker's policy".to_owned(),
        _ => format!(
            "see that the brokers run and let this client in, and that topic {topic} has a leader: host topics describe {topic}"
        ),
    }
}

/// Why, in Kafka's words.
pub fn reason(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), short)
}

/// An error code in Kafka's words, without who said it.
pub fn short(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    let text = text.split_once('(').and_then(|(_, text)| text.strip_suffix(')')).unwrap_or(&text);
    let text = ["Broker: ", "Local: "].iter().find_map(|who| text.strip_prefix(who)).unwrap_or(text);
    text::line(text.as_bytes())
}

/// The cause in one of librdkafka's error lines, such as
/// `localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)`.
pub fn cause(line: &str) -> String {
    let line = line.split(" (after ").next().unwrap_or(line);
    let line = line.rsplit_once(" failed: ").map_or(line, |(_, cause)| cause);
    let line = line.split_once("/bootstrap: ").map_or(line, |(_, cause)| cause);
    let line = text::line(line.trim().as_bytes());
    // "Connection refused" stands in the middle of a sentence here, "SSL" stays.
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
    fn the_cause_is_what_remains() {
        let refused = "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(cause(refused), "connection refused");
        let unknown = "nohost:9092/bootstrap: Failed to resolve 'nohost:9092': Name or service not known (after 3ms in state CONNECT)";
        assert_eq!(cause(unknown), "failed to resolve 'nohost:9092': Name or service not known");
        assert_eq!(cause("something else"), "something else");
    }

    #[test]
    fn codes_read_as_words() {
        assert_eq!(short(RDKafkaErrorCode::UnknownTopicOrPartition), "Unknown topic or partition");
        assert_eq!(short(RDKafkaErrorCode::OperationTimedOut), "Timed out");
    }
}
