//! `host.toml`: what can be set, and how a file becomes settings.
//!
//! The comments of these structs are the reference: `host config init` writes them into a new
//! file, and `docs/reference/configuration.md` is made of them.

pub mod layers;
pub mod reference;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::cli::OffsetReset;
use crate::error::Failure;
use crate::kafka::order::Ordering;
use crate::pipeline::rules::Action;

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
    /// Where e-mail goes; without it e-mail is only logged.
    #[schemars(example = "smtp://localhost:1025")]
    pub mail_url: Option<String>,
    /// Whether topics that are missing are created.
    #[schemars(example = true)]
    pub create_topics: Option<bool>,
    /// Where a group without committed offsets starts: `earliest` or `latest`.
    #[schemars(with = "Option<String>", example = &"earliest")]
    pub auto_offset_reset: Option<OffsetReset>,
    /// How to reach Kafka.
    pub kafka: Kafka,
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

/// One plugin, and what it may subscribe to. What is left out is as the plugin describes itself.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginSettings {
    /// The component's file, seen from the directory of this file.
    #[schemars(with = "String", example = "email.wasm")]
    pub path: PathBuf,
    /// The topic it handles. It must be named here: a plugin does not choose what it reads.
    #[schemars(example = "email.send")]
    pub topic: String,
    /// The consumer group it handles it in.
    #[schemars(example = "email-send-group")]
    pub group: Option<String>,
    /// Where its dead letters go. A topic other than the plugin's own has `<topic>.dlt`.
    #[schemars(example = "email.send.dlt")]
    pub dead_letter_topic: Option<String>,
    /// What the name of its dead-letter topic has behind the topic's, where `dead-letter-topic` does
    /// not name one.
    #[schemars(example = ".dlt")]
    pub dead_letter_suffix: Option<String>,
    /// What the names of its retry topics have behind the topic's: `<topic>-retry` where all delays
    /// are equal, else `<topic>-retry-<ms>` for each different one, as Spring Kafka names them.
    #[schemars(example = "-retry")]
    pub retry_suffix: Option<String>,
    /// How many of its messages may be called at the same time in this process, 1 to 1000; without
    /// it 32 for each core.
    #[schemars(with = "Option<u32>", example = 64)]
    pub concurrency: Option<NonZeroU32>,
    /// Which messages wait for which: `unordered`, where what failed comes back through retry topics;
    /// `key`, where those of a key are handled one after the other, or `partition`, where all of a
    /// partition are. In the last two what failed is tried again in its place: what comes after it
    /// waits, and there are no retry topics.
    #[schemars(with = "Option<String>", example = &"key")]
    pub ordering: Option<Ordering>,
    /// Where messages are ordered by key, what becomes of those after a dead letter of the same key:
    /// `continue`, or `hold`, where they follow it into the dead-letter topic unhandled, with the code
    /// `follows-dead-letter`, until the key is released by `host groups release`.
    #[schemars(with = "Option<String>", example = &"hold")]
    pub on_dead: Option<OnDead>,
    /// When its failed messages are tried again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// What holds for some failures.
    #[serde(rename = "rule", default)]
    pub rules: Vec<RuleSettings>,
}

/// What becomes of the messages after a dead letter of the same key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDead {
    /// They are handled.
    #[default]
    Continue,
    /// They follow it into the dead-letter topic.
    Hold,
}

impl OnDead {
    /// As it is written in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Hold => "hold",
        }
    }
}

/// When failed messages are tried again. Each different delay is a topic.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RetrySettings {
    /// Deliveries after the first one; 0 makes every failure a dead letter.
    #[schemars(example = 5)]
    pub retries: Option<u32>,
    /// Before the first retry.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1s")]
    pub delay: Option<Duration>,
    /// What each further delay is multiplied by; 1 or more.
    #[schemars(example = 2.0)]
    pub multiplier: Option<f64>,
    /// No delay is longer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "1h")]
    pub max_delay: Option<Duration>,
    /// A share of each delay, 0 to 1, up to which it is made longer at random, so that what failed
    /// together does not come back together.
    #[schemars(example = 0.0)]
    pub jitter: Option<f64>,
    /// How long after its first failure a message may still be tried again; at most 24 h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "24h")]
    pub max_age: Option<Duration>,
    /// How often a message that failed is called again in place, with the same attempt, before it
    /// goes to a retry topic; at most 10. None of these calls begins more than 3 s after the first.
    #[schemars(example = 0)]
    pub blocking_tries: Option<u32>,
    /// The pause before each of them; at most 1 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "100ms")]
    pub blocking_delay: Option<Duration>,
}

/// What holds for failures with some codes; repeat the table for more. The first one that matches
/// counts. Give it one at least of `retries`, `action` and `blocking-tries`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuleSettings {
    /// The failure codes it is for, those of the host among them (`timeout`, `trap`, `out-of-memory`,
    /// `exit`, `stack-overflow`, `wrong-outcome-count`); `*` stands for any characters.
    #[schemars(example = "smtp-*")]
    pub code: String,
    /// Deliveries after the first one, in place of the policy's; 0 makes a dead letter at once.
    #[schemars(example = 10)]
    pub retries: Option<u32>,
    /// `retry`: tried again, also where the plugin rejects it. `reject`: a dead letter at once.
    /// `discard`: finished with a line in the log. Without it the plugin's own outcome counts.
    #[schemars(with = "Option<String>", example = &"retry")]
    pub action: Option<Action>,
    /// As under `plugin.retry`, for these codes.
    #[schemars(example = 2)]
    pub blocking_tries: Option<u32>,
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
    pub fn look(named: Option<&Path>) -> Result<Option<Self>, Failure> {
        let path = match named {
            Some(path) => path.to_owned(),
            None if Path::new(NAME).exists() => PathBuf::from(NAME),
            None => return Ok(None),
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("cannot read {}: {error}", path.display()))
                .help("name the file: --config FILE, or write one: host config init")
        })?;
        let mut file = File::parse(&text).map_err(|failure| failure.within(&path.display().to_string()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        file.plugins.iter_mut().for_each(|plugin| plugin.path = directory.join(&plugin.path));
        Ok(Some(Self { path, file }))
    }
}

impl File {
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            let failure = Failure::usage(error.to_string().trim_end().to_owned());
            match nearest(error.message()) {
                Some(name) => failure.help(format!("did you mean {name}?")),
                None => failure.help("what can be set: host config init, or docs/reference/configuration.md"),
            }
        })
    }
}

/// The known name that looks most like the unknown one, out of serde's "unknown field `x`,
/// expected one of `a`, `b`", or "unknown variant".
fn nearest(message: &str) -> Option<String> {
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
    crate::kafka::client::servers(&text).map(Some).map_err(D::Error::custom)
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

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
