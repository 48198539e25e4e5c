//! The topics a plugin needs: found, created after the source topic's pattern, grown with it.

use std::collections::HashMap;
use std::time::Duration;

use base::error::UserError;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use settings::KafkaArgs;

use crate::errors::{self, Context};
use crate::raw;

/// What retry and dead-letter topics take more than the source topic: the host's headers.
const HEADER_ROOM: u64 = 64 << 10;
/// The broker's default for `max.message.bytes`.
const DEFAULT_MAX_MESSAGE_BYTES: u64 = 1_048_588;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a topic that was created or grown is looked for until it appears.
const APPEAR_POLL: Duration = Duration::from_millis(50);

/// Looks topics up and creates them.
pub struct Topics {
    admin: AdminClient<Context>,
    address: String,
    create: bool,
}

impl Topics {
    /// With `create` false, what is missing is an error.
    ///
    /// # Errors
    /// What librdkafka has against the configuration.
    pub fn new(kafka: &KafkaArgs, create: bool) -> Result<Self, UserError> {
        let admin = crate::client::config(kafka, &[])
            .create_with_context(Context::default())
            .map_err(|error| errors::refused(&error))?;
        Ok(Self { admin, address: kafka.bootstrap_servers.clone(), create })
    }

    /// Makes sure that `source` and the topics derived from it exist.
    ///
    /// # Errors
    /// A topic is missing and may not or cannot be created, or Kafka does not answer.
    pub async fn ensure(&self, source: &str, derived: &[String]) -> Result<Derived, UserError> {
        if self.partitions(source)?.is_none() {
            self.create(vec![NewTopic::new(source, -1, TopicReplication::Fixed(-1))]).await?;
        }
        self.follow(source, derived).await
    }

    /// Makes sure of the topics derived from `source`: creates those that are missing, and gives
    /// those that have fewer partitions than it as many. The source itself is never touched, and
    /// without the right to create topics none is.
    ///
    /// # Errors
    /// A topic is missing and may not or cannot be created, or Kafka does not answer.
    pub async fn follow(&self, source: &str, derived: &[String]) -> Result<Derived, UserError> {
        self.create_missing(source, derived).await?;
        let wanted = self.found(source)?;
        let mut found = Derived { partitions: Vec::with_capacity(derived.len()), refused: Vec::new() };
        for name in derived {
            let mut count = self.found(name)?;
            if count < wanted && self.create {
                match self.grow(name, count, wanted).await {
                    Ok(grown) => count = grown,
                    Err(failure) => found.refused.push(failure),
                }
            }
            found.partitions.push(count);
        }
        Ok(found)
    }

    /// Whether topics that are missing are created.
    pub fn creates(&self) -> bool {
        self.create
    }

    /// Whether Kafka says that there is no such topic.
    pub fn is_missing(&self, name: &str) -> bool {
        matches!(self.partitions(name), Ok(None))
    }

    /// Whether Kafka answers at all.
    pub fn answers(&self, topic: &str) -> bool {
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

    /// Gives a topic `to` partitions. Returns how many it has then: another host may have been
    /// quicker.
    async fn grow(&self, name: &str, from: usize, to: usize) -> Result<usize, UserError> {
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let wanted = NewPartitions::new(name, to);
        let results = self.admin.create_partitions([&wanted], &options).await;
        for result in results.map_err(|error| self.away(&error))? {
            if let Err((_, code)) = result
                && self.found(name)? < to
            {
                let what = format!(
                    "cannot give topic {name} {to} partitions, as many as its source has: {}",
                    errors::short(code)
                );
                return Err(UserError::unavailable(what).help(format!("grant this client ALTER on topic {name}"))
                    .help(format!("until then what has no partition of its number among the {from} there is placed by its key")));
            }
        }
        let until = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let count = self.found(name)?;
            if count >= to || tokio::time::Instant::now() >= until {
                tracing::info!(topic = name, from, to = count, "grown with its source");
                return Ok(count);
            }
            tokio::time::sleep(APPEAR_POLL).await;
        }
    }

    fn found(&self, name: &str) -> Result<usize, UserError> {
        self.partitions(name)?.ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> UserError {
        UserError::unavailable(format!("topic {name} does not exist"))
            .help(format!("create it: host topics create {name} --bootstrap-servers {}", self.address))
            .help("or leave it to the host: --create-topics=true")
    }

    async fn create(&self, topics: Vec<NewTopic<'_>>) -> Result<(), UserError> {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.to_owned()).collect();
        if !self.create {
            return Err(self.missing(names.first().map_or("", String::as_str)));
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = self.admin.create_topics(&topics, &options).await;
        for result in results.map_err(|error| self.away(&error))? {
            match result {
                Ok(name) => tracing::info!(topic = name, "created"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(UserError::unavailable(format!("cannot create topic {name}: {code}"))
                        .help("create it by hand, or grant this client CREATE on it"));
                }
            }
        }
        self.appear(&names).await
    }

    /// A created topic takes a moment until every broker knows it.
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

    /// How many partitions a topic has; None where there is no such topic.
    fn partitions(&self, name: &str) -> Result<Option<usize>, UserError> {
        self.look_up(name, |topic| topic.partitions().len())
    }

    fn look_up<T>(&self, name: &str, read: impl FnOnce(&MetadataTopic) -> T) -> Result<Option<T>, UserError> {
        let client = self.admin.inner();
        let metadata = tokio::task::block_in_place(|| client.fetch_metadata(Some(name), TIMEOUT));
        let metadata = metadata.map_err(|error| {
            raw::bootstrap_again(client, &self.address);
            self.away(&error)
        })?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(UserError::unavailable(format!("this client may not see topic {name}"))
                    .help(format!("grant it DESCRIBE on topic {name}, or see whether the topic exists")))
            }
            Some(_) => Ok(None),
            None => Ok(Some(topic).filter(|topic| !topic.partitions().is_empty()).map(read)),
        }
    }

    /// What derived topics take over from the source.
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

    /// The source's own limit; the broker's default where it does not say (the embedded broker,
    /// or no right to ask).
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

    fn away(&self, error: &KafkaError) -> UserError {
        errors::no_answer(&self.address, self.admin.inner().context(), error)
    }
}

/// The topics derived from a source.
#[derive(Debug)]
pub struct Derived {
    /// How many partitions each has, in the order they were asked for.
    pub partitions: Vec<usize>,
    /// Why some could not be grown.
    pub refused: Vec<UserError>,
}

struct Shape {
    partitions: i32,
    replication: i32,
    max_message_bytes: u64,
}
