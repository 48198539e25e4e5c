//! The topics of a plugin: looked up, created with the source topic's properties, and grown with it.

use std::collections::HashMap;
use std::time::Duration;

use base::error::UserError;
use base::text;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use settings::KafkaArgs;

use crate::errors::{self, Context};
use crate::raw;

/// The additional size of records in retry and dead-letter topics, for the host's headers.
const HEADER_ROOM: u64 = 64 << 10;
/// The broker's default for `max.message.bytes`.
const DEFAULT_MAX_MESSAGE_BYTES: u64 = 1_048_588;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The interval of the lookup of a topic that was created or grown, until it appears.
const APPEAR_POLL: Duration = Duration::from_millis(50);

/// Looks topics up and creates them.
pub struct Topics {
    admin: AdminClient<Context>,
    address: String,
    create: bool,
}

impl Topics {
    /// With `create` false, a missing topic is an error.
    ///
    /// # Errors
    /// librdkafka refuses the configuration.
    pub fn new(kafka: &KafkaArgs, create: bool) -> Result<Self, UserError> {
        let admin = crate::client::config(kafka, &[])
            .create_with_context(Context::default())
            .map_err(|error| errors::invalid_config(&error))?;
        Ok(Self { admin, address: kafka.bootstrap_servers.clone(), create })
    }

    /// Makes sure that `source` and the topics derived from it exist.
    ///
    /// # Errors
    /// A topic is missing and may not or cannot be created, or Kafka is unreachable.
    pub async fn ensure(&self, source: &str, derived: &[String]) -> Result<Derived, UserError> {
        if self.partitions(source)?.is_none() {
            self.create(vec![NewTopic::new(source, -1, TopicReplication::Fixed(-1))]).await?;
        }
        self.follow(source, derived).await
    }

    /// Creates missing topics derived from `source`, and grows those with fewer partitions than `source`.
    /// Never changes the source itself, and changes no topic without the permission to create topics.
    ///
    /// # Errors
    /// A topic is missing and may not or cannot be created, or Kafka is unreachable.
    pub async fn follow(&self, source: &str, derived: &[String]) -> Result<Derived, UserError> {
        self.create_missing(source, derived).await?;
        let wanted = self.existing(source)?;
        let mut found = Derived::default();
        for name in derived {
            let mut count = self.existing(name)?;
            if count < wanted && self.create {
                match self.grow(name, count, wanted).await {
                    Ok(grown) => count = grown,
                    Err(error) => found.errors.push(error),
                }
            } else if count < wanted {
                found.warnings.push(too_few_partitions(name, count, source, wanted));
            }
            found.partitions.push(count);
        }
        Ok(found)
    }

    /// Whether missing topics are created.
    pub fn creates(&self) -> bool {
        self.create
    }

    /// Whether Kafka reports that the topic does not exist.
    pub fn is_missing(&self, name: &str) -> bool {
        matches!(self.partitions(name), Ok(None))
    }

    /// Whether Kafka responds to a lookup of the topic.
    pub fn is_reachable(&self, topic: &str) -> bool {
        self.partitions(topic).is_ok()
    }

    async fn create_missing(&self, source: &str, derived: &[String]) -> Result<(), UserError> {
        let mut missing = Vec::new();
        for name in derived {
            if self.partitions(name)?.is_none() {
                missing.push(name);
            }
        }
        if !missing.is_empty() {
            let shape = self.shape(source).await?;
            let limit = (shape.max_message_bytes + HEADER_ROOM).to_string();
            let topics = missing.iter().map(|name| {
                NewTopic::new(name, shape.partitions, TopicReplication::Fixed(shape.replication))
                    .set("cleanup.policy", "delete")
                    .set("max.message.bytes", &limit)
            });
            self.create(topics.collect()).await?;
        }
        Ok(())
    }

