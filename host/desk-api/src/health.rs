//! `GET /health`: the parts that a host depends on, each with its state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How well something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// It works, as far as is known.
    Ok,
    /// It waits and continues by itself, or a person has paused it.
    Waiting,
    /// It does not work.
    Down,
}

impl HealthState {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Down => "down",
        }
    }
}

/// A kind of part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// The Kafka cluster.
    Kafka,
    /// The store of effects and dead letters.
    Store,
    /// A mail server, or the server of a URL.
    Destination,
    /// A consumer group, with the member of this process.
    Group,
    /// Partitions of a topic that have the same state for the same reason.
    Partitions,
    /// A plugin that is not handed messages as usual.
    Plugin,
}

impl PartKind {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Store => "store",
            Self::Destination => "destination",
            Self::Group => "group",
            Self::Partitions => "partitions",
            Self::Plugin => "plugin",
        }
    }
}

/// A part, as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct HealthPart {
    /// Its kind.
    pub kind: PartKind,
    /// The brokers, the store's URL, the destination, the group, the topic or the plugin.
    pub name: String,
    /// Its state.
    pub state: HealthState,
    /// Since when it has this state, in milliseconds since the Unix epoch, if that is known.
    pub since_ms: Option<i64>,
    /// Why; null if it works.
    pub reason: Option<String>,
    /// The number of partitions, or of effects that wait for a destination; null for other kinds.
    pub count: Option<u64>,
}

/// The health of this process and of everything that it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// The worst state of all parts.
    pub state: HealthState,
    /// Whether `/readyz` answers 200: every consumer group has been joined, and Kafka answers.
    pub ready: bool,
    /// Kafka, the store, each destination, each group; then partitions that are not read and plugins that are not handed
    /// messages as usual.
    pub parts: Vec<HealthPart>,
}
