//! What librdkafka says of its errors, in words for a person.

use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::Failure;
use crate::text;

/// A setting that librdkafka does not take. Its value stays out of the message: it may be a secret.
pub fn refused(error: &KafkaError) -> Failure {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => {
            Failure::usage(format!("bad Kafka property {key}: {}", description.trim()))
                .help("properties are librdkafka's, given as -X PROPERTY=VALUE")
        }
        KafkaError::ClientCreation(cause) => Failure::usage(format!("bad Kafka settings: {}", cause.trim())),
        other => Failure::usage(format!("bad Kafka settings: {}", reason(other))),
    }
}

/// Kafka does not answer a consumer that nobody polls.
pub fn away(address: &str, consumer: &BaseConsumer<Context>, error: &KafkaError) -> Failure {
    // Errors wait as events.
    while let Some(Err(_)) = consumer.poll(Duration::from_millis(50)) {}
    no_answer(address, consumer.context(), error)
}

/// Kafka does not answer. The client's last error says more than "timed out".
pub fn no_answer(address: &str, context: &Context, error: &KafkaError) -> Failure {
    let cause = context.last_error.lock().take().unwrap_or_else(|| reason(error));
    Failure::unavailable(format!("cannot reach Kafka at {address} ({cause})"))
        .help("start it, or name another: --bootstrap-servers HOST:PORT, or KAFKA_BOOTSTRAP_SERVERS")
        .help("or try without Kafka: host demo")
}

/// Keeps what librdkafka says for the error message instead of logging it.
#[derive(Debug, Default)]
pub struct Context {
    last_error: Mutex<Option<String>>,
}

impl ClientContext for Context {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility} {message}");
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // "1/1 brokers are down" comes after the error that says why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last_error.lock() = Some(cause(reason));
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
fn cause(line: &str) -> String {
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
