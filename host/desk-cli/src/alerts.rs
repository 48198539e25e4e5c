//! `host alerts`.

use base::error::UserError;
use clap::Subcommand;
use desk_api::AlertTest;
use serde_json::json;

use crate::dlt::client::{ApiArgs, Client};
use crate::output::{escaped, print};

/// Arguments of `host alerts`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a test alert to every channel
    Test,
}

/// Runs `host alerts`.
///
/// # Errors
/// The host does not answer, or a channel does not accept the test alert.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.api)?;
    let Command::Test = args.command;
    let AlertTest { channels } = client.post("/alerts/test", &json!({})).await?;
    for channel in &channels {
        let (name, error) = (escaped(&channel.channel), escaped(&channel.error));
        print(match channel.accepted {
            true => format!("{name}  accepted"),
            false => format!("{name}  not accepted: {error}"),
        })?;
    }
    let failed = channels.iter().filter(|channel| !channel.accepted).count();
    if failed > 0 {
        let what = format!("{failed} of {} channels did not accept the test alert", channels.len());
        return Err(UserError::unavailable(what)
            .help("check [alerts] in the host's configuration, and see docs/guides/alerts.md")
            .into());
    }
    Ok(())
}
