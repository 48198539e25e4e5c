//! `GET /plugins`, `POST /plugins/{name}/pause` and `/resume`, and the state that they change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{PluginOverview, Setting};

/// Whether a plugin is handed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IntakeState {
    /// It is handed messages.
    Running,
    /// A person has paused it: it is handed none.
    Paused,
    /// Its breaker is open: it is handed one message at a time, as a probe.
    Resting,
}

impl IntakeState {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Resting => "resting",
        }
    }
}

/// The intake of a plugin: whether it is handed messages, since when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Intake {
    /// A pause takes precedence over a rest.
    pub state: IntakeState,
    /// Since when, in milliseconds since the Unix epoch; null if it is running.
    pub since_ms: Option<i64>,
    /// The user who paused it, as given by the client.
    pub actor: Option<String>,
    /// The reason given for the pause, or the failure code of the latest probe.
    pub reason: Option<String>,
}

impl Intake {
    /// The intake of a plugin that is handed messages.
    pub const RUNNING: Self = Self { state: IntakeState::Running, since_ms: None, actor: None, reason: None };
}

/// A request to pause or resume a plugin.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeChange {
    /// The reason, for the audit log. Required for a pause.
    #[serde(default)]
    pub reason: String,
}

/// The answer to a pause or resumption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedIntake {
    /// The plugin's name.
    pub plugin: String,
    /// Whether anything changed: false if it was paused already, or not paused.
    pub changed: bool,
    /// The intake now. A pause that was there before has its own user and reason.
    pub intake: Intake,
}

/// A plugin of this process: what it is, what it may do, and how it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginDetails {
    /// Its state and its counts.
    #[serde(flatten)]
    pub overview: PluginOverview,
    /// The version of the plugin.
    pub version: String,
    /// SHA-256 of its file, in hexadecimal.
    pub digest: String,
    /// The version of the contract that it implements.
    pub contract: String,
    /// The dead-letter topic.
    pub dead_letter_topic: String,
    /// The consumer group of its retry topics.
    pub retry_group: String,
    /// The retry topics, shortest delay first.
    pub retry_topics: Vec<String>,
    /// The capabilities that it imports.
    pub grants: Vec<Grant>,
    /// The limits of a call.
    pub limits: Vec<Setting>,
    /// What a message shares with others: `message` (nothing), `new-instance` (nothing) or `instance`.
    pub isolation: String,
    /// Why each message has a new instance although instances would be reset; null if they are reset, or need not be.
    pub not_reset: Option<String>,
    /// The order of the messages.
    pub ordering: String,
    /// The maximum number of calls at the same time.
    pub concurrency: u64,
    /// The maximum number of messages in a call.
    pub max_batch: u64,
    /// Instances that wait for a message.
    pub idle_instances: u64,
}

/// A capability that a plugin imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Its name.
    pub capability: String,
    /// Whether it is granted. Each use of one that is not fails the message.
    pub is_granted: bool,
    /// What is granted, or what is missing.
    pub about: String,
}
