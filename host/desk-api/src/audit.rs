//! The audit log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Time of the action, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The user's name, as given by the client.
    pub actor: String,
    /// `replay`, `discard`, `restore`, `edit`, `note`, `close`, `reopen`, `pause`, `resume`, `cancel`, `import`,
    /// `export`, `try`, `pause-plugin`, `resume-plugin`, `release-keys`, `run-now`, `postpone` or `give-up`.
    pub action: String,
    /// The reason given.
    pub reason: String,
    /// Id of the dead letter, if the action concerned a single one.
    pub dead_letter: Option<String>,
    /// Id of the failure that the action concerned.
    pub failure: Option<String>,
    /// Id of the replay that the action started or changed.
    pub replay: Option<String>,
    /// Name of the plugin that the action paused or resumed, whose held keys it released, or whose retries it concerned.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The filter that selected the dead letters, or what selected the retries and their number, as JSON.
    pub filter: Option<String>,
    /// Number of dead letters affected.
    pub dead_letters: u64,
}
