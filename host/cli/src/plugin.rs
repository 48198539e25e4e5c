//! `host plugin`: for authors of plugins (crate `plugin-cli`), and for the plugins of a running host.

mod inspect;
mod intake;

use plugin_cli::{compile, dev, invoke, new, test};
use settings::RunArgs;

/// Arguments of `host plugin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a new project: a handler with its tests
    New(new::Args),
    /// Build a project at every change, and run its cases
    Dev(dev::Args),
    /// Run cases: messages, each with the outcome and the effects that are expected
    Test(test::Args),
    /// Compile a plugin ahead of its first start
    Compile(compile::Args),
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

impl Args {
    /// The arguments for running plugins.
    pub fn run_args_mut(&mut self) -> Option<&mut RunArgs> {
        match &mut self.command {
            Command::Inspect(args) => Some(&mut args.plugin.run),
            Command::Invoke(args) => Some(&mut args.plugin.run),
            Command::Test(args) => Some(&mut args.dry.run),
            Command::Dev(args) => Some(&mut args.dry.run),
            Command::Compile(args) => Some(&mut args.dry.run),
            Command::New(_) => None,
            Command::List(_) | Command::Show(_) | Command::Pause(_) | Command::Resume(_) => None,
        }
    }
}

/// # Errors
/// See [`new::run`], [`dev::run`], [`test::run`], [`compile::run`], [`inspect::run`], [`invoke::run`],
/// [`intake::list`], [`intake::show`], [`intake::pause`] and [`intake::resume`].
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::New(args) => Ok(new::run(&args)?),
        Command::Dev(args) => Ok(dev::run(args).await?),
        Command::Test(args) => Ok(test::run(args).await?),
        Command::Compile(args) => Ok(compile::run(args).await?),
        Command::Inspect(args) => Ok(inspect::run(args).await?),
        Command::Invoke(args) => Ok(invoke::run(args).await?),
        Command::List(args) => Ok(intake::list(args).await?),
        Command::Show(args) => Ok(intake::show(args).await?),
        Command::Pause(args) => Ok(intake::pause(args).await?),
        Command::Resume(args) => Ok(intake::resume(args).await?),
    }
}
