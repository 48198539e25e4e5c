//! Validates the `[alerts]` section of the configuration.

use base::error::UserError;
use reqwest::Url;
use sandbox::capabilities::mail::mailer::{Address, Email, check};
use settings::AlertSettings;

use super::{Destinations, Thresholds};

impl Thresholds {
    /// Reads and validates the thresholds.
    ///
    /// # Errors
    /// A value is out of range.
    pub fn new(settings: &AlertSettings) -> Result<Self, UserError> {
        let default = Self::default();
        let thresholds = Self {
            wait: settings.wait.unwrap_or(default.wait),
            repeat: settings.repeat.unwrap_or(default.repeat),
            growth: settings.growth.unwrap_or(default.growth),
            age: settings.age.unwrap_or(default.age),
        };
        if thresholds.growth < 2 {
            return Err(UserError::usage("alerts.growth: at least 2"));
        }
        Ok(thresholds)
    }
}

impl Destinations {
    /// Reads and validates the destinations; None if there are none.
    ///
    /// # Errors
    /// An address or a URL is invalid, or no mail server is configured.
    pub fn new(settings: &AlertSettings, has_mail: bool) -> Result<Option<Self>, UserError> {
        let webhook = settings.webhook.as_ref().map(|webhook| webhook.read("alerts.webhook")).transpose()?;
        let webhook = webhook.map(|text| {
            // The URL is a secret: the error must not contain it.
            url(&text)
                .ok_or_else(|| UserError::usage("alerts.webhook: not a URL with the scheme https or http"))
        });
        let webhook = webhook.transpose()?;
        let mail = mail(settings, has_mail)?;
        let console = settings.console.as_deref().map(|text| {
            let console = url(text).map(|_| text.trim_end_matches('/').to_owned());
            console.ok_or_else(|| {
                UserError::usage(format!("alerts.console: {text:?} is not a URL"))
                    .help("example: console = \"https://host.example.com\"")
            })
        });
        let console = console.transpose()?;
        Ok((webhook.is_some() || mail.is_some()).then_some(Self { webhook, mail, console }))
    }
}

fn mail(settings: &AlertSettings, has_mail: bool) -> Result<Option<Email>, UserError> {
    if settings.mail_to.is_empty() {
        return Ok(None);
    }
    let from = settings.mail_from.as_ref().ok_or_else(|| {
        UserError::usage("alerts.mail-to requires alerts.mail-from")
            .help("example: mail-from = \"host@example.com\"")
    })?;
    if !has_mail {
        return Err(UserError::usage("alerts.mail-to requires a mail server")
            .help("configure it: [mail] url = \"smtp://mail.example.com\", or --mail-url"));
    }
    let address = |email: &String| Address { name: None, email: email.clone() };
    let email = Email {
        sender: address(from),
        to: settings.mail_to.iter().map(address).collect(),
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: "host".to_owned(),
        text: Some(String::new()),
        html: None,
        headers: vec![],
        attachments: vec![],
    };
    check(&email, "alert").map_err(|error| UserError::usage(format!("alerts: {error}")))?;
    Ok(Some(email))
}

fn url(text: &str) -> Option<Url> {
    Url::parse(text.trim()).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
}
