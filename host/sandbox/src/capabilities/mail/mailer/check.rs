//! Whether a mail server can be used, without sending anything.

use std::time::Duration;

use base::finding::Finding;
use tokio::time::timeout;

use super::{Connection, Mailer, NotConnected, one_line};
use crate::capabilities::mail::smtp::connection::Security;

impl Mailer {
    /// Connects, negotiates TLS and logs in within `bound` as for an e-mail, and sends none. Returns how: TLS and login.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn check(&self, bound: Duration) -> Result<String, Finding> {
        let opening = timeout(bound, Connection::open(&self.endpoint, self.timeouts)).await;
        let late =
            || NotConnected::Refused(format!("not ready for an e-mail within {} s", bound.as_secs_f64()));
        let connection = opening.unwrap_or_else(|_| Err(late())).map_err(|error| self.finding(error))?;
        connection.closed().await;
        let tls = match &self.endpoint.security {
            Security::Implicit(_) | Security::Required(_) => "TLS",
            Security::Opportunistic(_) => "TLS if offered",
            Security::None => "no TLS",
        };
        let login = if self.endpoint.login.is_some() { "logged in" } else { "no login" };
        Ok(format!("{tls}, {login}"))
    }

    fn finding(&self, error: NotConnected) -> Finding {
        let name = self.destination.name();
        let problem = |reason: &str| one_line(&format!("no connection to {name}: {reason}"));
        match error {
            NotConnected::Refused(reason) => {
                Finding::warning(problem(&reason), "e-mails wait until the server works again")
                    .cure("start it, or correct its URL: --mail-url, or [mail] in host.toml")
            }
            NotConnected::Shortage(reason) => {
                Finding::warning(problem(&reason), "e-mails wait until this machine has resources again")
                    .cure("raise the limits on open files and memory of this machine")
            }
            NotConnected::Unusable(reason) => Finding::error(
                problem(&reason),
                "no e-mail is sent until the configuration is corrected",
            )
            .cure("correct user, password or tls in its URL, or its certificate authority: ca in host.toml"),
        }
    }
}
