//! A command's Kafka client: requests with timeouts, and errors with next steps.

use std::thread;
use std::time::{Duration, Instant};

use base::error::UserError;
use base::text;
use kafka::committed::{Committed, committed};
use kafka::errors::{self, Context, invalid_config, is_connection, reason, short};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use settings::KafkaArgs;
use tokio::runtime::Builder;

/// Timeout of requests that read.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of requests that change something.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);

/// The Kafka client of a command.
pub struct KafkaClient {
    /// librdkafka's client.
    pub consumer: BaseConsumer<Context>,
    servers: String,
}

impl KafkaClient {
    /// Creates a client with these properties; the user's own take precedence. It does not connect yet.
    pub fn open(kafka: &KafkaArgs, own: &[(&str, &str)]) -> Result<Self, UserError> {
        let consumer = kafka::client::open(kafka, own)?;
        Ok(Self { consumer, servers: kafka.bootstrap_servers.clone() })
    }

    /// Metadata of a topic or, without a name, of all topics.
    pub fn metadata(&self, topic: Option<&str>) -> Result<Metadata, UserError> {
        self.consumer.fetch_metadata(topic, TIMEOUT).map_err(|error| self.unreachable(&error))
    }

    /// Metadata of an existing topic.
    ///
    /// # Errors
    /// The topic does not exist, or access is denied.
    pub fn topic(&self, name: &str) -> Result<Metadata, UserError> {
        // librdkafka panics on a NUL, and returns all topics for an empty name.
        if name.is_empty() || name.contains('\0') {
            return Err(invalid_topic(name));
        }
        let metadata = self.metadata(Some(name))?;
        let error = metadata.topics().iter().find(|topic| topic.name() == name).map(MetadataTopic::error);
        match error.map(|error| error.map(RDKafkaErrorCode::from)) {
            Some(None) => Ok(metadata),
            None | Some(Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {
                Err(UserError::unavailable(format!("no topic {}", text::line(name.as_bytes())))
                    .help(format!("create it: host topics create {}", text::line(name.as_bytes())))
                    .help("list topics: host topics list"))
            }
            Some(Some(RDKafkaErrorCode::InvalidTopic)) => Err(invalid_topic(name)),
            Some(Some(code)) => {
                Err(UserError::unavailable(format!("cannot use topic {name}: {}", short(code))))
            }
        }
    }

    /// The committed offsets of the client's group for these partitions; see [`committed`].
    pub fn committed<'a>(
        &self,
        partitions: impl IntoIterator<Item = (&'a str, i32)>,
    ) -> Result<Vec<Committed>, UserError> {
        committed(&self.consumer, partitions, TIMEOUT)
            .map_err(|error| self.failure("read the group's offsets", &error))
    }

    /// The first (`Offset::Beginning`) or the next (`Offset::End`) offsets of these partitions. A partition without a
    /// leader has none.
    pub fn offsets(&self, of: Offset, partitions: &[(String, i32)]) -> Result<TopicPartitionList, UserError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            list.add_partition_offset(topic, *partition, of)
                .map_err(|error| self.failure("read offsets", &error))?;
        }
        if partitions.is_empty() {
            return Ok(list);
        }
        // The "times" -2 and -1 stand for the ends of a partition. This takes one request per broker.
        self.consumer.offsets_for_times(list, TIMEOUT).map_err(|error| self.failure("read offsets", &error))
    }

    /// Waits until these topics are usable (or deleted) on the brokers, which receive changes with a delay. The next
    /// command depends on it.
    pub fn wait_for_topics(&self, names: &[String], present: bool) {
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

    /// Whether this is the broker of `host demo`.
    pub fn is_embedded(&self) -> bool {
        base::kafka_args::is_embedded(self.consumer.client().fetch_cluster_id(TIMEOUT).as_deref())
    }

    /// The error for a failed operation.
    pub fn failure(&self, doing: &str, error: &KafkaError) -> UserError {
        match error.rdkafka_error_code() {
            Some(code) if is_connection(code) => self.unreachable(error),
            _ => UserError::unavailable(format!("cannot {doing}: {}", reason(error))),
        }
    }

    fn unreachable(&self, error: &KafkaError) -> UserError {
        errors::unreachable(&self.servers, &self.consumer, error)
    }
}

/// Calls Kafka's admin API.
pub fn admin<T>(
    kafka: &KafkaArgs,
    doing: &str,
    call: impl AsyncFnOnce(&AdminClient<Context>, &AdminOptions) -> KafkaResult<T>,
) -> Result<T, UserError> {
    let client: AdminClient<Context> = kafka::client::config(kafka, &[])
        .create_with_context(Context::default())
        .map_err(|error| invalid_config(&error))?;
    let options =
        AdminOptions::new().request_timeout(Some(CHANGE_TIMEOUT)).operation_timeout(Some(CHANGE_TIMEOUT));
    let failed = |cause: String| UserError::unavailable(format!("cannot {doing}: {cause}"));
    let runtime = Builder::new_current_thread().build().map_err(|error| failed(error.to_string()))?;
    runtime.block_on(call(&client, &options)).map_err(|error| failed(reason(&error)))
}

/// All settings of a topic, including defaults. None if this client has no permission to read them.
pub fn settings(kafka: &KafkaArgs, topic: &str) -> Result<Option<Vec<ConfigEntry>>, UserError> {
    let resources = admin(kafka, "read topic settings", async |admin, options| {
        admin.describe_configs(&[ResourceSpecifier::Topic(topic)], options).await
    })?;
    let entries = resources.into_iter().flatten().next().map(|resource| resource.entries);
    Ok(entries.filter(|entries| !entries.is_empty()))
}

/// The error for an invalid topic name.
pub fn invalid_topic(name: &str) -> UserError {
    UserError::usage(format!("'{}' is not a valid topic name", text::line(name.as_bytes())))
        .help("a name consists of at most 249 letters, digits, '.', '_' and '-'")
}
