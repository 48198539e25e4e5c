//! The settings of topics that decide how long and how safely Kafka keeps their records.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, OwnedResourceSpecifier, ResourceSpecifier};

use base::kafka_args::is_embedded;
use kafka::errors::Context;

/// The time that a description may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Settings by topic. Topics whose settings are unknown are absent.
pub type Known = HashMap<String, TopicSettings>;

/// The settings of a topic, defaults of the broker included. A setting that the broker does not know is None.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// `cleanup.policy`: `delete`, `compact`, both or nothing.
    pub cleanup_policy: Option<String>,
    /// `retention.ms`: the age in milliseconds at which records are removed. Negative: never.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`: the size of a partition above which its oldest records are removed. Negative: no limit.
    pub retention_bytes: Option<i64>,
    /// `min.insync.replicas`: the replicas that must have a record before it is acknowledged.
    pub min_insync_replicas: Option<usize>,
    /// `max.message.bytes`: the largest batch of records in bytes.
    pub max_message_bytes: Option<u64>,
}

impl TopicSettings {
    fn of(entries: Vec<ConfigEntry>) -> Self {
        let entries: HashMap<String, String> =
            entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
        let number = |name: &str| entries.get(name).and_then(|value| value.parse::<i64>().ok());
        Self {
            cleanup_policy: entries.get("cleanup.policy").cloned(),
            retention_ms: number("retention.ms"),
            retention_bytes: number("retention.bytes"),
            min_insync_replicas: number("min.insync.replicas").and_then(|count| count.try_into().ok()),
            max_message_bytes: number("max.message.bytes").and_then(|bytes| bytes.try_into().ok()),
        }
    }
}

/// A broker's answer about the settings of topics.
pub(crate) struct Described {
    /// The settings of the topics that exist, as far as the client may read them.
    pub(crate) settings: Known,
    /// Whether those of a topic are missing: the client may not read them, or the topic does not exist.
    pub(crate) is_incomplete: bool,
}

/// Reads the settings of these topics with one request. None if no broker answers it.
pub(crate) async fn describe(admin: &AdminClient<Context>, topics: &[String]) -> Option<Described> {
    // The embedded broker never answers. A client that has metadata knows the id of its cluster.
    let cluster = admin.inner().fetch_cluster_id(Duration::ZERO);
    if is_embedded(cluster.as_deref()) {
        return None;
    }
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let distinct: BTreeSet<&String> = topics.iter().collect();
    let resources: Vec<_> = distinct.into_iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let answers = admin.describe_configs(&resources, &options).await.ok()?;
    let mut described = Described { settings: Known::new(), is_incomplete: false };
    for answer in answers {
        let Ok(resource) = answer else { continue };
        // The client drops the error of a topic. Every topic has settings.
        if resource.entries.is_empty() {
            described.is_incomplete = true;
        } else if let OwnedResourceSpecifier::Topic(name) = resource.specifier {
            described.settings.insert(name, TopicSettings::of(resource.entries));
        }
    }
    Some(described)
}
