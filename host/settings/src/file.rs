//! `host.toml`: its keys, and how a file becomes settings.
//!
//! The doc comments of these structs are the reference: `host config init` writes them into a new file, and
//! `docs/reference/configuration.md` is generated from them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::error::UserError;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::{
    AlertSettings, DeskSettings, Extension, MailServer, OffsetReset, OutgoingHttp, PluginSettings, Value,
    document,
};

/// The name of the file that is read by default.
pub const NAME: &str = "host.toml";

/// The settings of one host. Every key has a default. Precedence: flag > environment > file > default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct File {
    /// The address of the console, the API, health checks and metrics. Default: 127.0.0.1:8081.
    #[schemars(with = "Option<String>", example = "127.0.0.1:8081")]
    pub listen: Option<SocketAddr>,
    /// Whether missing topics are created. Default: true.
    #[schemars(example = true)]
    pub create_topics: Option<bool>,
    /// Where a consumer group without committed offsets starts: `earliest` (default) or `latest`.
    #[schemars(with = "Option<String>", example = &"earliest")]
    pub auto_offset_reset: Option<OffsetReset>,
    /// The connection to Kafka.
    pub kafka: Kafka,
    /// The mail server.
    pub mail: MailServer,
    /// HTTP.
    pub http: OutgoingHttp,
    /// The database.
    pub store: Store,
    /// The dead-letter desk.
    pub desk: DeskSettings,
    /// Alerts about dead letters.
    pub alerts: AlertSettings,
    /// The plugins to run.
    #[serde(rename = "plugin")]
    pub plugins: Vec<PluginSettings>,
}

/// The connection to Kafka. The commands for topics, consumer groups and messages use it too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Kafka {
    /// The bootstrap servers, comma-separated. Default: localhost:9092.
    #[serde(deserialize_with = "servers")]
    #[schemars(example = "localhost:9092")]
    pub bootstrap_servers: Option<String>,
    /// Any property of librdkafka, by its own name, except those on which a guarantee depends, such as
    /// `enable.auto.commit`. `-X` and `KAFKA_PROPERTIES` take precedence, property by property. Keep secrets in
    /// the environment: `KAFKA_PROPERTIES="sasl.password=…"`.
    #[serde(deserialize_with = "properties")]
    #[schemars(with = "BTreeMap<String, String>", example = Properties::example())]
    pub properties: Properties,
}

/// The database of effects and dead letters. Effects are recorded, so that a retry, a redelivery or a replay does
/// not repeat them. It is opened only if a plugin may have effects, or for the desk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Store {
    /// `sqlite:PATH`, relative to the working directory, or `postgres://user:password@host/database`, which is
    /// required if several hosts share a consumer group. A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    /// Default: `sqlite:host.db`.
    #[schemars(with = "Option<String>", example = "sqlite:host.db")]
    pub url: Option<Value>,
    /// How long effects are kept: more than 24 h, because a message may be retried for that long. Default: 7 days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "7d")]
    pub keep: Option<Duration>,
}

impl Store {
    /// How long effects are kept, checked.
    ///
    /// # Errors
    /// The time is too short.
    pub fn keep(&self) -> Result<Duration, UserError> {
        const DAY: Duration = Duration::from_secs(86_400);
        let keep = self.keep.unwrap_or(7 * DAY);
        if keep > DAY {
            return Ok(keep);
        }
        Err(UserError::usage("store.keep must be longer than 24 h")
            .help("a message may be retried for 24 h, and its earlier effects must still be recorded"))
    }
}

/// A file that was read.
#[derive(Debug)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// Its settings.
    pub file: File,
}

impl Found {
    /// Reads the named file; by default [`NAME`] in the working directory, if it exists. Relative paths in it
    /// become relative to its directory.
    ///
    /// # Errors
    /// The file cannot be read, or [`File::parse`] refuses it.
    pub fn read(named: Option<&Path>, extensions: &[&'static Extension]) -> Result<Option<Self>, UserError> {
        let path = match named {
            Some(path) => path.to_owned(),
            None if Path::new(NAME).exists() => PathBuf::from(NAME),
            None => return Ok(None),
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            UserError::usage(format!("cannot read {}: {error}", path.display()))
                .help("name the file: --config FILE, or write one: host config init")
        })?;
        let within = |error: UserError| error.within(&path.display().to_string());
        let mut file = File::parse(&text, extensions).map_err(within)?;
        file.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(Some(Self { path, file }))
    }
}

impl File {
    /// Reads the text of a file, with the settings of these capabilities.
    ///
    /// # Errors
    /// The line and the problem, with the nearest name for an unknown key.
    pub fn parse(text: &str, extensions: &[&'static Extension]) -> Result<Self, UserError> {
        document::read(text, extensions).map_err(|error| {
            let failure = UserError::usage(error.to_string().trim_end().to_owned());
            match nearest(error.message()) {
                Some(name) => failure.help(format!("did you mean {name}?")),
                None => failure.help("list all keys: host config reference"),
            }
        })
    }

    /// Makes relative paths relative to the directory of the file.
    fn resolve(&mut self, directory: &Path) {
        self.values_mut().for_each(|value| value.resolve(directory));
        let servers = self.mail.server.values_mut().map(|server| &mut server.ca);
        for ca in [&mut self.mail.ca, &mut self.http.ca].into_iter().chain(servers) {
            *ca = ca.take().map(|ca| directory.join(ca));
        }
        for plugin in &mut self.plugins {
            plugin.path = directory.join(&plugin.path);
            plugin.allow.iter_mut().for_each(|allow| allow.resolve(directory));
        }
    }

    fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let servers = self.mail.server.values_mut().filter_map(|server| server.url.as_mut());
        let urls = self.mail.url.iter_mut().chain(servers).chain(&mut self.store.url);
        urls.chain(&mut self.desk.token)
            .chain(&mut self.alerts.webhook)
            .chain(&mut self.http.proxy)
            .chain(self.plugins.iter_mut().flat_map(PluginSettings::values_mut))
    }
}

/// The known name nearest to the unknown one of serde's "unknown field `x`, expected one of `a`, `b`" or "unknown
/// variant …".
pub fn nearest(message: &str) -> Option<String> {
    let unknown = message.strip_prefix("unknown field `").or(message.strip_prefix("unknown variant `"));
    let (unknown, known) = unknown?.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    let likeness = |name: &str| strsim::jaro_winkler(unknown, name);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.7).then(|| best.to_owned())
}

/// Properties of librdkafka. `Debug` masks secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(String, String)>);

impl Properties {
    fn example() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([("security.protocol", "ssl")])
    }

    /// The value, or a mask if it is secret.
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
    base::kafka_args::servers(&text).map(Some).map_err(D::Error::custom)
}

/// To TOML `security.protocol = "ssl"` is a table, to librdkafka one name.
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
            return Err(format!("{name} must be a text, a number, true or false"));
        }
    }
    Ok(())
}
