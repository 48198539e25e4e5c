//! `host plugin inspect|invoke`: a plugin looked at and tried without Kafka.

mod inspect;
mod invoke;
mod message;
mod next;

use std::path::PathBuf;

use settings::RunArgs;

/// Arguments of `host plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what a plugin is, what it wants, and whether it runs with this configuration
    Inspect(inspect::Args),
    /// Give messages to a plugin, and show what it would do; nothing is sent
    Invoke(invoke::Args),
}

/// A plugin, and the configuration that holds for it.
#[derive(Debug, clap::Args)]
// What says nothing about a plugin is not shown, and read all the same: the environment may hold it.
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "plugins" => arg.required(false).hide(true),
    "listen" | "create_topics" | "auto_offset_reset" => arg.hide(true),
    _ => arg,
}))]
struct Here {
    /// The plugin's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

impl Here {
    /// As `host --plugin FILE` would have it.
    fn run_args(mut self) -> RunArgs {
        self.run.plugins = vec![self.file];
        self.run
    }
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// JSON
    Json,
}

impl Args {
    /// The arguments that are those of running plugins.
    pub fn run_args_mut(&mut self) -> Option<&mut RunArgs> {
        match &mut self.command {
            Command::Inspect(args) => Some(&mut args.here.run),
            Command::Invoke(args) => Some(&mut args.here.run),
        }
    }
}

/// # Errors
/// See [`inspect::run`] and [`invoke::run`].
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Inspect(args) => Ok(inspect::run(args).await?),
        Command::Invoke(args) => Ok(invoke::run(args).await?),
    }
}
