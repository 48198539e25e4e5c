//! `[plugin.mail]`: senders, recipients and rate.

use std::fmt;
use std::num::NonZeroU32;

use lettre::Address as Mailbox;
use messages::ascii_domain;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use settings::{Section, ShownTable};

use super::mailer::Address;

/// The e-mails that the plugin may send. This table grants nothing: `mail` must be in `allow`. An e-mail that is
/// not allowed is not sent, and the plugin receives the error `denied`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MailSettings {
    /// The allowed senders: `user@example.com`, or `*@example.com` for a whole domain. Default: all. An empty list
    /// allows none.
    #[schemars(with = "Option<Vec<String>>", example = ["no-reply@example.com", "*@example.com"])]
    pub senders: Option<Vec<Pattern>>,
    /// The allowed recipients in `to`, `cc` and `bcc`: `user@example.com`, `example.com` for a whole domain, or
    /// `*.example.com` for its subdomains. One recipient that is not allowed denies the whole e-mail. Default: all.
    /// An empty list allows none.
    #[schemars(with = "Option<Vec<String>>", example = ["example.com", "*.example.com", "a@b.c"])]
    pub recipients: Option<Vec<Pattern>>,
    /// The maximum number of e-mails per minute in this process. All of them may be sent in one burst; after that,
    /// they are spread evenly: 600 means one per 100 ms. An e-mail above the rate waits for its turn, which is no part
    /// of the call's time, and its message spends no attempt. Default: no limit.
    #[schemars(with = "Option<u32>", example = 600)]
    pub per_minute: Option<NonZeroU32>,
    /// The address that receives all e-mail in place of the recipients, for staging. The headers `X-Original-To`,
    /// `X-Original-Cc` and `X-Original-Bcc` contain the original recipients, which must still be allowed.
    #[schemars(with = "Option<String>", example = "staging@example.com")]
    pub redirect_all: Option<Redirect>,
    /// Its mail servers, by the names of their tables `[mail.server.NAME]`, in the order in which they are preferred.
    /// Default: those of `[mail]`.
    #[schemars(with = "Option<Vec<String>>", example = ["marketing"])]
    pub servers: Option<Vec<String>>,
}

impl Section for MailSettings {
    fn boxed(&self) -> Box<dyn Section> {
        Box::new(self.clone())
    }

    fn tables(&self) -> Vec<ShownTable> {
        let list = |patterns: &Option<Vec<Pattern>>| {
            patterns.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().into())
        };
        let keys = [
            ("senders", list(&self.senders)),
            ("recipients", list(&self.recipients)),
            ("per-minute", self.per_minute.map(|count| i64::from(count.get()).into())),
            ("servers", self.servers.as_ref().map(|names| names.clone().into())),
            ("redirect-all", self.redirect_all.as_ref().map(|Redirect(address)| address.to_string().into())),
        ];
        let lines: Vec<_> =
            keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        if lines.is_empty() {
            Vec::new()
        } else {
            vec![ShownTable { heading: "[plugin.mail]".into(), lines }]
        }
    }
}

/// A set of addresses: one, those of a domain, or those of its subdomains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// None for any user.
    user: Option<String>,
    domain: String,
    /// Whether it covers the subdomains, and not the domain itself.
    below: bool,
}

impl Pattern {
    /// Reads `user@example.com`, `example.com`, `*@example.com` or `*.example.com`.
    ///
    /// # Errors
    /// It has none of these forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is none of `user@example.com`, `example.com`, `*@example.com`, `*.example.com`")
        };
        let (user, domain) = text.rsplit_once('@').unwrap_or(("*", text));
        let (below, domain) = match domain.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, domain),
        };
        // A pattern that no address can match is a mistake.
        let mailbox = Mailbox::new(if user == "*" { "anybody" } else { user }, domain);
        mailbox.ok().filter(|_| !domain.contains(['*', '%'])).ok_or_else(wrong)?;
        let user = (user != "*").then(|| user.to_owned());
        Ok(Self { user, domain: ascii_domain(domain).map_err(|_| wrong())?, below })
    }

    /// Whether the address is in the set. Users are compared as they are written: only their own server knows which
    /// are the same.
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

/// The form in which [`Address::parse`] has the domain: a pattern means the same domain as an address.
fn canonical(domain: &str) -> String {
    ascii_domain(domain).unwrap_or_else(|_| domain.to_ascii_lowercase())
}

/// As `host.toml` has it.
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
        Address { name: None, email: text }.parse().map(Self).map_err(D::Error::custom)
    }
}
