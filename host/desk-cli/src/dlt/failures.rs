//! `host dlt failures`.

use base::error::UserError;
use base::text::counted;
use desk_api::{Failure, FailureState, FailureUpdate};

use super::client::{Client, ListArgs, check_id};
use super::format::{age, fitted, short, suffix};
use super::select::Target;
use crate::output::{escaped, note};

/// Arguments of `host dlt failures`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Mark a failure as fixed; a new dead letter reopens it
    Close(Target),
    /// Reopen a failure
    Reopen(Target),
    /// Set the note of a failure
    Note {
        #[command(flatten)]
        target: Target,
        /// New note; "" removes it
        #[arg(value_name = "TEXT")]
        text: String,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Include failures without open dead letters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    list: ListArgs,
}

/// Lists failures, or changes one.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let state = |state| FailureUpdate { state: Some(state), ..FailureUpdate::default() };
    match args.command {
        None => list(client, &args.list).await,
        Some(Command::Close(target)) => update(client, target, state(FailureState::Closed)).await,
        Some(Command::Reopen(target)) => update(client, target, state(FailureState::Open)).await,
        Some(Command::Note { target, text }) => {
            update(client, target, FailureUpdate { note: Some(text), ..FailureUpdate::default() }).await
        }
    }
}

async fn update(client: &Client, target: Target, update: FailureUpdate) -> Result<(), UserError> {
    let Target { id, reason, output } = target;
    let path = format!("/failures/{}", check_id(&id, "host dlt failures")?);
    let failure: Failure = client.patch(&path, &FailureUpdate { reason, ..update }).await?;
    output.report(&failure, || {
        let text = suffix(": ", &failure.note);
        format!("{} {} is {}{text}", short(&failure.id), escaped(&failure.code), failure.state.as_str())
    })?;
    if failure.state == FailureState::Closed && failure.open > 0 {
        note(format!("{} left; replay or discard them", counted(failure.open, "open dead letter")));
    }
    Ok(())
}

async fn list(client: &Client, args: &List) -> Result<(), UserError> {
    let query = [("open", (!args.all).to_string())];
    client.print_list(("/failures", &query), args.list, "no failures", table).await
}

fn table(failures: &[Failure]) -> String {
    let rows = failures.iter().map(|failure| {
        let recent = if failure.recent > 0 { format!("+{}", failure.recent) } else { "-".to_owned() };
        let closed = if failure.state == FailureState::Closed { "(closed) " } else { "" };
        let about = [&failure.note, &failure.cause, &failure.detail];
        let text = about.into_iter().find(|text| !text.is_empty()).map_or("", String::as_str);
        [
            short(&failure.id),
            failure.open.to_string(),
            recent,
            age(failure.first_seen_ms),
            age(failure.last_seen_ms),
            escaped(&failure.code),
            escaped(&failure.plugin),
            format!("{closed}{}", escaped(text)),
        ]
    });
    let headings =
        ["ID", ">OPEN", ">LAST HOUR", ">FIRST SEEN", ">LAST SEEN", "CODE", "PLUGIN", "NOTE OR CAUSE"];
    fitted(headings, rows.collect())
}
