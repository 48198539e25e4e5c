//! The command line as typed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::commands::{alerts, config, consume, dlt, groups, plugin, produce, topics};
use crate::config::layers::Origins;
use crate::config::{Found, PluginSettings};
use crate::demo;
use crate::error::Failure;
use crate::kafka::client::KafkaArgs;

/// Runs sandboxed WebAssembly components as Kafka consumers.
///
/// Each plugin names the topic it handles. The host joins its consumer group, gives every message
/// to the plugin in a sandbox of its own, tries again what failed through retry topics, and puts
/// what stays failed into a dead-letter topic.
#[derive(Debug, Parser)]
#[command(name = "host", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Try it without Kafka: host demo")]
pub struct Cli {
    /// What to do instead of running plugins.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Running plugins.
    #[command(flatten)]
    pub run: RunArgs,
    /// Read this file instead of host.toml in the working directory
    // For help alone: `layers` takes it out before the rest is parsed.
    #[arg(long, value_name = "FILE", env = "HOST_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the values came from.
    #[arg(skip)]
    pub origins: Origins,
}

impl Cli {
    /// The arguments of whatever runs or loads plugins.
    pub fn run_args_mut(&mut self) -> Option<&mut RunArgs> {
        match &mut self.command {
            None => Some(&mut self.run),
            Some(Command::Config(args)) => args.run_args_mut(),
            Some(Command::Groups(args)) => args.run_args_mut(),
            Some(Command::Plugin(args)) => args.run_args_mut(),
            Some(_) => None,
        }
    }
}

/// Everything beside running plugins.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole system in one process, on an embedded broker
    Demo(demo::Args),
    /// Create, list, describe and delete topics
    Topics(topics::Args),
    /// List, describe and hand over consumer groups
    Groups(groups::Args),
    /// See, understand and send back dead letters
    Dlt(dlt::Args),
    /// Test whether alerts about dead letters arrive
    Alerts(alerts::Args),
    /// Publish lines from standard input
    Produce(produce::Args),
    /// Print the messages of a topic
    Consume(consume::Args),
    /// Inspect a plugin, and try it without Kafka
    Plugin(plugin::Args),
    /// Check, show and begin a configuration file
    Config(config::Args),
}

/// Running plugins.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A plugin to run; repeat for more
    #[arg(
        long = "plugin",
        value_name = "FILE",
        required = true,
        env = "HOST_PLUGINS",
        value_delimiter = ','
    )]
    pub plugins: Vec<PathBuf>,
    #[command(flatten)]
    /// How to reach Kafka.
    pub kafka: KafkaArgs,
    /// Where a group without committed offsets starts
    #[arg(long, value_enum, default_value_t = OffsetReset::Earliest, env = "KAFKA_AUTO_OFFSET_RESET")]
    pub auto_offset_reset: OffsetReset,
    /// Create the topics that are missing
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "HOST_CREATE_TOPICS")]
    pub create_topics: bool,
    /// Keep dead letters at the desk, to be looked at and sent back
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", env = "HOST_DESK")]
    pub desk: bool,
    /// Where the desk and health checks are answered
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", env = "HOST_LISTEN")]
    pub listen: SocketAddr,
    /// Where e-mail goes, e.g. smtp://localhost:1025; without it e-mail is only logged
    // It may hold a password, which help must not show.
    #[arg(
        long,
        value_name = "URL",
        env = "HOST_MAIL_URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub mail_url: Option<String>,
    /// Where dead letters are kept, and what messages have already sent: sqlite:PATH or postgres://…
    // It may hold a password too.
    #[arg(
        long,
        value_name = "URL",
        env = "HOST_STORE",
        hide_env_values = true,
        default_value = "sqlite:host.db",
        hide_default_value = true
    )]
    pub store: Option<String>,
    /// The configuration file, which limits what may run.
    #[arg(skip)]
    pub found: Option<Box<Found>>,
}

impl RunArgs {
    /// What the file says of the plugin with this index; None where there is no file, or it lists no
    /// plugin at all. A file may list the same component twice, for two topics.
    ///
    /// # Errors
    /// The file lists plugins, and not this one.
    pub fn settings_of(&self, index: usize) -> Result<Option<&PluginSettings>, Failure> {
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
            Failure::usage(format!("{} is not listed in {}", path.display(), found.path.display()))
                .help("add a [[plugin]] with its path and its topic")
        })
    }
}

/// Where a group without committed offsets starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffsetReset {
    /// At the first message that is still there.
    Earliest,
    /// At what comes from now on.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    /// clap's own check of this is not in release builds: there one of the two goes unheard.
    #[test]
    fn no_command_has_two_flags_of_one_name() {
        let mut commands = vec![Cli::command()];
        let mut count = 0;
        while let Some(command) = commands.pop() {
            let (mut ids, mut flags) = (BTreeSet::new(), BTreeSet::new());
            for arg in command.get_arguments() {
                let (name, id) = (command.get_name(), arg.get_id());
                assert!(ids.insert(id), "{name}: {id}");
                let long = arg.get_long().map(|long| format!("--{long}"));
                let short = arg.get_short().map(|short| format!("-{short}"));
                for flag in long.into_iter().chain(short) {
                    assert!(flags.insert(flag.clone()), "{name}: {flag}");
                }
            }
            commands.extend(command.get_subcommands().cloned());
            count += 1;
        }
        assert!(count > 30, "{count} commands");
    }
}
