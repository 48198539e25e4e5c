//! `host dlt`: the dead-letter desk of a running host, through its HTTP API.

pub(super) mod client;
mod edit;
mod follow;
mod groups;
mod jobs;
mod list;
mod replay;
mod select;
mod show;
mod transfer;
mod trial;
mod turn;

use clap::Subcommand;

use self::client::{Client, Reach};

/// Arguments of `host dlt`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: Reach,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters, newest first
    List(list::Args),
    /// Show everything about one letter
    Show(show::Args),
    /// List what fails: since when, how often, how fast it grows
    Groups(groups::Args),
    /// Give letters to a build of a plugin, sending nothing: which would now succeed?
    Try(trial::Args),
    /// Send letters back, and follow that
    Replay(replay::Args),
    /// Change a letter's value; the original is kept
    Edit(edit::Args),
    /// Give letters up
    Discard(turn::Discard),
    /// Open discarded letters again
    Restore(turn::Restore),
    /// Write whole letters as JSON Lines
    Export(transfer::Export),
    /// Take letters in from JSON Lines
    Import(transfer::Import),
    /// List, show, pause, resume and cancel replays
    Jobs(jobs::Args),
}

/// Runs `host dlt`.
///
/// # Errors
/// The host does not answer, or refuses.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.reach)?;
    match args.command {
        Command::List(args) => list::run(&client, args).await?,
        Command::Show(args) => show::run(&client, &args).await?,
        Command::Groups(args) => groups::run(&client, args).await?,
        Command::Try(args) => trial::run(&client, args).await?,
        Command::Replay(args) => replay::run(&client, args).await?,
        Command::Edit(args) => edit::run(&client, args).await?,
        Command::Discard(args) => turn::discard(&client, args).await?,
        Command::Restore(args) => turn::restore(&client, args).await?,
        Command::Export(args) => transfer::export(&client, args).await?,
        Command::Import(args) => transfer::import(&client, args).await?,
        Command::Jobs(args) => jobs::run(&client, args).await?,
    }
    Ok(())
}
