//! `[alerts]`: the recipients of alerts, and when failures are reported.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// Alerts about dead letters: a new failure, growth, the age of the oldest open dead letter, and recovery.
/// Without `webhook` and `mail-to`, there are no alerts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AlertSettings {
    /// The URL of a webhook that accepts Slack's `{"text": "..."}`. A text, `{ env = "NAME" }` or
    /// `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "https://hooks.slack.com/services/T0/B0/secret")]
    pub webhook: Option<Value>,
    /// The recipients of alert e-mails, which are sent through the host's mail server.
    #[schemars(example = ["oncall@example.com"])]
    pub mail_to: Vec<String>,
    /// The sender of alert e-mails. Required with `mail-to`.
    #[schemars(example = "host@example.com")]
    pub mail_from: Option<String>,
    /// The base URL of this host's console as its users reach it. Links in alerts begin with it; without it,
    /// alerts contain a command instead.
    #[schemars(example = "https://host.example.com")]
    pub console: Option<String>,
    /// How long dead letters are open before they are reported, so that a burst of failures makes one alert.
    /// Default: 10 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "10s")]
    pub wait: Option<Duration>,
    /// The minimum time between two alerts about one failure, except for its recovery. Default: 1 h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1h")]
    pub repeat: Option<Duration>,
    /// The factor by which the number of a failure's open dead letters must grow after an alert before the
    /// failure is reported again; 2 or more. Default: 10.
    #[schemars(example = 10)]
    pub growth: Option<u64>,
    /// The age of a failure's oldest open dead letter at which the failure is reported again. Default: 1 day.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1d")]
    pub age: Option<Duration>,
}
