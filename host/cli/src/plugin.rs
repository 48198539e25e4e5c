//! `host plugin inspect|invoke`: plugins without Kafka.

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
    /// Describe a plugin: imports, capabilities, and whether it runs with this configuration
    Inspect(inspect::Args),
    /// Call a plugin with messages, and show its outcomes and effects; nothing is sent
    Invoke(invoke::Args),
}

/// A plugin with its configuration.
#[derive(Debug, clap::Args)]
// Help hides arguments that do not matter for a plugin. They are accepted, because the environment may have them.
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "plugins" => arg.required(false).hide(true),
    "listen" | "create_topics" | "auto_offset_reset" => arg.hide(true),
    _ => arg,
}))]
struct PluginArgs {
    /// File of the plugin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

impl PluginArgs {
    /// The arguments of `host --plugin FILE`.
    fn run_args(mut self) -> RunArgs {
        self.run.plugins = vec![self.file];
        self.run
    }
}

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Text
    Text,
    /// JSON
    Json,
}

impl Args {
    /// The arguments for running plugins.
    pub fn run_args_mut(&mut self) -> Option<&mut RunArgs> {
        match &mut self.command {
            Command::Inspect(args) => Some(&mut args.plugin.run),
            Command::Invoke(args) => Some(&mut args.plugin.run),
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
