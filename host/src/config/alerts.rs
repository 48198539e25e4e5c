//! `[alerts]`: who is told what fails.

use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Value;
use crate::desk::alerts::{Places, Thresholds};
use crate::error::Failure;
use crate::mail::{Address, Email, check};

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

impl AlertSettings {
    /// When something is reported, checked.
    ///
    /// # Errors
    /// It is not possible.
    pub fn thresholds(&self) -> Result<Thresholds, Failure> {
        let default = Thresholds::default();
        let thresholds = Thresholds {
            wait: self.wait.unwrap_or(default.wait),
            repeat: self.repeat.unwrap_or(default.repeat),
            growth: self.growth.unwrap_or(default.growth),
            age: self.age.unwrap_or(default.age),
        };
        if thresholds.growth < 2 {
            return Err(Failure::usage("alerts.growth: 2 or more"));
        }
        Ok(thresholds)
    }

    /// Where alerts go, checked; None: nowhere.
    ///
    /// # Errors
    /// An address or a URL is none, or there is no mail server.
    pub fn places(&self, has_mail: bool) -> Result<Option<Places>, Failure> {
        let webhook = self.webhook.as_ref().map(|webhook| webhook.read("alerts.webhook")).transpose()?;
        let webhook = webhook.map(|text| {
            // The URL is a secret: it is not repeated.
            url(&text).ok_or_else(|| {
                Failure::usage("alerts.webhook: not a URL that begins with https:// or http://")
            })
        });
        let webhook = webhook.transpose()?;
        let mail = self.mail(has_mail)?;
        let console = self.console.as_deref().map(|text| {
            let console = url(text).map(|_| text.trim_end_matches('/').to_owned());
            console.ok_or_else(|| {
                Failure::usage(format!("alerts.console: {text:?} is not a URL"))
                    .help("as in console = \"https://host.example.com\"")
            })
        });
        let console = console.transpose()?;
        Ok((webhook.is_some() || mail.is_some()).then_some(Places { webhook, mail, console }))
    }

    fn mail(&self, has_mail: bool) -> Result<Option<Email>, Failure> {
        if self.mail_to.is_empty() {
            return Ok(None);
        }
        let from = self.mail_from.as_ref().ok_or_else(|| {
            Failure::usage("alerts.mail-to needs a sender").help("as in mail-from = \"host@example.com\"")
        })?;
        if !has_mail {
            return Err(Failure::usage("alerts.mail-to needs a mail server")
                .help("name it: [mail] url = \"smtp://mail.example.com\", or --mail-url"));
        }
        let address = |email: &String| Address { name: None, email: email.clone() };
        let email = Email {
            sender: address(from),
            to: self.mail_to.iter().map(address).collect(),
            cc: vec![],
            bcc: vec![],
            reply_to: None,
            subject: "host".to_owned(),
            text: Some(String::new()),
            html: None,
            headers: vec![],
            attachments: vec![],
        };
        check(&email, "alert").map_err(|error| Failure::usage(format!("alerts: {error}")))?;
        Ok(Some(email))
    }
}

fn url(text: &str) -> Option<Url> {
    Url::parse(text.trim()).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
}
