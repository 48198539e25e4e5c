//! `GET /overview`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DestinationOverview, Intake};

/// The state of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// An entry per plugin.
    pub plugins: Vec<PluginOverview>,
    /// Open dead letters of all topics.
    pub open_dead_letters: u64,
    /// The mail servers and HTTP servers of this process.
    pub destinations: Vec<DestinationOverview>,
}

/// The state of a plugin in this process. Every process counts from its own start, for its own partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginOverview {
    /// The plugin's name, by which it is paused and resumed.
    pub name: String,
    /// name@version
    pub plugin: String,
    /// Whether it is handed messages.
    pub intake: Intake,
    /// The plugin's topic.
    pub topic: String,
    /// The plugin's consumer group.
    pub group: String,
    /// Messages handled, skipped ones included.
    pub done: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Messages written to the dead-letter topic.
    pub dead_letters: u64,
    /// Messages waiting in the retry topics; null while Kafka does not answer.
    pub retry_waiting: Option<u64>,
    /// Consumer lag on the plugin's topic; null while Kafka does not answer.
    pub lag: Option<u64>,
}
