//! `[alerts]`: who is notified of failures.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// Alerts about dead letters: a new failure, growth, the age of the oldest open dead letter, and recovery.
/// Without `webhook` and `mail-to` there are no alerts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AlertSettings {
    /// A webhook that accepts Slack's `{"text": "..."}`. A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "https://hooks.slack.com/services/T0/B0/secret")]
    pub webhook: Option<Value>,
    /// The recipients of e-mail. It is sent through the mail server of the host.
    #[schemars(example = ["oncall@example.com"])]
    pub mail_to: Vec<String>,
    /// The sender of e-mail; required with `mail-to`.
    #[schemars(example = "host@example.com")]
    pub mail_from: Option<String>,
    /// The URL of this host's console, for links in alerts.
    #[schemars(example = "https://host.example.com")]
    pub console: Option<String>,
    /// How long dead letters are open before they are reported, so that failures of the same moment make one
    /// alert. Default: 10 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "10s")]
    pub wait: Option<Duration>,
    /// The minimum time between two alerts about one failure, except for its recovery. Default: 1 h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1h")]
    pub repeat: Option<Duration>,
    /// The factor by which the number of open dead letters of a failure must grow since its last alert, 2 or
    /// more. Default: 10.
    #[schemars(example = 10)]
    pub growth: Option<u64>,
    /// The age at which a failure's oldest open dead letter is reported. Default: 1 day.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1d")]
    pub age: Option<Duration>,
}
