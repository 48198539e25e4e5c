//! `host waiting`: the messages of a running host that wait for a retry, through its HTTP API.

mod decide;
mod list;

use clap::Subcommand;
use desk_api::WaitingFilter;

use crate::dlt::client::HostArgs;

/// Arguments of `host waiting`.
pub type Args = HostArgs<Command>;

/// A command about waiting retries.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the messages that wait for a retry: by plugin, code and tier, and those that are due first
    List(list::Args),
    /// Run waiting messages now
    RunNow(decide::RunNow),
    /// Postpone waiting messages: to a time, or by a time
    Postpone(decide::Postpone),
    /// Give waiting messages up: they become dead letters, without another attempt
    GiveUp(decide::GiveUp),
}

/// Conditions; all must match.
#[derive(Debug, Default, clap::Args)]
struct Conditions {
    /// Only messages of this plugin: its name, without its version
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Only messages whose latest failure has this code; * stands for any characters
    #[arg(long)]
    code: Option<String>,
    /// Only messages in this retry topic
    #[arg(long)]
    topic: Option<String>,
}

impl Conditions {
    fn filter(self) -> WaitingFilter {
        WaitingFilter { plugin: self.plugin, code: self.code, topic: self.topic }
    }
}

/// Runs `host waiting`.
///
/// # Errors
/// The host does not answer, or refuses the request.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (client, command) = args.connect()?;
    match command {
        Command::List(args) => list::run(&client, args).await?,
        Command::RunNow(args) => decide::run_now(&client, args).await?,
        Command::Postpone(args) => decide::postpone(&client, args).await?,
        Command::GiveUp(args) => decide::give_up(&client, args).await?,
    }
    Ok(())
}
