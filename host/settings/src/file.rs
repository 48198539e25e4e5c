//! `host.toml`: what can be set, and how a file becomes settings.
//!
//! The comments of these structs are the reference: `host config init` writes them into a new
//! file, and `docs/reference/configuration.md` is made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::error::UserError;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::{AlertSettings, DeskSettings, OffsetReset, PluginSettings, Value};

/// The file that is read where none is named.
pub const NAME: &str = "host.toml";

/// Settings of one host. Everything has a default; an environment variable counts more than the
/// file, a flag more than both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct File {
    /// Where health checks are answered.
    #[schemars(with = "Option<String>", example = "127.0.0.1:8081")]
    pub listen: Option<SocketAddr>,
    /// Whether topics that are missing are created.
    #[schemars(example = true)]
    pub create_topics: Option<bool>,
    /// Where a group without committed offsets starts: `earliest` or `latest`.
    #[schemars(with = "Option<String>", example = &"earliest")]
    pub auto_offset_reset: Option<OffsetReset>,
    /// How to reach Kafka.
    pub kafka: Kafka,
    /// The mail server.
    pub mail: Mail,
    /// Where it is kept what messages have already sent, and what failed.
    pub store: Store,
    /// The dead-letter desk.
    pub desk: DeskSettings,
    /// Alerts about dead letters.
    pub alerts: AlertSettings,
    /// A plugin to run; repeat the table for more. Once one is listed, no other can run.
    #[serde(rename = "plugin")]
    pub plugins: Vec<PluginSettings>,
}

/// How to reach Kafka; the commands for topics, groups and messages read it too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Kafka {
    /// Brokers, comma-separated.
    #[serde(deserialize_with = "servers")]
    #[schemars(example = "localhost:9092")]
    pub bootstrap_servers: Option<String>,
    /// Any property of librdkafka, by its own name. `-X` counts more, property by property. What is
    /// secret is better kept in the environment: `KAFKA_PROPERTIES="sasl.password=…"`.
    #[serde(deserialize_with = "properties")]
    #[schemars(with = "BTreeMap<String, String>", example = Properties::example())]
    pub properties: Properties,
}

/// The mail server that plugins may use through `allow = ["mail"]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Mail {
    /// Where e-mail goes, `smtp://[user:password@]host:port[?tls=required]` or `smtps://…`; without it
    /// e-mail is only logged. A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "smtp://localhost:1025")]
    pub url: Option<Value>,
    /// A file of certificates in PEM, seen from the directory of this file: authorities that the mail
    /// server's certificate may come from, beside the public ones.
    #[schemars(with = "Option<String>", example = "ca.pem")]
    pub ca: Option<PathBuf>,
}

/// What messages have already sent is kept here, so that a retry, a redelivery or a replay does not send
/// it again; and dead letters are, for the desk. Opened only where a plugin may send something, or for the
/// desk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Store {
    /// `sqlite:PATH`, seen from the working directory, or `postgres://user:password@host/database`, which
    /// several hosts of one group need. A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "sqlite:host.db")]
    pub url: Option<Value>,
    /// For how long it is kept what messages have sent; more than 24 h, which a message may be tried for.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "7d")]
    pub keep: Option<Duration>,
}

impl Store {
    /// For how long, checked; 7 days by default.
    ///
    /// # Errors
    /// It is too short.
    pub fn keep(&self) -> Result<Duration, UserError> {
        const DAY: Duration = Duration::from_secs(86_400);
        let keep = self.keep.unwrap_or(7 * DAY);
        if keep > DAY {
            return Ok(keep);
        }
        Err(UserError::usage("store.keep must be longer than 24 h")
            .help("a message may be tried again for 24 h, and must find what it sent"))
    }
}

/// A file with the place it was found at.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// What it says.
    pub file: File,
}

impl Found {
    /// Reads the file that is named, or [`NAME`] in the working directory where it is there.
    ///
    /// # Errors
    /// The file cannot be read, or says something that is not possible: where and what.
    pub fn look(named: Option<&Path>) -> Result<Option<Self>, UserError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None if Path::new(NAME).exists() => PathBuf::from(NAME),
            None => return Ok(None),
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            UserError::usage(format!("cannot read {}: {error}", path.display()))
                .help("name the file: --config FILE, or write one: host config init")
        })?;
        let mut file = File::parse(&text).map_err(|failure| failure.within(&path.display().to_string()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        file.values_mut().for_each(|value| value.seen_from(directory));
        file.mail.ca = file.mail.ca.map(|ca| directory.join(ca));
        for plugin in &mut file.plugins {
            plugin.path = directory.join(&plugin.path);
            plugin.allow.iter_mut().for_each(|allow| allow.seen_from(directory));
        }
        Ok(Some(Self { path, file }))
    }
}

impl File {
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UserError> {
        toml::from_str(text).map_err(|error| {
            let failure = UserError::usage(error.to_string().trim_end().to_owned());
            match nearest(error.message()) {
                Some(name) => failure.help(format!("did you mean {name}?")),
                None => failure.help("what can be set: host config init, or docs/reference/configuration.md"),
            }
        })
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let urls = self.mail.url.iter_mut().chain(&mut self.store.url);
        urls.chain(&mut self.desk.token)
            .chain(&mut self.alerts.webhook)
            .chain(self.plugins.iter_mut().flat_map(PluginSettings::values_mut))
    }
}

/// The known name that looks most like the unknown one, out of serde's "unknown field `x`,
/// expected one of `a`, `b`", or "unknown variant".
pub fn nearest(message: &str) -> Option<String> {
    let unknown = message.strip_prefix("unknown field `").or(message.strip_prefix("unknown variant `"));
    let (unknown, known) = unknown?.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    let likeness = |name: &str| strsim::jaro_winkler(unknown, name);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.7).then(|| best.to_owned())
}

/// Properties of librdkafka, with those that are secret kept out of sight.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(String, String)>);

impl Properties {
    fn example() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([("security.protocol", "ssl")])
    }

    /// The value as it may be shown.
    pub fn shown<'a>(name: &str, value: &'a str) -> &'a str {
        let secret = ["password", "secret", "token", ".pem", "oauthbearer.config"];
        if secret.iter().any(|part| name.contains(part)) { "***" } else { value }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, Self::shown(name, value)))).finish()
    }
}

fn servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::kafka::servers(&text).map(Some).map_err(D::Error::custom)
}

/// `security.protocol = "ssl"` is a table in a table to TOML, and one name to librdkafka.
fn properties<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Properties, D::Error> {
    let mut list = Vec::new();
    for (name, value) in toml::Table::deserialize(deserializer)? {
        flatten(name, value, &mut list).map_err(D::Error::custom)?;
    }
    Ok(Properties(list))
}

fn flatten(name: String, value: toml::Value, list: &mut Vec<(String, String)>) -> Result<(), String> {
    match value {
        toml::Value::Table(table) => {
            table.into_iter().try_for_each(|(key, value)| flatten(format!("{name}.{key}"), value, list))?;
        }
        toml::Value::String(text) => list.push((name, text)),
        toml::Value::Integer(number) => list.push((name, number.to_string())),
        toml::Value::Boolean(flag) => list.push((name, flag.to_string())),
        toml::Value::Float(number) => list.push((name, number.to_string())),
        toml::Value::Array(_) | toml::Value::Datetime(_) => {
            return Err(format!("{name} must be a text, a number, or true or false"));
        }
    }
    Ok(())
}
