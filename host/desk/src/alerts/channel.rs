//! Where alerts go: a webhook in Slack's form, and e-mail.

use std::sync::Arc;
use std::time::Duration;

use base::error::UserError;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use sandbox::capabilities::http::client::tls;
use sandbox::capabilities::mail::mailer::{Email, MailError, Mailer};
use serde_json::json;

use super::Places;
use super::message::Text;

/// How long the webhook may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest text that Slack shows whole, in characters.
const LONGEST: usize = 3500;
const WEBHOOK: &str = "webhook";
const MAIL: &str = "mail";

/// Where alerts go.
pub struct Channels {
    webhook: Option<(reqwest::Client, Url)>,
    mail: Option<(Arc<Mailer>, Email)>,
}

/// Why a channel did not take an alert.
#[derive(Debug)]
pub struct Refused {
    /// For a person; without the webhook's URL, which is a secret.
    pub what: String,
    /// Whether another try is worth nothing.
    pub permanent: bool,
    /// When to try again at the earliest, in milliseconds from now.
    pub after_ms: Option<i64>,
}

impl Channels {
    /// Those that are given.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(places: &Places, mailer: Option<Arc<Mailer>>) -> Result<Self, UserError> {
        let webhook = places.webhook.clone().map(|url| client().map(|client| (client, url))).transpose()?;
        Ok(Self { webhook, mail: mailer.zip(places.mail.clone()) })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let webhook = self.webhook.is_some().then_some(WEBHOOK);
        webhook.into_iter().chain(self.mail.is_some().then_some(MAIL))
    }

    /// Sends a test over all of them; what each says against it.
    pub async fn test(&self) -> Vec<(&'static str, Result<(), Refused>)> {
        let mut answers = Vec::new();
        for name in self.names() {
            answers.push((name, self.send(name, &super::new_id(), &Text::test()).await));
        }
        answers
    }

    /// Sends an alert.
    pub(super) async fn send(&self, channel: &str, id: &str, text: &Text) -> Result<(), Refused> {
        match (channel, &self.webhook, &self.mail) {
            (WEBHOOK, Some((client, url)), _) => post(client, url, text).await,
            (MAIL, _, Some((mailer, email))) => mail(mailer, email, id, text).await,
            _ => Err(Refused {
                what: "there is no such channel any more".to_owned(),
                permanent: true,
                after_ms: None,
            }),
        }
    }
}

fn client() -> Result<reqwest::Client, UserError> {
    let failed =
        |error: &dyn std::error::Error| UserError::unavailable(format!("cannot set up HTTP: {error}"));
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls().map_err(|error| failed(&error))?)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build();
    client.map_err(|error| failed(&error))
}

async fn post(client: &reqwest::Client, url: &Url, text: &Text) -> Result<(), Refused> {
    let body = json!({ "text": slack(text) }).to_string();
    let sent = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body).send().await;
    let answer = sent.map_err(|error| {
        let what = if error.is_timeout() { "no answer in time" } else { "no connection, or it broke" };
        Refused { what: what.to_owned(), permanent: false, after_ms: None }
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse::<i64>().ok());
    let again = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        || status.is_server_error();
    Err(Refused {
        what: format!("it answers {status}"),
        permanent: !again,
        after_ms: after.map(|seconds| seconds.clamp(0, 3600) * 1000),
    })
}

/// Slack's own marks in what failures say are text.
fn slack(text: &Text) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let whole = format!("*{}*\n{}", escaped(&text.subject).replace('*', "∗"), escaped(&text.body));
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}

async fn mail(mailer: &Mailer, email: &Email, id: &str, text: &Text) -> Result<(), Refused> {
    let email = Email { subject: text.subject.clone(), text: Some(text.body.clone()), ..email.clone() };
    match mailer.send(&email, id).await {
        Ok(receipt) => {
            for refused in receipt.refused {
                tracing::warn!(
                    recipient = refused.recipient,
                    "an alert was not taken for one of its recipients: {}",
                    refused.response
                );
            }
            Ok(())
        }
        // It may have arrived, and is said again all the same.
        Err(error) => {
            let permanent = matches!(error, MailError::Permanent(_));
            Err(Refused { what: error.to_string(), permanent, after_ms: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_by_what_a_failure_says() {
        let text = Text {
            subject: "host: <!channel>".to_owned(),
            body: "<@U1> & <https://evil.example|click>".to_owned(),
        };
        assert_eq!(
            slack(&text),
            "*host: &lt;!channel&gt;*\n&lt;@U1&gt; &amp; &lt;https://evil.example|click&gt;"
        );
        let long = Text { body: "가".repeat(10_000), ..text };
        assert!(slack(&long).chars().count() <= LONGEST + 1);
    }
}
