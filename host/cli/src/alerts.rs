//! `host alerts`: whether alerts of a running host arrive.

use base::error::UserError;
use base::text;
use clap::Subcommand;
use serde_json::json;
use server::api::Tested;

use crate::dlt::client::{Client, Reach};
use crate::output::print;

/// Arguments of `host alerts`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a test over every channel, and say what each answers
    Test,
}

/// Runs `host alerts`.
///
/// # Errors
/// The host does not answer, or a channel does not take the test.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.reach)?;
    let Command::Test = args.command;
    let Tested { channels } = client.post("/alerts/test", &json!({})).await?;
    for channel in &channels {
        let (name, why) = (text::line(channel.channel.as_bytes()), text::line(channel.why.as_bytes()));
        print(if channel.taken { format!("{name}  taken") } else { format!("{name}  not taken: {why}") })?;
    }
    let failed = channels.iter().filter(|channel| !channel.taken).count();
    if failed > 0 {
        return Err(UserError::unavailable(format!(
            "{failed} of {} channels did not take it",
            channels.len()
        ))
        .help("see [alerts] in the host's configuration, and docs/guides/alerts.md")
        .into());
    }
    Ok(())
}
