//! Arguments that several commands have.

use std::path::PathBuf;

use clap::Arg;
use settings::RunArgs;

/// Help hides arguments that do not matter for a plugin. They are accepted, because the environment may have them.
fn about_running(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "plugins" => arg.required(false).hide(true),
        "listen" | "create_topics" | "auto_offset_reset" => arg.hide(true),
        _ => arg,
    }
}

/// The same for arguments that a dry run does not use.
fn about_sending(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "bootstrap_servers" | "properties" | "store" | "desk" | "mail_url" => arg.hide(true),
        _ => about_running(arg),
    }
}

/// A plugin with its configuration.
#[derive(Debug, clap::Args)]
#[command(mut_args(about_running))]
pub struct PluginArgs {
    /// File of the plugin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The arguments of a run.
    #[command(flatten)]
    pub run: RunArgs,
}

impl PluginArgs {
    /// The arguments of `host --plugin FILE`.
    pub fn run_args(mut self) -> RunArgs {
        self.run.plugins = vec![self.file];
        self.run
    }
}

/// The configuration of plugins that are not run.
#[derive(Debug, clap::Args)]
#[command(mut_args(about_sending))]
pub struct DryArgs {
    /// The arguments of a run.
    #[command(flatten)]
    pub run: RunArgs,
}

impl DryArgs {
    /// The arguments of `host --plugin FILE`.
    pub fn run_args(mut self, file: PathBuf) -> RunArgs {
        self.run.plugins = vec![file];
        self.run
    }
}

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text
    Text,
    /// JSON
    Json,
}
