//! `GET /settings` and the settings of a plugin.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A table of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingTable {
    /// The heading, such as `[kafka]`; empty for the keys at the top.
    pub heading: String,
    /// A remark, such as the plugin's name and version; usually empty.
    pub remark: String,
    /// The values. Secrets are masked.
    pub settings: Vec<Setting>,
}

/// A value of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value, as TOML.
    pub value: String,
    /// Where it comes from: `file`, `environment`, a flag, `plugin` or `default`.
    pub origin: String,
}
