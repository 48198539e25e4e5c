//! One command's connection to Kafka: bounded waits, and errors that say what to do next.

use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, ResourceSpecifier};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Builder;

use super::text;
use crate::error::Failure;
use crate::kafka::client::KafkaArgs;

/// How long Kafka may take to answer a question.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// How long Kafka may take to change something.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection for the time of one command.
pub struct Session {
    /// The client underneath.
    pub consumer: BaseConsumer<Context>,
    servers: String,
}

impl Session {
    /// Prepares a connection with these settings below the person's own; nothing is sent yet.
    pub fn open(kafka: &KafkaArgs, own: &[(&str, &str)]) -> Result<Self, Failure> {
        let consumer =
            kafka.config(own).create_with_context(Context::default()).map_err(|error| refused(&error))?;
        Ok(Self { consumer, servers: kafka.bootstrap_servers.clone() })
    }

    /// What the cluster says of one topic or, without a name, of all of them.
    pub fn metadata(&self, topic: Option<&str>) -> Result<Metadata, Failure> {
        self.consumer.fetch_metadata(topic, TIMEOUT).map_err(|error| self.unreachable(&error))
    }

    /// The topic's metadata; a topic that does not exist, or may not be seen, is an error.
    pub fn topic(&self, name: &str) -> Result<Metadata, Failure> {
        // librdkafka panics on names that C cannot hold, and answers an empty one with all topics.
        if name.is_empty() || name.contains('\0') {
            return Err(invalid_topic(name));
        }
        let metadata = self.metadata(Some(name))?;
        let error = metadata.topics().iter().find(|topic| topic.name() == name).map(MetadataTopic::error);
        match error.map(|error| error.map(RDKafkaErrorCode::from)) {
            Some(None) => Ok(metadata),
            None | Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {
                Err(Failure::unavailable(format!("no topic {}", text::line(name.as_bytes())))
                    .help(format!("create it: host topics create {}", text::line(name.as_bytes())))
                    .help("see what is there: host topics list"))
            }
            Some(Some(RDKafkaErrorCode::InvalidTopic)) => Err(invalid_topic(name)),
            Some(Some(code)) => {
                Err(Failure::unavailable(format!("cannot use topic {name}: {}", short(code))))
            }
        }
    }

    /// The first (`Offset::Beginning`) or the next (`Offset::End`) offset of each of these
    /// partitions; a partition without a leader has none.
    pub fn offsets(&self, of: Offset, partitions: &[(String, i32)]) -> Result<TopicPartitionList, Failure> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition_offset(topic, *partition, of)
                .map_err(|error| self.failure("read offsets", &error))?;
        }
        if partitions.is_empty() {
            return Ok(list);
        }
        // The "times" -2 and -1 stand for the ends of the partition: one request a broker, not two a partition.
        self.consumer.offsets_for_times(list, TIMEOUT).map_err(|error| self.failure("read offsets", &error))
    }

    /// Waits a moment until every one of these topics can be used (or is gone), so that the next
    /// command finds it so: brokers learn of a change a little after it was made.
    pub fn settle(&self, names: &[String], present: bool) {
        let deadline = Instant::now() + TIMEOUT;
        let settled = |name: &String| {
            self.consumer.fetch_metadata(Some(name), TIMEOUT).is_ok_and(|metadata| {
                metadata.topics().iter().all(|topic| {
                    let usable =
                        topic.error().is_none() && topic.partitions().iter().all(|p| p.leader() >= 0);
                    if present { usable } else { topic.error().is_some() }
                })
            })
        };
        while !names.iter().all(settled) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// An error of Kafka's about something this command was doing.
    pub fn failure(&self, doing: &str, error: &KafkaError) -> Failure {
        match error.rdkafka_error_code() {
            Some(code) if is_connection(code) => self.unreachable(error),
            _ => Failure::unavailable(format!("cannot {doing}: {}", reason(error))),
        }
    }

    fn unreachable(&self, error: &KafkaError) -> Failure {
        // Errors wait as events: the last one says more than "timed out".
        while let Some(Err(_)) = self.consumer.poll(Duration::from_millis(50)) {}
        let cause = self.consumer.context().last_error.lock().take().unwrap_or_else(|| reason(error));
        Failure::unavailable(format!("cannot reach Kafka at {} ({cause})", self.servers))
            .help("name another: --bootstrap-servers HOST:PORT, or KAFKA_BOOTSTRAP_SERVERS")
            .help("or try without Kafka: host demo")
    }
}

/// Asks for something through Kafka's admin interface.
pub fn admin<T>(
    kafka: &KafkaArgs,
    doing: &str,
    call: impl AsyncFnOnce(&AdminClient<Context>, &AdminOptions) -> KafkaResult<T>,
) -> Result<T, Failure> {
    let client: AdminClient<Context> =
        kafka.config(&[]).create_with_context(Context::default()).map_err(|error| refused(&error))?;
    let options =
        AdminOptions::new().request_timeout(Some(CHANGE_TIMEOUT)).operation_timeout(Some(CHANGE_TIMEOUT));
    let failed = |cause: String| Failure::unavailable(format!("cannot {doing}: {cause}"));
    let runtime = Builder::new_current_thread().build().map_err(|error| failed(error.to_string()))?;
    runtime.block_on(call(&client, &options)).map_err(|error| failed(reason(&error)))
}

/// Every setting of a topic, its defaults included; none where they may not be read, which needs a
/// permission of its own.
pub fn settings(kafka: &KafkaArgs, topic: &str) -> Result<Option<Vec<ConfigEntry>>, Failure> {
    let resources = admin(kafka, "read topic settings", async |admin, options| {
        admin.describe_configs(&[ResourceSpecifier::Topic(topic)], options).await
    })?;
    let entries = resources.into_iter().flatten().next().map(|resource| resource.entries);
    Ok(entries.filter(|entries| !entries.is_empty()))
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

/// A name that Kafka takes for no topic.
pub fn invalid_topic(name: &str) -> Failure {
    Failure::usage(format!("'{}' is no topic name", text::line(name.as_bytes())))
        .help("a name has letters, digits, '.', '_' and '-', and at most 249 of them")
}

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
