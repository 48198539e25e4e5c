//! Channels for alerts: a webhook in Slack's message format, and e-mail.

use std::sync::Arc;
use std::time::Duration;

use base::clock::millis;
use base::error::UserError;
use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use sandbox::capabilities::http::client::Client;
use sandbox::capabilities::http::retry_after;
use sandbox::capabilities::mail::mailer::{Email, MailError};
use sandbox::capabilities::mail::servers::Servers;
use sandbox::outgoing::Outgoing;
use serde_json::json;
use settings::OutgoingHttp;
use tokio::time::timeout;

use super::Destinations;
use super::message::{Text, ellipsis};

/// Timeout of the webhook.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of a message, in characters; Slack truncates longer ones.
const MAX_CHARS: usize = 3500;
/// Maximum `Retry-After`.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
const WEBHOOK: &str = "webhook";
const MAIL: &str = "mail";

/// The configured channels.
pub struct Channels {
    webhook: Option<(Client, Url)>,
    mail: Option<(Arc<Servers>, Email)>,
}

/// The reason why a channel did not accept an alert.
#[derive(Debug)]
pub struct Rejection {
    /// The reason, for users. It does not contain the webhook's URL, which is a secret.
    pub reason: String,
    /// Whether retrying is pointless.
    pub is_permanent: bool,
    /// Minimum pause before the next attempt, in milliseconds.
    pub retry_after_ms: Option<i64>,
}

impl Channels {
    /// Sets up the configured channels.
    ///
    /// # Errors
    /// The way to the webhook cannot be set up.
    pub fn new(
        destinations: &Destinations,
        servers: Option<Arc<Servers>>,
        http: &OutgoingHttp,
    ) -> Result<Self, UserError> {
        let client = |url: &Url| Client::of_host(&Outgoing::new(http)?, url);
        let webhook = destinations.webhook.clone();
        let webhook = webhook.map(|url| client(&url).map(|client| (client, url))).transpose()?;
        Ok(Self { webhook, mail: servers.zip(destinations.mail.clone()) })
    }

    /// The channels' names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let webhook = self.webhook.is_some().then_some(WEBHOOK);
        webhook.into_iter().chain(self.mail.is_some().then_some(MAIL))
    }

    /// Sends a test alert to every channel.
    pub async fn test(&self) -> Vec<(&'static str, Result<(), Rejection>)> {
        let mut results = Vec::new();
        for name in self.names() {
            results.push((name, self.send(name, &crate::sortable_id(), &Text::test()).await));
        }
        results
    }

    /// Sends an alert.
    pub(super) async fn send(&self, channel: &str, id: &str, text: &Text) -> Result<(), Rejection> {
        match (channel, &self.webhook, &self.mail) {
            (WEBHOOK, Some((client, url)), _) => post(client, url, text).await,
            (MAIL, _, Some((servers, email))) => mail(servers, email, id, text).await,
            _ => Err(Rejection {
                reason: "the channel is no longer configured".to_owned(),
                is_permanent: true,
                retry_after_ms: None,
            }),
        }
    }
}

async fn post(client: &Client, url: &Url, text: &Text) -> Result<(), Rejection> {
    let failed = |reason: String| Rejection { reason, is_permanent: false, retry_after_ms: None };
    let body = json!({ "text": slack(text) }).to_string();
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body).build();
    let request = request.map_err(|_| failed("the request cannot be built".to_owned()))?;
    let sent = timeout(TIMEOUT, client.execute(request)).await.map_err(|_| failed("timeout".to_owned()))?;
    let response = sent.map_err(|no_answer| failed(no_answer.to_string()))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let is_transient = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        || status.is_server_error();
    Err(Rejection {
        reason: format!("HTTP status {status}"),
        is_permanent: !is_transient,
        retry_after_ms: retry_after(response.headers()).map(|pause| millis(pause.min(MAX_RETRY_AFTER))),
    })
}

/// Formats a message; Slack's markup in a failure's texts is escaped.
fn slack(text: &Text) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let message = format!("*{}*\n{}", escape(&text.subject).replace('*', "∗"), escape(&text.body));
    ellipsis(&message, MAX_CHARS)
}

async fn mail(servers: &Servers, email: &Email, id: &str, text: &Text) -> Result<(), Rejection> {
    let email = Email { subject: text.subject.clone(), text: Some(text.body.clone()), ..email.clone() };
    match servers.send(&email, id).await {
        Ok(receipt) => {
            for refused in receipt.refused {
                tracing::warn!(
                    recipient = refused.recipient,
                    "an alert was not accepted for a recipient: {}",
                    refused.response
                );
            }
            Ok(())
        }
        // It may have arrived; a duplicate is better than none.
        Err(error) => Err(Rejection {
            reason: error.to_string(),
            is_permanent: matches!(error, MailError::Permanent(_)),
            retry_after_ms: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_texts_cannot_mention_users_or_channels() {
        let text = Text {
            subject: "host: <!channel>".to_owned(),
            body: "<@U1> & <https://evil.example|click>".to_owned(),
        };
        assert_eq!(
            slack(&text),
            "*host: &lt;!channel&gt;*\n&lt;@U1&gt; &amp; &lt;https://evil.example|click&gt;"
        );
        let long = Text { body: "가".repeat(10_000), ..text };
        assert!(slack(&long).chars().count() <= MAX_CHARS + 1);
    }
}
