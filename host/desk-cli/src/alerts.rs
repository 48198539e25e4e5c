//! `host alerts`.

use base::error::UserError;
use clap::Subcommand;
use desk_api::{AlertTest, ChannelResult};
use serde_json::json;

use crate::dlt::client::HostArgs;
use crate::output::{OutputArgs, escaped};

/// Arguments of `host alerts`.
pub type Args = HostArgs<Command>;

/// A command about alerts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send a test alert to every channel
    Test(OutputArgs),
}

/// Runs `host alerts`.
///
/// # Errors
/// The host does not answer, or a channel does not accept the test alert.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (client, Command::Test(output)) = args.connect()?;
    let test: AlertTest = client.post("/alerts/test", &json!({})).await?;
    output.print(&test, || text(&test))?;
    let channels = test.channels;
    let failed = channels.iter().filter(|channel| !channel.accepted).count();
    if failed > 0 {
        let what = format!("{failed} of {} channels did not accept the test alert", channels.len());
        return Err(UserError::unavailable(what)
            .help("check [alerts] in the host's configuration, and see docs/guides/alerts.md")
            .into());
    }
    Ok(())
}

fn text(test: &AlertTest) -> String {
    let line = |channel: &ChannelResult| {
        let (name, error) = (escaped(&channel.channel), escaped(&channel.error));
        match channel.accepted {
            true => format!("{name}  accepted"),
            false => format!("{name}  not accepted: {error}"),
        }
    };
    test.channels.iter().map(line).collect::<Vec<_>>().join("\n")
}
