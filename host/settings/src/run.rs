//! The arguments for running plugins. Values of `host.toml` are their defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base::error::UserError;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::{Found, KafkaArgs, PluginSettings};

/// The arguments for running plugins.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// File of a plugin to run; can be repeated
    #[arg(
        long = "plugin",
        value_name = "FILE",
        required = true,
        env = "HOST_PLUGINS",
        value_delimiter = ','
    )]
    pub plugins: Vec<PathBuf>,
    #[command(flatten)]
    /// The connection to Kafka.
    pub kafka: KafkaArgs,
    /// Where a consumer group without committed offsets starts
    #[arg(long, value_enum, value_name = "OFFSET", default_value_t = OffsetReset::Earliest, env = "KAFKA_AUTO_OFFSET_RESET")]
    pub auto_offset_reset: OffsetReset,
    /// Create missing topics
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", env = "HOST_CREATE_TOPICS")]
    pub create_topics: bool,
    /// Enable the dead-letter desk, which stores and replays dead letters
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", env = "HOST_DESK")]
    pub desk: bool,
    /// Address of the console, the API, health checks and metrics
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", env = "HOST_LISTEN")]
    pub listen: SocketAddr,
    /// Mail server, such as smtp://localhost:1025; without it, e-mail is only logged
    // It may contain a password, which help must not show.
    #[arg(
        long,
        value_name = "URL",
        env = "HOST_MAIL_URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub mail_url: Option<String>,
    /// Database of effects and dead letters: sqlite:PATH or postgres://… [default: sqlite:host.db]
    // It may contain a password too.
    #[arg(
        long,
        value_name = "URL",
        env = "HOST_STORE",
        hide_env_values = true,
        default_value = "sqlite:host.db",
        hide_default_value = true
    )]
    pub store: Option<String>,
    /// `host.toml`. If it lists plugins, no others may run.
    #[arg(skip)]
    pub found: Option<Box<Found>>,
}

impl RunArgs {
    /// Whether there is a mail server, for some plugins at least.
    pub fn has_mail(&self) -> bool {
        self.mail_url.is_some() || self.found.as_ref().is_some_and(|found| !found.file.mail.server.is_empty())
    }

    /// Whether there is a mail server for alerts, and for plugins that name no others.
    pub fn has_default_mail(&self) -> bool {
        self.mail_url.is_some()
            || self.found.as_ref().is_some_and(|found| !found.file.mail.servers.is_empty())
    }

    /// The file's settings for the plugin with this index; None without a file, or if it lists no plugins. A file
    /// may list a component twice, for two topics.
    ///
    /// # Errors
    /// The file lists plugins, but not this one.
    pub fn settings_of(&self, index: usize) -> Result<Option<&PluginSettings>, UserError> {
        let Some(found) = self.found.as_ref().filter(|found| !found.file.plugins.is_empty()) else {
            return Ok(None);
        };
        let (listed, path) =
            (&found.file.plugins, self.plugins.get(index).map_or(Path::new(""), PathBuf::as_path));
        let same = |other: &&PluginSettings| match (path.canonicalize(), other.path.canonicalize()) {
            (Ok(path), Ok(other)) => path == other,
            _ => path == other.path,
        };
        let settings = listed.get(index).filter(same).or_else(|| listed.iter().find(same));
        settings.map(Some).ok_or_else(|| {
            UserError::usage(format!("{} is not listed in {}", path.display(), found.path.display()))
                .help("add a [[plugin]] with its path and its topic")
        })
    }
}

/// Where a consumer group without committed offsets starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffsetReset {
    /// At the oldest message.
    Earliest,
    /// At the next message.
    Latest,
}

impl OffsetReset {
    /// The value of `auto.offset.reset`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        }
    }
}