    /// Grows a topic to `to` partitions. Returns the resulting number, since another host may grow it at the
    /// same time.
    async fn grow(&self, name: &str, from: usize, to: usize) -> Result<usize, UserError> {
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let wanted = NewPartitions::new(name, to);
        let results = self.admin.create_partitions([&wanted], &options).await;
        for result in results.map_err(|error| self.unreachable(&error))? {
            if let Err((_, code)) = result
                && self.existing(name)? < to
            {
                let what = format!(
                    "cannot grow topic {name} to {to} partitions, the number of its source: {}",
                    errors::short(code)
                );
                return Err(UserError::unavailable(what)
                    .help(format!("grant this client ALTER on topic {name}"))
                    .help(placed_by_key(from)));
            }
        }
        let until = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let count = self.existing(name)?;
            if count >= to || tokio::time::Instant::now() >= until {
                tracing::info!(topic = name, from, to = count, "partitions added to match the source topic");
                return Ok(count);
            }
            tokio::time::sleep(APPEAR_POLL).await;
        }
    }

    /// The number of partitions of a topic that must exist.
    fn existing(&self, name: &str) -> Result<usize, UserError> {
        self.partitions(name)?.ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> UserError {
        UserError::unavailable(format!("topic {name} does not exist"))
            .help(format!("create it: host topics create {name} --bootstrap-servers {}", self.address))
            .help("or let the host create it: --create-topics=true")
    }

    async fn create(&self, topics: Vec<NewTopic<'_>>) -> Result<(), UserError> {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.to_owned()).collect();
        if !self.create {
            return Err(self.missing(names.first().map_or("", String::as_str)));
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = self.admin.create_topics(&topics, &options).await;
        for result in results.map_err(|error| self.unreachable(&error))? {
            match result {
                Ok(name) => tracing::info!(topic = name, "topic created"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(UserError::unavailable(format!("cannot create topic {name}: {code}"))
                        .help("create it manually, or grant this client CREATE on it"));
                }
            }
        }
        self.appear(&names).await
    }

    /// Waits until created topics are visible, which takes a moment.
    async fn appear(&self, names: &[String]) -> Result<(), UserError> {
        let until = tokio::time::Instant::now() + TIMEOUT;
        for name in names {
            while self.partitions(name)?.is_none() {
                if tokio::time::Instant::now() >= until {
                    return Err(UserError::unavailable(format!(
                        "topic {name} was created but does not appear"
                    )));
                }
                tokio::time::sleep(APPEAR_POLL).await;
            }
        }
        Ok(())
    }

    /// The number of partitions of a topic; None if it does not exist.
    fn partitions(&self, name: &str) -> Result<Option<usize>, UserError> {
        self.look_up(name, |topic| topic.partitions().len())
    }

    fn look_up<T>(&self, name: &str, read: impl FnOnce(&MetadataTopic) -> T) -> Result<Option<T>, UserError> {
        let client = self.admin.inner();
        let metadata = tokio::task::block_in_place(|| client.fetch_metadata(Some(name), TIMEOUT));
        let metadata = metadata.map_err(|error| {
            raw::bootstrap_again(client, &self.address);
            self.unreachable(&error)
        })?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(UserError::unavailable(format!("this client may not see topic {name}"))
                    .help(format!("grant it DESCRIBE on topic {name}, or check that the topic exists")))
            }
            Some(_) => Ok(None),
            None => Ok(Some(topic).filter(|topic| !topic.partitions().is_empty()).map(read)),
        }
    }

    /// The properties that derived topics take from the source.
    async fn shape(&self, source: &str) -> Result<Shape, UserError> {
        let shape = self.look_up(source, |topic| {
            let replicas = topic.partitions().first().map_or(1, |partition| partition.replicas().len());
            (topic.partitions().len(), replicas)
        })?;
        let (partitions, replicas) = shape.ok_or_else(|| self.missing(source))?;
        Ok(Shape {
            partitions: i32::try_from(partitions).unwrap_or(1),
            replication: i32::try_from(replicas.max(1)).unwrap_or(1),
            max_message_bytes: self.max_message_bytes(source).await,
        })
    }

    /// The source's limit for records in bytes. The broker's default if the limit cannot be read: the
    /// embedded broker has none, and the client may lack the permission.
    async fn max_message_bytes(&self, source: &str) -> u64 {
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let described = self.admin.describe_configs(&[ResourceSpecifier::Topic(source)], &options).await;
        let entries: HashMap<String, Option<String>> = described
            .into_iter()
            .flatten()
            .flatten()
            .flat_map(|resource| resource.entries)
            .map(|entry| (entry.name, entry.value))
            .collect();
        let limit = entries.get("max.message.bytes").and_then(Option::as_deref);
        limit.and_then(|limit| limit.parse().ok()).unwrap_or(DEFAULT_MAX_MESSAGE_BYTES)
    }

    fn unreachable(&self, error: &KafkaError) -> UserError {
        errors::no_answer(&self.address, self.admin.inner().context(), error)
    }
}

/// The topics derived from a source.
#[derive(Debug, Default)]
pub struct Derived {
    /// The number of partitions of each topic, in the requested order.
    pub partitions: Vec<usize>,
    /// The topics that could not be grown.
    pub errors: Vec<UserError>,
    /// The topics with fewer partitions than their source, which the host may not grow.
    pub warnings: Vec<UserError>,
}

fn too_few_partitions(name: &str, count: usize, source: &str, wanted: usize) -> UserError {
    let partitions = text::counted(count as u64, "partition");
    UserError::unavailable(format!("topic {name} has {partitions}, its source {source} has {wanted}"))
        .help(format!("add partitions to topic {name}, or let the host do it: --create-topics=true"))
        .help(placed_by_key(count))
}

fn placed_by_key(partitions: usize) -> String {
    format!("until then, messages from partition {partitions} and above are placed by their key")
}

struct Shape {
    partitions: i32,
    replication: i32,
    max_message_bytes: u64,
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_topic_that_may_not_grow_with_its_source_is_a_warning() {
        let cluster = MockCluster::new(1).expect("a cluster");
        for (name, partitions) in [("source", 4), ("source.dlt", 1), ("source-retry", 4)] {
            cluster.create_topic(name, partitions, 1).expect(name);
        }
        let kafka = KafkaArgs {
            bootstrap_servers: cluster.bootstrap_servers(),
            properties: Vec::new(),
            environment_properties: None,
            file_properties: Vec::new(),
        };
        let topics = Topics::new(&kafka, false).expect("a client");
        let derived = ["source-retry".to_owned(), "source.dlt".to_owned()];
        let found = topics.follow("source", &derived).await.expect("the topics");
        assert_eq!(found.partitions, [4, 1]);
        assert!(found.errors.is_empty(), "{:?}", found.errors);
        let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("topic source.dlt has 1 partition, its source source has 4"));
        assert!(warnings[0].contains("--create-topics=true"), "{}", warnings[0]);
    }
}
