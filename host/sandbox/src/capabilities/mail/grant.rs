//! Who a plugin may write to, as whom, and how often.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lettre::Address as Mailbox;
use settings::{MailSettings, Pattern, Redirect};

use crate::capabilities::mail::mailer::{Address, Email};

/// The leave to send e-mail.
#[derive(Debug, Default)]
pub struct MailGrant {
    senders: Option<Vec<Pattern>>,
    recipients: Option<Vec<Pattern>>,
    redirect_all: Option<Mailbox>,
    per_minute: Option<NonZeroU32>,
    rate: Option<DefaultDirectRateLimiter>,
}

/// Why an e-mail may not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It goes where it may not, or comes from whom it may not.
    Denied(String),
    /// Something in it is not an address.
    NoAddress(String),
}

impl MailGrant {
    /// What the configuration says.
    pub fn new(settings: &MailSettings) -> Self {
        Self {
            senders: settings.senders.clone(),
            recipients: settings.recipients.clone(),
            redirect_all: settings.redirect_all.clone().map(|Redirect(address)| address),
            per_minute: settings.per_minute,
            rate: settings.per_minute.map(|count| RateLimiter::direct(Quota::per_minute(count))),
        }
    }

    /// Where everything goes instead.
    pub fn redirect_all(&self) -> Option<&Mailbox> {
        self.redirect_all.as_ref()
    }

    /// Checks every address; one that is not allowed denies the whole e-mail.
    ///
    /// # Errors
    /// Which address, and why.
    pub fn check(&self, email: &Email) -> Result<(), Refused> {
        let lists = [
            ("the sender", std::slice::from_ref(&email.sender), "senders", &self.senders),
            ("to", &email.to, "recipients", &self.recipients),
            ("cc", &email.cc, "recipients", &self.recipients),
            ("bcc", &email.bcc, "recipients", &self.recipients),
        ];
        for (role, addresses, list, patterns) in lists {
            for address in addresses {
                let parsed = address.parse().map_err(|why| Refused::NoAddress(format!("{role}: {why}")))?;
                let Some(patterns) = patterns else { continue };
                if !patterns.iter().any(|pattern| pattern.covers(&parsed)) {
                    let text = format!("{role}: {parsed} is not in the plugin's `mail.{list}`");
                    return Err(Refused::Denied(text));
                }
            }
        }
        Ok(())
    }

    /// The e-mail as it goes out: with `redirect-all` to that address alone, and the addresses that
    /// were meant in `X-Original-To`, `-Cc` and `-Bcc`.
    pub fn redirected(&self, mut email: Email) -> Email {
        let Some(everything) = &self.redirect_all else { return email };
        let mut anybody = false;
        let lists = [("X-Original-To", &mut email.to), ("X-Original-Cc", &mut email.cc)];
        for (name, list) in lists.into_iter().chain([("X-Original-Bcc", &mut email.bcc)]) {
            email.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
            let meant: Vec<_> = std::mem::take(list).into_iter().map(|address| address.email).collect();
            if !meant.is_empty() {
                anybody = true;
                email.headers.push((name.to_owned(), meant.join(", ")));
            }
        }
        // One that was written to nobody still is.
        if anybody {
            email.to = vec![Address { name: None, email: everything.to_string() }];
        }
        email
    }

    /// Counts one e-mail.
    ///
    /// # Errors
    /// It is one too many; the next may go after this time.
    pub fn count(&self) -> Result<(), TooMany> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let now = DefaultClock::default().now();
        rate.check().map_err(|until| TooMany(until.wait_time_from(now)))
    }

    /// Counts one e-mail of a call that stands for itself, after `before` others: of a dry run, whose
    /// calls are not a minute's.
    ///
    /// # Errors
    /// It is one too many.
    pub fn count_alone(&self, before: u32) -> Result<(), TooMany> {
        match self.per_minute {
            Some(most) if before >= most.get() => Err(TooMany(Duration::from_secs(60) / most.get())),
            _ => Ok(()),
        }
    }
}

/// More e-mails than `per-minute`; the next may go after this time. It ends the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("more e-mails than the plugin's `mail.per-minute`; the next may go in {} ms", self.millis())]
pub struct TooMany(pub Duration);

impl TooMany {
    /// The time, in milliseconds, rounded up.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.0.as_millis()).map_or(u64::MAX, |millis| millis.saturating_add(1))
    }
}

#[cfg(test)]
mod tests;
