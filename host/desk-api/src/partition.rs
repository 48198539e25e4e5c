//! `GET /partitions`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartitionState {
    /// It is read, or nothing is left to read.
    Reading,
    /// Nothing is read: the messages that were read and are not finished have reached a limit.
    Resting,
    /// Nothing is read: Kafka does not answer where reading begins or does not deliver messages, or a failed message
    /// cannot be published.
    Blocked,
    /// It is being handed over to another member: what is in progress ends, and nothing is read.
    Draining,
}

impl PartitionState {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Resting => "resting",
            Self::Blocked => "blocked",
            Self::Draining => "draining",
        }
    }
}

/// A partition that is assigned to this process, as it was at most a second ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionOverview {
    /// The plugin's name, without its version.
    pub plugin: String,
    /// The plugin's topic, or one of its retry topics.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Whether it is read.
    pub state: PartitionState,
    /// Why nothing is read; null if it is read or handed over.
    pub reason: Option<String>,
    /// Since when nothing has been read, in milliseconds since the Unix epoch, to the second; null if it is read or
    /// handed over.
    pub since_ms: Option<i64>,
    /// The offset of the first unfinished message: the position that is committed.
    pub offset: i64,
    /// Offsets from the first unfinished message to the end, as Kafka told last.
    pub lag: u64,
    /// Calls and publishes in progress.
    pub in_progress: u64,
    /// Keys whose messages are held after a dead letter (`on-dead = "hold"`).
    pub held_keys: u64,
    /// The member's id in its consumer group, by which Kafka lists it.
    pub member: Option<String>,
}
