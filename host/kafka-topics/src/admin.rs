//! The topics of a plugin: looked up, created with the source topic's properties, and grown with it.

use std::collections::BTreeMap;
use std::slice;
use std::time::Duration;

use base::error::UserError;
use base::finding::Severity;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use settings::KafkaArgs;

use crate::topic_check::{self, Cluster, Shape};
use crate::topic_plan::TopicPlan;
use crate::topic_settings::{self, Known};
use crate::topic_state::{missing, placed_by_key, too_few_partitions};
use kafka::errors::{self, Context};
use kafka::raw;

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
        let admin = kafka::client::config(kafka, &[])
            .create_with_context(Context::default())
            .map_err(|error| errors::invalid_config(&error))?;
        Ok(Self { admin, address: kafka.bootstrap_servers.clone(), create })
    }

    /// What the cluster tells about the topics of these plans; their settings take one request.
    ///
    /// # Errors
    /// The client may not see a topic, or Kafka is unreachable.
    pub async fn survey(&self, plans: &[TopicPlan]) -> Result<Cluster, UserError> {
        let metadata = self.metadata(None)?;
        let all = metadata.topics().iter().map(|topic| (topic.name().to_owned(), shape(topic)));
        let mut topics: BTreeMap<String, Shape> = all.collect();
        let mut existing = Vec::new();
        for name in plans.iter().flat_map(TopicPlan::needed) {
            if !topics.contains_key(name) {
                // Topics that this client may not see are not in the list.
                let Some(found) = self.look_up(name)? else { continue };
                topics.insert(name.clone(), found);
            }
            existing.push(name.clone());
        }
        // They need not exist.
        existing.extend(
            plans.iter().filter_map(|plan| plan.decisions.clone()).filter(|it| topics.contains_key(it)),
        );
        let described = topic_settings::describe(&self.admin, &existing).await;
        let has_hidden_settings = described.as_ref().is_some_and(|described| described.is_incomplete);
        let settings = described.map(|described| described.settings).unwrap_or_default();
        Ok(Cluster { bootstrap_servers: self.address.clone(), topics, settings, has_hidden_settings })
    }

    /// The settings of these topics, as far as the client may read them. None if no broker answers.
    pub async fn settings(&self, topics: &[String]) -> Option<Known> {
        topic_settings::describe(&self.admin, topics).await.map(|described| described.settings)
    }

    /// Makes sure that the source and the topics derived from it exist.
    ///
    /// # Errors
    /// A topic is missing and may not or cannot be created, or Kafka is unreachable.
    pub async fn ensure(&self, plan: &TopicPlan, settings: &mut Known) -> Result<Derived, UserError> {
        if self.look_up(&plan.source)?.is_none() {
            self.create(vec![NewTopic::new(&plan.source, -1, TopicReplication::Fixed(-1))]).await?;
            settings.extend(self.settings(slice::from_ref(&plan.source)).await.unwrap_or_default());
        }
        self.follow(plan, &plan.derived(), settings).await
    }

    /// Makes sure that a compacted topic beside a source exists.
    ///
    /// # Errors
    /// The topic is missing and may not or cannot be created, is not compacted alone, or Kafka is unreachable.
    pub async fn ensure_compacted(&self, source: &str, name: &str) -> Result<(), UserError> {
        let names = [source.to_owned(), name.to_owned()];
        let settings = self.settings(&names).await.unwrap_or_default();
        let found = self.follow(&TopicPlan::of_compacted(source, name), &names[1..], &settings).await?;
        found.errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// Creates those of the topics derived from the source that are `names` and missing, grows those with fewer
    /// partitions than the source, and checks all of them. Never changes the source itself, and changes no topic
    /// without the permission to create topics.
    ///
    /// # Errors
    /// A topic is missing and may not or cannot be created, or Kafka is unreachable.
    pub async fn follow(
        &self,
        plan: &TopicPlan,
        names: &[String],
        settings: &Known,
    ) -> Result<Derived, UserError> {
        self.create_missing(plan, names, settings).await?;
        let source = self.existing(&plan.source)?;
        let mut shapes = BTreeMap::from([(plan.source.clone(), source)]);
        let mut found = Derived::default();
        for name in names {
            let mut shape = self.existing(name)?;
            let (count, wanted) = (shape.partitions, plan.partitions_of(name, source.partitions));
            if count < wanted && self.create {
                match self.grow(name, count, wanted).await {
                    Ok(grown) => shape.partitions = grown,
                    Err(error) => found.errors.push(error),
                }
            } else if count < wanted {
                found.warnings.push(too_few_partitions(name, count, &plan.source, wanted));
            }
            found.partitions.push(shape.partitions);
            shapes.insert(name.clone(), shape);
        }
        self.check(plan, shapes, settings, &mut found);
        Ok(found)
    }

    /// Checks the topics of a plan that exist.
    fn check(
        &self,
        plan: &TopicPlan,
        topics: BTreeMap<String, Shape>,
        settings: &Known,
        found: &mut Derived,
    ) {
        let known = topics.keys().filter_map(|name| Some((name.clone(), settings.get(name)?.clone())));
        let settings = known.collect();
        let bootstrap_servers = self.address.clone();
        let cluster = Cluster { bootstrap_servers, topics, settings, has_hidden_settings: false };
        for finding in topic_check::check(&cluster, slice::from_ref(plan)) {
            match finding.severity {
                Severity::Error => found.errors.push(finding.into()),
                Severity::Warning => found.warnings.push(finding.into()),
            }
        }
    }

    /// Whether missing topics are created.
    pub fn creates(&self) -> bool {
        self.create
    }

    /// Whether Kafka reports that the topic does not exist.
    pub fn is_missing(&self, name: &str) -> bool {
        matches!(self.look_up(name), Ok(None))
    }

    /// Whether Kafka responds to a lookup of the topic.
    pub fn is_reachable(&self, topic: &str) -> bool {
        self.look_up(topic).is_ok()
    }

    async fn create_missing(
        &self,
        plan: &TopicPlan,
        names: &[String],
        settings: &Known,
    ) -> Result<(), UserError> {
        let mut missing = Vec::new();
        for name in names {
            if self.look_up(name)?.is_none() {
                missing.push(name);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let source = self.existing(&plan.source)?;
        let replication = i32::try_from(source.replication.max(1)).unwrap_or(1);
        let known = settings.get(&plan.source);
        let configs: Vec<_> =
            missing.iter().map(|name| plan.settings_of(name, known, source.replication)).collect();
        let topics = missing.iter().zip(&configs).map(|(name, configs)| NewTopic {
            name,
            num_partitions: i32::try_from(plan.partitions_of(name, source.partitions)).unwrap_or(1),
            replication: TopicReplication::Fixed(replication),
            config: configs.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        });
        self.create(topics.collect()).await
    }

    /// Grows a topic to `to` partitions. Returns the resulting number, since another host may grow it at the
    /// same time.
    async fn grow(&self, name: &str, from: usize, to: usize) -> Result<usize, UserError> {
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let wanted = NewPartitions::new(name, to);
        let results = self.admin.create_partitions([&wanted], &options).await;
        for result in results.map_err(|error| self.unreachable(&error))? {
            if let Err((_, code)) = result
                && self.existing(name)?.partitions < to
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
            let count = self.existing(name)?.partitions;
            if count >= to || tokio::time::Instant::now() >= until {
                tracing::info!(topic = name, from, to = count, "partitions added to match the source topic");
                return Ok(count);
            }
            tokio::time::sleep(APPEAR_POLL).await;
        }
    }

    /// A topic that must exist.
    fn existing(&self, name: &str) -> Result<Shape, UserError> {
        self.look_up(name)?.ok_or_else(|| missing(name, &self.address))
    }

    async fn create(&self, topics: Vec<NewTopic<'_>>) -> Result<(), UserError> {
        let names: Vec<String> = topics.iter().map(|topic| topic.name.to_owned()).collect();
        if !self.create {
            return Err(missing(names.first().map_or("", String::as_str), &self.address));
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = self.admin.create_topics(&topics, &options).await;
        for result in results.map_err(|error| self.unreachable(&error))? {
            match result {
                Ok(name) => tracing::info!(topic = name, "topic created"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(not_created(&name, code)),
            }
        }
        self.appear(&names).await
    }

    /// Waits until created topics are visible, which takes a moment.
    async fn appear(&self, names: &[String]) -> Result<(), UserError> {
        let until = tokio::time::Instant::now() + TIMEOUT;
        for name in names {
            while self.look_up(name)?.is_none() {
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

    /// A topic's partitions; None if it does not exist.
    fn look_up(&self, name: &str) -> Result<Option<Shape>, UserError> {
        let metadata = self.metadata(Some(name))?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(None);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(UserError::unavailable(format!("this client may not see topic {name}"))
                    .help(format!("grant it DESCRIBE on topic {name}, or check that the topic exists")))
            }
            Some(_) => Ok(None),
            None => Ok(Some(topic).filter(|topic| !topic.partitions().is_empty()).map(shape)),
        }
    }

    /// Metadata of a topic, or of all topics that the client may see.
    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, UserError> {
        let client = self.admin.inner();
        let metadata = tokio::task::block_in_place(|| client.fetch_metadata(topic, TIMEOUT));
        metadata.map_err(|error| {
            raw::bootstrap_again(client, &self.address);
            self.unreachable(&error)
        })
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
    /// The topics that could not be grown, or cannot be used.
    pub errors: Vec<UserError>,
    /// The topics with fewer partitions than their source, which the host may not grow, and those that may lose
    /// messages.
    pub warnings: Vec<UserError>,
}

fn not_created(name: &str, code: RDKafkaErrorCode) -> UserError {
    let error = UserError::unavailable(format!("cannot create topic {name}: {}", errors::short(code)));
    match code {
        RDKafkaErrorCode::InvalidTopic => {
            error.help("check that no topic has this name but for '.' in the place of '_', or '_' of '.'")
        }
        RDKafkaErrorCode::InvalidConfig | RDKafkaErrorCode::PolicyViolation => {
            error.help("check the broker's policies, or create the topic manually")
        }
        _ => error.help("create it manually, or grant this client CREATE on it"),
    }
}

fn shape(topic: &MetadataTopic) -> Shape {
    let partitions = topic.partitions();
    Shape {
        partitions: partitions.len(),
        replication: partitions.first().map_or(1, |partition| partition.replicas().len()),
        leaderless: partitions.iter().filter(|partition| partition.leader() < 0).count(),
        in_sync: partitions.iter().map(|partition| partition.isr().len()).min().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_name_that_kafka_refuses_is_explained() {
        let error = not_created("mail_send.dlt", RDKafkaErrorCode::InvalidTopic).to_string();
        assert!(error.starts_with("cannot create topic mail_send.dlt: Invalid topic"), "{error}");
        assert!(error.contains("but for '.' in the place of '_'"), "{error}");
    }

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
        let plan = TopicPlan {
            group: "group".into(),
            source: "source".into(),
            retry: vec!["source-retry".into()],
            dead_letter: "source.dlt".into(),
            held_keys: None,
            decisions: None,
            max_wait: Duration::ZERO,
            publishes: Vec::new(),
        };
        let found = topics.follow(&plan, &plan.derived(), &Known::new()).await.expect("the topics");
        assert_eq!(found.partitions, [4, 1]);
        assert!(found.errors.is_empty(), "{:?}", found.errors);
        let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("topic source.dlt has 1 partition, its source source has 4"));
        assert!(warnings[0].contains("--create-topics=true"), "{}", warnings[0]);
    }
}
