//! `host dlt`: works with the dead letters of a running host, through its HTTP API.

mod audit_log;
pub mod client;
mod discard;
mod edit;
mod failures;
mod follow;
pub mod format;
mod list;
mod replay;
mod replays;
mod select;
mod show;
mod transfer;
mod trial;

use clap::Subcommand;

use self::client::HostArgs;

/// Arguments of `host dlt`.
pub type Args = HostArgs<Command>;

/// A command about dead letters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List dead letters, newest first
    List(list::Args),
    /// Show a dead letter
    Show(show::Args),
    /// List, close and reopen failures: dead letters with the same code, plugin, build and cause
    Failures(failures::Args),
    /// Try a new build of a plugin on dead letters; nothing is sent
    Try(trial::Args),
    /// Replay dead letters, and follow the progress
    Replay(replay::Args),
    /// Create an edited copy of a dead letter
    Edit(edit::Args),
    /// Discard dead letters
    Discard(discard::Discard),
    /// Reopen discarded dead letters
    Restore(discard::Restore),
    /// Export dead letters as JSON Lines
    Export(transfer::Export),
    /// Import dead letters from JSON Lines
    Import(transfer::Import),
    /// List, show, follow, pause, resume and cancel replays
    Replays(replays::Args),
    /// List who did what to dead letters and plugins, newest first
    AuditLog(audit_log::Args),
}

/// Runs `host dlt`.
///
/// # Errors
/// The host does not answer, or refuses the request.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (client, command) = args.connect()?;
    match command {
        Command::List(args) => list::run(&client, args).await?,
        Command::Show(args) => show::run(&client, &args).await?,
        Command::Failures(args) => failures::run(&client, args).await?,
        Command::Try(args) => trial::run(&client, args).await?,
        Command::Replay(args) => replay::run(&client, args).await?,
        Command::Edit(args) => edit::run(&client, args).await?,
        Command::Discard(args) => discard::discard(&client, args).await?,
        Command::Restore(args) => discard::restore(&client, args).await?,
        Command::Export(args) => transfer::export(&client, args).await?,
        Command::Import(args) => transfer::import(&client, args).await?,
        Command::Replays(args) => replays::run(&client, args).await?,
        Command::AuditLog(args) => audit_log::run(&client, args).await?,
    }
    Ok(())
}
