//! Failures: dead letters with the same code, plugin, digest and cause.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailureState {
    /// Needs attention.
    Open,
    /// Marked as fixed. A new dead letter reopens it.
    Closed,
}

impl FailureState {
    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// A failure. Timestamps are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The failure code.
    pub code: String,
    /// The plugin, name@version.
    pub plugin: String,
    /// The plugin's digest.
    pub digest: String,
    /// Time of the first dead letter.
    pub first_seen_ms: i64,
    /// Time of the latest dead letter.
    pub last_seen_ms: i64,
    /// What the details of the dead letters have in common; empty if they have nothing in common.
    #[serde(default)]
    pub cause: String,
    /// Detail of the latest dead letter.
    pub detail: String,
    /// A note for other users.
    pub note: String,
    /// Whether the failure is open or closed.
    pub state: FailureState,
    /// Number of open dead letters.
    pub open: u64,
    /// Number of replayed dead letters.
    pub replayed: u64,
    /// Number of discarded dead letters.
    pub discarded: u64,
    /// Number of dead letters that were replaced by an edited copy.
    #[serde(default)]
    pub edited: u64,
    /// Number of dead letters in the last hour.
    pub recent: u64,
    /// Time of the oldest open dead letter.
    pub oldest_open_ms: Option<i64>,
}

/// A change to a failure. Omitted fields stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailureUpdate {
    /// The new note; at most 4,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The new state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<FailureState>,
    /// The reason, for the audit log.
    #[serde(default)]
    pub reason: String,
}
