//! `[plugin.mail]`: who a plugin may write to, as whom, and how often.

use std::fmt;
use std::num::NonZeroU32;

use lettre::Address as Mailbox;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use url::Host;

/// Who a plugin may write to, as whom, and how often. An e-mail that is not allowed is not sent, and
/// the plugin is told `denied`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MailSettings {
    /// Senders it may have: `user@example.com`, or `*@example.com` for all of a domain. Without this
    /// key any; with an empty list none.
    #[schemars(with = "Option<Vec<String>>", example = ["no-reply@example.com", "*@example.com"])]
    pub senders: Option<Vec<Pattern>>,
    /// Recipients it may have, in `to`, `cc` and `bcc`: `example.com` for all of a domain,
    /// `*.example.com` for all of the domains below it, or `user@example.com`. One that is not allowed
    /// denies the whole e-mail. Without this key any; with an empty list none.
    #[schemars(with = "Option<Vec<String>>", example = ["example.com", "*.example.com", "a@b.c"])]
    pub recipients: Option<Vec<Pattern>>,
    /// How many e-mails a minute it may send in this process: so many at once, and from then on one
    /// whenever its share of the minute is over. What is beyond it is not sent: the message waits, with
    /// the code `too-many-mails`, and spends no attempt.
    #[schemars(with = "Option<u32>", example = 600)]
    pub per_minute: Option<NonZeroU32>,
    /// Where all of its e-mail goes instead, for staging. What was meant is in `X-Original-To`,
    /// `X-Original-Cc` and `X-Original-Bcc`, and must be allowed all the same.
    #[schemars(with = "Option<String>", example = "staging@example.com")]
    pub redirect_all: Option<Redirect>,
}

/// Addresses: one, or all of a domain, or of the domains below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// None for everybody.
    user: Option<String>,
    domain: String,
    /// The domains below it, and not itself.
    below: bool,
}

impl Pattern {
    /// Reads `user@example.com`, `example.com`, `*@example.com` or `*.example.com`.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is none of `user@example.com`, `example.com`, `*@example.com`, `*.example.com`")
        };
        let (user, domain) = text.rsplit_once('@').unwrap_or(("*", text));
        let (below, domain) = match domain.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, domain),
        };
        // What no address can have is a slip of the pen.
        let mailbox = Mailbox::new(if user == "*" { "anybody" } else { user }, domain);
        mailbox.ok().filter(|_| !domain.contains(['*', '%'])).ok_or_else(wrong)?;
        let user = (user != "*").then(|| user.to_owned());
        Ok(Self { user, domain: canonical(domain), below })
    }

    /// Whether the address is one of these. The user is compared as it is written, since only its
    /// own server knows what is the same.
    pub fn covers(&self, address: &Mailbox) -> bool {
        let domain = canonical(address.domain());
        let in_domain = match self.below {
            true => {
                domain.strip_suffix(&self.domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            false => domain == self.domain,
        };
        in_domain && self.user.as_deref().is_none_or(|user| user == address.user())
    }
}

/// In small letters, and in ASCII where it is international: DNS takes both for the same. A `%` is no
/// escape in an address, as it is in a URL.
fn canonical(domain: &str) -> String {
    match Host::parse(domain) {
        Ok(Host::Domain(parsed)) if !domain.contains('%') => parsed,
        _ => domain.to_ascii_lowercase(),
    }
}

/// As it can be written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        match &self.user {
            Some(user) => write!(f, "{user}@{below}{}", self.domain),
            None => write!(f, "*@{below}{}", self.domain),
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The address of `redirect-all`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect(pub Mailbox);

impl<'de> Deserialize<'de> for Redirect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|error| D::Error::custom(format!("{text:?} is not an address: {error}")))
    }
}
