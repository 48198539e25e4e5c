//! The grant of `mail`: senders, recipients and rate of one plugin.

use std::sync::Arc;

use destinations::Pace;
use lettre::Address as Mailbox;

use super::mailer::{Address, Email};
use super::servers::Servers;
use super::settings::{MailSettings, Pattern, Redirect};
use crate::capabilities::Grant;

/// Permission to send e-mail.
#[derive(Debug, Default)]
pub struct MailGrant {
    senders: Option<Vec<Pattern>>,
    recipients: Option<Vec<Pattern>>,
    redirect_all: Option<Mailbox>,
    pace: Option<Pace>,
    servers: Option<Arc<Servers>>,
}

/// The reason why an e-mail may not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// A sender or recipient is not allowed.
    Denied(String),
    /// An address is invalid.
    InvalidAddress(String),
}

impl MailGrant {
    /// The grant of these settings. Without servers, e-mail is only logged, or captured in a dry run.
    pub fn new(settings: &MailSettings, servers: Option<Arc<Servers>>) -> Self {
        Self {
            senders: settings.senders.clone(),
            recipients: settings.recipients.clone(),
            redirect_all: settings.redirect_all.clone().map(|Redirect(address)| address),
            pace: settings.per_minute.map(Pace::per_minute),
            servers,
        }
    }

    /// The mail servers.
    pub fn servers(&self) -> Option<&Arc<Servers>> {
        self.servers.as_ref()
    }

    /// The address that receives all e-mail in place of the recipients.
    pub fn redirect_all(&self) -> Option<&Mailbox> {
        self.redirect_all.as_ref()
    }

    /// Checks every address.
    ///
    /// # Errors
    /// An address is invalid, or not allowed.
    pub fn check(&self, email: &Email) -> Result<(), Refused> {
        let lists = [
            ("the sender", std::slice::from_ref(&email.sender), "senders", &self.senders),
            ("to", &email.to, "recipients", &self.recipients),
            ("cc", &email.cc, "recipients", &self.recipients),
            ("bcc", &email.bcc, "recipients", &self.recipients),
        ];
        for (role, addresses, list, patterns) in lists {
            for address in addresses {
                let parsed =
                    address.parse().map_err(|reason| Refused::InvalidAddress(format!("{role}: {reason}")))?;
                let Some(patterns) = patterns else { continue };
                if !patterns.iter().any(|pattern| pattern.covers(&parsed)) {
                    let text = format!("{role}: {parsed} is not in the plugin's `mail.{list}`");
                    return Err(Refused::Denied(text));
                }
            }
        }
        Ok(())
    }

    /// The e-mail as it is sent. With `redirect-all`, that address is the only recipient, and `X-Original-To`, `-Cc`
    /// and `-Bcc` contain the original recipients.
    pub fn redirected(&self, mut email: Email) -> Email {
        let Some(target) = &self.redirect_all else { return email };
        let mut has_recipient = false;
        let lists = [("X-Original-To", &mut email.to), ("X-Original-Cc", &mut email.cc)];
        for (name, list) in lists.into_iter().chain([("X-Original-Bcc", &mut email.bcc)]) {
            email.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
            let original: Vec<_> = std::mem::take(list).into_iter().map(|address| address.email).collect();
            if !original.is_empty() {
                has_recipient = true;
                email.headers.push((name.to_owned(), original.join(", ")));
            }
        }
        // An e-mail without recipients remains invalid.
        if has_recipient {
            email.to = vec![Address { name: None, email: target.to_string() }];
        }
        email
    }

    /// Waits until the rate allows one more e-mail, in the order of the calls.
    pub async fn turn(self: &Arc<Self>) -> Turn {
        if let Some(pace) = &self.pace {
            pace.wait().await;
        }
        Turn { grant: Arc::clone(self), is_taken: false }
    }
}

/// The permission of the rate for one e-mail. It is given back if it is not taken: an e-mail that an earlier attempt has
/// sent, or for which there is no connection, does not count.
pub struct Turn {
    grant: Arc<MailGrant>,
    is_taken: bool,
}

impl Turn {
    /// The server got the e-mail.
    pub fn take(mut self) {
        self.is_taken = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(pace) = self.grant.pace.as_ref().filter(|_| !self.is_taken) {
            pace.give_back();
        }
    }
}

impl Grant for MailGrant {
    fn has_effects(&self) -> bool {
        self.servers.is_some()
    }

    fn summary(&self) -> String {
        match (&self.servers, &self.redirect_all) {
            (None, _) => "e-mail is only logged, not sent (no --mail-url)".to_owned(),
            (Some(servers), None) => format!("may reach {servers}"),
            (Some(servers), Some(address)) => format!("may reach {servers}, all for {address}"),
        }
    }
}

#[cfg(test)]
mod tests;
