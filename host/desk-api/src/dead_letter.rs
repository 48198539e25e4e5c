//! Dead letters.

use base::bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::filter::Filter;
use crate::outcome::ReplayItem;

/// The state of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum DeadLetterState {
    /// Not handled yet
    Open,
    /// Sent back for another delivery
    Replayed,
    /// Discarded by a user
    Discarded,
    /// Replaced by an edited copy
    Edited,
}

impl DeadLetterState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Open, Self::Replayed, Self::Discarded, Self::Edited];

    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
            Self::Edited => "edited",
        }
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The location of a Kafka record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record header: name and value.
pub type Header = (Bytes, Option<Bytes>);

/// A dead letter with its payload. Timestamps are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The state.
    pub state: DeadLetterState,
    /// Time of the last state change.
    pub state_since_ms: i64,
    /// Id of the audit log entry for the last state change.
    pub audit_entry: Option<String>,
    /// Location of the dead-letter record; null for an edited copy.
    pub location: Option<Location>,
    /// Time at which the message was dead-lettered.
    pub failed_ms: i64,
    /// Time of the message's first failure, if known.
    pub first_failed_ms: Option<i64>,
    /// Time at which the desk stored the dead letter.
    pub ingested_ms: i64,
    /// The message id.
    pub message: String,
    /// Location of the original message.
    pub source: Location,
    /// Timestamp of the original message.
    pub source_timestamp_ms: Option<i64>,
    /// The consumer group in which the message failed; empty if the record does not name one.
    pub consumer_group: String,
    /// Id of the failure.
    pub failure: String,
    /// The plugin, name@version; the consumer group for a dead letter of another consumer.
    pub plugin: String,
    /// The plugin's digest; empty for a dead letter of another consumer.
    pub digest: String,
    /// The failure code; the exception's class for a dead letter of another consumer.
    pub code: String,
    /// The failure's detail.
    pub detail: String,
    /// The kind of failure, in the form of a class name.
    pub exception: String,
    /// The backtrace, or empty.
    pub backtrace: String,
    /// Number of failed deliveries; 0 if the record does not contain it.
    pub attempts: u32,
    /// Number of earlier replays of the message.
    pub replays: u32,
    /// The key; null for a null key.
    pub key: Option<Bytes>,
    /// The value; null for a tombstone, or if it was cut (see `value_cut`).
    pub value: Option<Bytes>,
    /// All headers, in order.
    #[schema(value_type = Vec<Vec<Option<Bytes>>>)]
    pub headers: Vec<Header>,
    /// Original size of the value in bytes, if the record had no room for it.
    pub value_cut: Option<u64>,
    /// Id of the dead letter of which this is an edited copy.
    pub edited_from: Option<String>,
    /// Id of the latest edited copy of this dead letter. Not part of an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_as: Option<String>,
    /// Id of the dead letter whose replay failed again and led to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_again_of: Option<String>,
    /// What became of it in its last replay. Not part of an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ReplayItem>,
}

/// A dead letter in a list. Timestamps are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterSummary {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The state.
    pub state: DeadLetterState,
    /// Time at which the message was dead-lettered.
    pub failed_ms: i64,
    /// Topic of the original message.
    pub source: String,
    /// The message id.
    pub message: String,
    /// The consumer group in which the message failed.
    pub consumer_group: String,
    /// Id of the failure.
    pub failure: String,
    /// The plugin, name@version.
    pub plugin: String,
    /// The failure code.
    pub code: String,
    /// The failure's detail.
    pub detail: String,
    /// Number of failed deliveries.
    pub attempts: u32,
    /// Number of earlier replays of the message.
    pub replays: u32,
    /// What became of it in its last replay.
    #[serde(default)]
    pub outcome: Option<ReplayItem>,
}

/// A number of dead letters: those that match a filter, or those that a request has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterCount {
    /// The number.
    pub dead_letters: u64,
}

/// Selects dead letters to discard or restore.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// The dead letters.
    #[serde(default)]
    pub filter: Filter,
    /// The reason, for the audit log; required to discard.
    #[serde(default)]
    pub reason: String,
    /// Confirms that an empty filter means every dead letter.
    #[serde(default)]
    pub all: bool,
}

/// The changed fields of an edited copy. Omitted fields are copied from the original.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// The key; `null` for a null key.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Bytes>)]
    pub key: Option<Option<Bytes>>,
    /// The value; `null` for a tombstone.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Bytes>)]
    pub value: Option<Option<Bytes>>,
    /// All headers, in order: pairs of name and value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<Option<Bytes>>>>)]
    pub headers: Option<Vec<Header>>,
    /// The reason, for the audit log.
    #[serde(default)]
    pub reason: String,
}

/// The result of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportResult {
    /// Dead letters added.
    pub new: u64,
    /// Dead letters that existed already and were left unchanged.
    pub known: u64,
}

/// Tells a `null` from an omitted field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Bytes>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_omitted_fields_of_an_edit_differ() {
        let edit: EditRequest = serde_json::from_str(r#"{"key":null,"reason":"x"}"#).expect("an edit");
        assert_eq!((edit.key.clone(), edit.value.clone()), (Some(None), None));
        assert_eq!(serde_json::to_string(&edit).expect("JSON"), r#"{"key":null,"reason":"x"}"#);
    }
}
