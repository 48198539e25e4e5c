//! `GET /waiting`, and `POST /waiting/run-now`, `/postpone` and `/give-up`.

use base::bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Maximum number of records in a decision.
pub const MAX_WAITING_RECORDS: usize = 1000;

/// The names of the query parameters of a [`WaitingFilter`].
pub const WAITING_PARAMETERS: [&str; 3] = ["plugin", "code", "topic"];

/// Selects messages that wait for a retry; all conditions must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitingFilter {
    /// The plugin's name, without its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The code of the latest failure; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The retry topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

impl WaitingFilter {
    /// The conditions as query parameters.
    pub fn query_pairs(&self) -> Vec<(&'static str, String)> {
        let [plugin, code, topic] = WAITING_PARAMETERS;
        let pairs = [(plugin, &self.plugin), (code, &self.code), (topic, &self.topic)];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// The messages that wait for a retry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingList {
    /// As of when, in milliseconds since the Unix epoch; null if the retry topics were not read yet.
    pub as_of_ms: Option<i64>,
    /// The number of records that were not read yet: the numbers are too low by up to this.
    pub unread: u64,
    /// Why the retry topics could not be read last, by plugin.
    pub problems: Vec<String>,
    /// The number of messages that match.
    pub total: u64,
    /// These messages by plugin, code and retry topic, the most first.
    pub groups: Vec<WaitingGroup>,
    /// Those of them that are due first.
    pub messages: Vec<WaitingMessage>,
}

/// The messages of a plugin that wait in one retry topic after failures with one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingGroup {
    /// The plugin's name, without its version.
    pub plugin: String,
    /// The code of the latest failure.
    pub code: String,
    /// The retry topic.
    pub topic: String,
    /// The delay of the retry topic in milliseconds.
    pub delay_ms: Option<u64>,
    /// The number of messages.
    pub messages: u64,
    /// The number of those that failed for the first time within the last five minutes.
    pub recent: u64,
    /// The number of those about which somebody has decided.
    pub decided: u64,
    /// When the first of them is due, in milliseconds since the Unix epoch.
    pub next_due_ms: i64,
    /// When the last of them is due, in milliseconds since the Unix epoch.
    pub last_due_ms: i64,
    /// When the first of them failed first, in milliseconds since the Unix epoch; null if it is not known.
    pub first_failed_ms: Option<i64>,
}

/// A message that waits for a retry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingMessage {
    /// Names it in decisions: retry topic, partition and offset, separated by slashes.
    pub record: String,
    /// The plugin's name, without its version.
    pub plugin: String,
    /// The message's id; of a long one the first 256 bytes.
    pub message: String,
    /// The message's key; of a long one the first 64 bytes.
    pub key: Option<Bytes>,
    /// The code of the latest failure.
    pub code: String,
    /// The description of the latest failure; of a long one the first 160 bytes.
    pub detail: String,
    /// The retry topic.
    pub topic: String,
    /// The number of the next delivery.
    pub attempt: u32,
    /// When it is due, in milliseconds since the Unix epoch, as decided if somebody has decided.
    pub due_ms: i64,
    /// The time of the first failure in milliseconds since the Unix epoch; null if it is not known.
    pub first_failed_ms: Option<i64>,
    /// What somebody has decided about it.
    pub decision: Option<WaitingDecision>,
}

/// What is decided about messages that wait for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingAction {
    /// They are due now.
    RunNow,
    /// They are due at another time.
    Postpone,
    /// They become dead letters, without another attempt.
    GiveUp,
}

impl WaitingAction {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RunNow, Self::Postpone, Self::GiveUp];

    /// The name in paths and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunNow => "run-now",
            Self::Postpone => "postpone",
            Self::GiveUp => "give-up",
        }
    }

    /// The action of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// What has become of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionState {
    /// The host that reads the message's partition has not answered yet.
    Decided,
    /// The message was still waiting, and the decision applies.
    Obeyed,
    /// The message had started already.
    TooLate,
}

/// A decision about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingDecision {
    /// What was decided.
    pub action: WaitingAction,
    /// What has become of it.
    pub state: DecisionState,
    /// The user's name, as given by the client.
    pub actor: String,
    /// The reason given.
    pub reason: String,
    /// When it was decided, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A decision about messages that wait: about some of them, or about all that match a filter.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitingRequest {
    /// The records of the messages, 1,000 at most.
    #[serde(default)]
    pub records: Vec<String>,
    /// Selects messages; only with `count`.
    #[serde(default)]
    pub filter: WaitingFilter,
    /// The number of messages that may match. If more do, nothing is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// To postpone: the new due time in milliseconds since the Unix epoch, at most 24 hours ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// To postpone: the time in milliseconds that is added to each due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_ms: Option<i64>,
    /// The reason, for the audit log; required to give up.
    #[serde(default)]
    pub reason: String,
}

/// The answer to a decision. Hosts that do not answer within a few seconds obey later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingAnswer {
    /// The number of messages about which the decision is stored.
    pub decided: u64,
    /// The number of those that were still waiting: it applies to them.
    pub obeyed: u64,
    /// The number of those that had started already: it does not apply to them.
    pub too_late: u64,
    /// The number of those for which somebody else has decided otherwise since.
    pub replaced: u64,
    /// The number of those for which no host has answered yet.
    pub unanswered: u64,
    /// The number of selected records that no longer wait.
    pub gone: u64,
}
