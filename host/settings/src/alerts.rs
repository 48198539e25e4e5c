//! `[alerts]`: who is told what fails.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// Alerts about dead letters: on a new failure, on growth, on the age of the oldest open letter, and on
/// recovery. Without `webhook` and `mail-to` there are none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AlertSettings {
    /// A webhook that takes Slack's `{"text": "..."}`. A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "https://hooks.slack.com/services/T0/B0/secret")]
    pub webhook: Option<Value>,
    /// Who gets an e-mail, through the host's mail server.
    #[schemars(example = ["oncall@example.com"])]
    pub mail_to: Vec<String>,
    /// As whom; needed with `mail-to`.
    #[schemars(example = "host@example.com")]
    pub mail_from: Option<String>,
    /// Where people reach this host's console: links in alerts begin so.
    #[schemars(example = "https://host.example.com")]
    pub console: Option<String>,
    /// For how long letters are open before they are reported, so that what comes together is one alert; 10
    /// seconds by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "10s")]
    pub wait: Option<Duration>,
    /// A failure is not reported again sooner, unless it is its recovery; 1 hour by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1h")]
    pub repeat: Option<Duration>,
    /// How many times as many letters must be open as when it was reported last, 2 or more; 10 by default.
    #[schemars(example = 10)]
    pub growth: Option<u64>,
    /// The age of a failure's oldest open letter that is reported; 1 day by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1d")]
    pub age: Option<Duration>,
}
