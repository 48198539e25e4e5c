//! The command line's arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use settings::RunArgs;

use crate::demo;
use crate::layers::Origins;
use crate::{completions, config, consume, doctor, groups, plugin, produce, topics};
use desk_cli::{alerts, dlt, status, waiting};

/// Run sandboxed WebAssembly components as Kafka consumers.
///
/// A plugin handles the messages of a topic. The host joins the consumer group, calls the plugin for
/// each message in a new sandbox, retries failed messages through retry topics, and moves messages
/// that continue to fail to a dead-letter topic.
#[derive(Debug, Parser)]
#[command(name = "host", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Try it without Kafka: host demo")]
pub struct Cli {
    /// The command; None runs plugins.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments for running plugins.
    #[command(flatten)]
    pub run: RunArgs,
    /// Configuration file [default: host.toml in the working directory, if it exists]
    // Only for --help: `layers` removes the flag before parsing.
    #[arg(long, value_name = "FILE", env = "HOST_CONFIG")]
    pub config: Option<PathBuf>,
    /// The sources of the values.
    #[arg(skip)]
    pub origins: Origins,
}

impl Cli {
    /// The arguments of the commands that run or load plugins.
    pub fn run_args_mut(&mut self) -> Option<&mut RunArgs> {
        match &mut self.command {
            None => Some(&mut self.run),
            Some(Command::Config(args)) => args.run_args_mut(),
            Some(Command::Doctor(args)) => Some(&mut args.run),
            Some(Command::Groups(args)) => args.run_args_mut(),
            Some(Command::Plugin(args)) => args.run_args_mut(),
            Some(_) => None,
        }
    }
}

/// Commands; without one, the host runs plugins.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the complete system in one process, with an embedded broker
    Demo(demo::Args),
    /// Check everything that a host needs, and say what is wrong and how to mend it; changes nothing
    Doctor(Box<doctor::Args>),
    /// Show the state of a running host: Kafka, store, destinations, groups, and what waits
    Status(status::Args),
    /// Create, list, describe and delete topics
    Topics(topics::Args),
    /// List, describe and migrate consumer groups, and release held keys
    Groups(groups::Args),
    /// Inspect, replay and discard dead letters
    Dlt(dlt::Args),
    /// List the messages that wait for a retry, and run, postpone and give them up
    Waiting(waiting::Args),
    /// Test the alerts about dead letters
    Alerts(alerts::Args),
    /// Publish each line of standard input as a message
    Produce(produce::Args),
    /// Print the messages of a topic
    Consume(consume::Args),
    /// Inspect, pause and resume plugins, and call them without Kafka
    Plugin(plugin::Args),
    /// Check, show and create configuration files
    Config(config::Args),
    /// Print the completions of a shell
    Completions(completions::Completions),
    /// Write manual pages
    Man(completions::Man),
}

/// Whether a command line runs plugins or the demo, as far as can be told before it is parsed.
pub fn is_service(args: &[OsString]) -> bool {
    let named = args.iter().skip(1).filter_map(|arg| arg.to_str()).find(|arg| Command::has_subcommand(arg));
    named.is_none_or(|name| name == "demo")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn commands_are_told_from_services() {
        let is_service = |line: &str| is_service(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(is_service("host") && is_service("host --plugin a.wasm") && is_service("host demo"));
        assert!(!is_service("host topics list") && !is_service("host --config host.toml dlt list"));
    }

    /// clap checks this in debug builds only; release builds silently ignore one of the two.
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
