//! `POST /plugins/{name}/pause` and `/resume`, and the state that they change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
