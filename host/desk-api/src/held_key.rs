//! `GET /held-keys`, and `POST /plugins/{name}/release`.

use base::bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key whose messages are held after a dead letter (`on-dead = "hold"`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldKey {
    /// The id, by which it is released: 32 hexadecimal digits.
    pub id: String,
    /// The plugin's name, without its version.
    pub plugin: String,
    /// The plugin's topic.
    pub topic: String,
    /// The partition of the dead letter in that topic.
    pub partition: i32,
    /// The offset of the dead letter in that topic.
    pub offset: i64,
    /// The messages' key; of a long one the first 1,024 bytes.
    pub key: Bytes,
    /// The failure code of the dead letter.
    pub code: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
}

/// A request to release held keys of a plugin: some by their ids, or all.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The ids of the keys.
    #[serde(default)]
    pub ids: Vec<String>,
    /// Whether all keys are released.
    #[serde(default)]
    pub all: bool,
    /// The reason, for the audit log.
    #[serde(default)]
    pub reason: String,
}

/// The answer to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Released {
    /// The plugin's name.
    pub plugin: String,
    /// The number of keys that were held and are released.
    pub released: u64,
}
