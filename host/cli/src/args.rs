//! The command line as typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use settings::RunArgs;

use crate::demo;
use crate::layers::Origins;
use crate::{alerts, config, consume, dlt, groups, plugin, produce, topics};

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
