//! `GET /topics` and `GET /groups`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TopicUse {
    /// The topic that a plugin handles.
    Source,
    /// A topic in which failed messages wait for their next delivery.
    Retry,
    /// The topic for messages that have finally failed.
    DeadLetter,
}

impl TopicUse {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Retry => "retry",
            Self::DeadLetter => "dead-letter",
        }
    }
}

/// A topic of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicOverview {
    /// The plugin's name, without its version.
    pub plugin: String,
    /// The topic.
    pub topic: String,
    /// What it is for.
    #[serde(rename = "use")]
    pub used_as: TopicUse,
    /// The consumer group that reads it.
    pub group: String,
    /// Partitions that this process reads. The dead-letter topic is read by the desk of one host.
    pub partitions: u64,
    /// Lag of these partitions; null while Kafka does not answer, and for the dead-letter topic.
    pub lag: Option<u64>,
    /// For how long Kafka keeps its records, in milliseconds; negative: for ever. Null if it is unknown.
    pub retention_ms: Option<i64>,
    /// The retention that it needs, in milliseconds: the longest wait of a retry, and an absence of the host for three
    /// days. Null for the source topic.
    pub needed_retention_ms: Option<u64>,
}

impl TopicOverview {
    /// Whether Kafka may remove records before they are handled.
    pub fn is_short(&self) -> bool {
        let both = self.retention_ms.and_then(|kept| u64::try_from(kept).ok()).zip(self.needed_retention_ms);
        both.is_some_and(|(kept, needed)| kept < needed)
    }
}

/// A consumer group of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupOverview {
    /// The plugin's name, without its version.
    pub plugin: String,
    /// The group.
    pub group: String,
    /// Kafka's word for its state, such as `Stable`; null if Kafka did not tell in time.
    pub state: Option<String>,
    /// Why Kafka did not tell; null if it did.
    pub reason: Option<String>,
    /// Its members on all hosts. Empty for a group with the newer protocol, whose members cannot be listed.
    pub members: Vec<GroupMember>,
}

/// A member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupMember {
    /// The id in its group.
    pub id: String,
    /// The client's id.
    pub client: String,
    /// The client's address.
    pub address: String,
    /// Whether it is this process.
    pub is_own: bool,
    /// The partitions that are assigned to it.
    pub partitions: Vec<AssignedPartitions>,
}

/// The partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedPartitions {
    /// The topic.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}
