//! What `[alerts]` says, checked.

use base::error::UserError;
use reqwest::Url;
use sandbox::capabilities::mail::mailer::{Address, Email, check};
use settings::AlertSettings;

use super::{Places, Thresholds};

impl Thresholds {
    /// When something is reported, checked.
    ///
    /// # Errors
    /// It is not possible.
    pub fn new(settings: &AlertSettings) -> Result<Self, UserError> {
        let default = Self::default();
        let thresholds = Self {
            wait: settings.wait.unwrap_or(default.wait),
            repeat: settings.repeat.unwrap_or(default.repeat),
            growth: settings.growth.unwrap_or(default.growth),
            age: settings.age.unwrap_or(default.age),
        };
        if thresholds.growth < 2 {
            return Err(UserError::usage("alerts.growth: 2 or more"));
        }
        Ok(thresholds)
    }
}

impl Places {
    /// Where alerts go, checked; None: nowhere.
    ///
    /// # Errors
    /// An address or a URL is none, or there is no mail server.
    pub fn new(settings: &AlertSettings, has_mail: bool) -> Result<Option<Self>, UserError> {
        let webhook = settings.webhook.as_ref().map(|webhook| webhook.read("alerts.webhook")).transpose()?;
        let webhook = webhook.map(|text| {
            // The URL is a secret: it is not repeated.
            url(&text).ok_or_else(|| {
                UserError::usage("alerts.webhook: not a URL that begins with https:// or http://")
            })
        });
        let webhook = webhook.transpose()?;
        let mail = mail(settings, has_mail)?;
        let console = settings.console.as_deref().map(|text| {
            let console = url(text).map(|_| text.trim_end_matches('/').to_owned());
            console.ok_or_else(|| {
                UserError::usage(format!("alerts.console: {text:?} is not a URL"))
                    .help("as in console = \"https://host.example.com\"")
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
        UserError::usage("alerts.mail-to needs a sender").help("as in mail-from = \"host@example.com\"")
    })?;
    if !has_mail {
        return Err(UserError::usage("alerts.mail-to needs a mail server")
            .help("name it: [mail] url = \"smtp://mail.example.com\", or --mail-url"));
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
