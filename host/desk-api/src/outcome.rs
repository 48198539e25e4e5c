//! What became of a dead letter in a replay.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a dead letter in a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayItemState {
    /// Not sent yet.
    Waiting,
    /// Sent, without an outcome yet.
    Sent,
    /// Its first attempt succeeded.
    Handled,
    /// Its first attempt failed.
    Failed,
    /// Finished with an unknown outcome.
    Unknown,
    /// Not sent; see `skip_reason`.
    Skipped,
}

impl ReplayItemState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Sent, Self::Handled, Self::Failed, Self::Unknown, Self::Skipped];

    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Handled => "handled",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// A dead letter of a replay. Timestamps are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayItem {
    /// Id of the replay.
    pub replay: String,
    /// Its position in the replay, from 1.
    pub position: i64,
    /// Id of the dead letter.
    pub dead_letter: String,
    /// The state.
    pub state: ReplayItemState,
    /// Id of the dead letter that the message became when it had failed again. Null while it is retried.
    pub failed_as: Option<String>,
    /// The reason why it was skipped.
    pub skip_reason: Option<String>,
    /// Time at which it was sent.
    pub sent_ms: Option<i64>,
    /// Time of its outcome.
    pub ended_ms: Option<i64>,
    /// The topic it was sent to.
    pub topic: Option<String>,
    /// The partition it was sent to.
    pub partition: Option<i32>,
    /// Its offset, if the broker returned it.
    pub offset: Option<i64>,
}
