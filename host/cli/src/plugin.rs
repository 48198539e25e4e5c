//! `host plugin`: inspects and calls plugins without Kafka, and pauses those of a running host.

mod inspect;
mod intake;
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
    /// List the plugins of a running host, and whether they are handed messages
    List(intake::List),
    /// Show a plugin of a running host: version, permissions, limits, and how it runs
    Show(intake::Show),
    /// Pause a plugin of a running host: it is handed no further messages, and spends no attempt
    Pause(intake::Pause),
    /// Resume a paused plugin of a running host
    Resume(intake::Resume),
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
            Command::List(_) | Command::Show(_) | Command::Pause(_) | Command::Resume(_) => None,
        }
    }
}

/// # Errors
/// See [`inspect::run`], [`invoke::run`], [`intake::list`], [`intake::show`], [`intake::pause`] and [`intake::resume`].
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Inspect(args) => Ok(inspect::run(args).await?),
        Command::Invoke(args) => Ok(invoke::run(args).await?),
        Command::List(args) => Ok(intake::list(args).await?),
        Command::Show(args) => Ok(intake::show(args).await?),
        Command::Pause(args) => Ok(intake::pause(args).await?),
        Command::Resume(args) => Ok(intake::resume(args).await?),
    }
}
