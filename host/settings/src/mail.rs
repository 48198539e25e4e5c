//! `[mail]`: the mail server.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use base::error::UserError;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// The maximum of `connections`.
const MAX_CONNECTIONS: u32 = 200;
/// The maximum of every time-out.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// The mail server, for plugins with `allow = ["mail"]` and for alerts. What waits for it spends no attempt: during an
/// outage, or while the server takes no more connections, messages wait where they are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MailServer {
    /// The server, `smtp://[user:password@]host:port[?tls=required]` or `smtps://…`. Without it, e-mail is only
    /// logged. A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "smtp://localhost:1025")]
    pub url: Option<Value>,
    /// A PEM file with the certificates of authorities that are trusted for the mail server in addition to the
    /// public ones. A relative path starts at the directory of `host.toml`. The environment's
    /// `SSL_CERT_FILE` replaces the public ones.
    #[schemars(with = "Option<String>", example = "ca.pem")]
    pub ca: Option<PathBuf>,
    /// The maximum number of connections, 1 to 200. The host uses fewer if the server refuses more, and tries one more
    /// from time to time. Default: 10.
    #[schemars(with = "Option<u32>", example = 10)]
    pub connections: Option<NonZeroU32>,
    /// The maximum number of e-mails per minute of this host, all plugins together. All of them may be sent in one
    /// burst; after that, they are spread evenly. Default: no limit.
    #[schemars(with = "Option<u32>", example = 600)]
    pub per_minute: Option<NonZeroU32>,
    /// The number of failures in a row after which the server counts as down: e-mails wait, and one at a time probes
    /// whether the server works again, with pauses up to 4 s. 0 turns this off. Default: 5.
    #[schemars(with = "Option<u32>", example = 5)]
    pub breaker: Option<u32>,
    /// The time for a TCP connection. Default: 10 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "10s")]
    pub connect_timeout: Option<Duration>,
    /// The time for the server's greeting, and for a TLS handshake. The defaults of this and the following time-outs
    /// are those of RFC 5321. Default: 5 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "5m")]
    pub greeting_timeout: Option<Duration>,
    /// The time for the answer to EHLO, STARTTLS, AUTH, MAIL and RCPT. Default: 5 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "5m")]
    pub command_timeout: Option<Duration>,
    /// The time for the answer to DATA. Default: 2 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "2m")]
    pub data_timeout: Option<Duration>,
    /// The time for writing 64 KiB of the content. Default: 3 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "3m")]
    pub block_timeout: Option<Duration>,
    /// The time for the answer to the content. A shorter time than the server needs means that e-mails are in doubt
    /// although they were sent. Default: 10 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "10m")]
    pub end_timeout: Option<Duration>,
    /// The servers in place of `url`, in the order in which they are preferred. Each has a table `[mail.server.NAME]` with
    /// `url` and the other keys of this table. An e-mail goes to one of them: the first one that works. A plugin may
    /// have servers of its own: `servers` in `[plugin.mail]`.
    #[schemars(example = ["primary", "backup"])]
    pub servers: Vec<String>,
    /// How long a server has not worked before e-mails go to the next one in `servers`. `per-minute` of the next one
    /// limits how many. An e-mail in doubt is never sent to another server. Default: 30 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "30s")]
    pub failover_after: Option<Duration>,
    /// The tables `[mail.server.NAME]`.
    #[schemars(skip)]
    pub server: BTreeMap<String, MailServer>,
}

impl MailServer {
    /// The keys that are set, without the URL.
    pub fn lines(&self) -> Vec<(&'static str, toml::Value)> {
        let count = |count: NonZeroU32| i64::from(count.get()).into();
        let mut lines: Vec<(&'static str, Option<toml::Value>)> = vec![
            ("ca", self.ca.as_ref().map(|path| path.display().to_string().into())),
            ("connections", self.connections.map(count)),
            ("per-minute", self.per_minute.map(count)),
            ("breaker", self.breaker.map(|failures| i64::from(failures).into())),
        ];
        let shown = |time| humantime_serde::re::humantime::format_duration(time).to_string().into();
        lines.extend(self.timeouts().map(|(key, time)| (key, time.map(shown))));
        lines.push(("servers", (!self.servers.is_empty()).then(|| self.servers.clone().into())));
        lines.push(("failover-after", self.failover_after.map(shown)));
        lines.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn timeouts(&self) -> [(&'static str, Option<Duration>); 6] {
        [
            ("connect-timeout", self.connect_timeout),
            ("greeting-timeout", self.greeting_timeout),
            ("command-timeout", self.command_timeout),
            ("data-timeout", self.data_timeout),
            ("block-timeout", self.block_timeout),
            ("end-timeout", self.end_timeout),
        ]
    }

    /// Checks the numbers, and the tables of further servers.
    ///
    /// # Errors
    /// A number is out of range, or a further server has no URL.
    pub fn check(&self) -> Result<(), UserError> {
        self.check_numbers("mail")?;
        for (name, server) in &self.server {
            server.check_named(name)?;
        }
        if self.failover_after.is_some_and(|time| time > MAX_TIMEOUT) {
            let problem = "mail.failover-after must be at most 1 h";
            return Err(UserError::usage(problem).help("remove it to use 30 s"));
        }
        Ok(())
    }

    fn check_named(&self, name: &str) -> Result<(), UserError> {
        let table = format!("mail.server.{name}");
        if self.url.is_none() {
            return Err(
                UserError::usage(format!("{table} has no url")).help("add url = \"smtp://HOST:PORT\"")
            );
        }
        if !self.servers.is_empty() || self.failover_after.is_some() || !self.server.is_empty() {
            let problem = format!("{table} has servers of its own");
            return Err(
                UserError::usage(problem).help("`servers`, `failover-after` and `server` belong to [mail]")
            );
        }
        self.check_numbers(&table)
    }

    fn check_numbers(&self, table: &str) -> Result<(), UserError> {
        if self.connections.is_some_and(|count| count.get() > MAX_CONNECTIONS) {
            let problem = format!("{table}.connections must be from 1 to {MAX_CONNECTIONS}");
            return Err(UserError::usage(problem).help("set what the mail server allows to one client"));
        }
        for (key, time) in self.timeouts() {
            if time.is_some_and(|time| time.is_zero() || time > MAX_TIMEOUT) {
                let problem = format!("{table}.{key} must be more than 0 and at most 1 h");
                return Err(UserError::usage(problem).help("remove it to use the time of RFC 5321"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (wrong, key) in [
            (MailServer { connections: NonZeroU32::new(201), ..MailServer::default() }, "mail.connections"),
            (MailServer { end_timeout: Some(Duration::ZERO), ..MailServer::default() }, "mail.end-timeout"),
            (
                MailServer { connect_timeout: Some(Duration::from_secs(3601)), ..MailServer::default() },
                "mail.connect-timeout",
            ),
        ] {
            let error = wrong.check().expect_err(key).to_string();
            assert!(error.contains(key), "{error}");
        }
        MailServer::default().check().expect("the defaults");
    }
}
