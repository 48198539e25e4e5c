//! `host dlt discard` and `host dlt restore`.

use base::error::UserError;
use base::text::counted;
use desk_api::{ChangeRequest, DeadLetterCount, DeadLetterState, Filter};

use super::client::Client;
use super::select::{Select, confirm_count, count};
use crate::confirm;
use crate::output::OutputArgs;

/// Arguments of `host dlt discard`.
#[derive(Debug, clap::Args)]
pub struct Discard {
    #[command(flatten)]
    select: Select,
    /// Select every open dead letter
    #[arg(long)]
    all: bool,
    /// Reason for the audit log; prompted for on a terminal
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `host dlt restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    #[command(flatten)]
    select: Select,
    /// Select every discarded dead letter
    #[arg(long)]
    all: bool,
    /// Reason for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Discards dead letters.
pub async fn discard(client: &Client, args: Discard) -> Result<(), UserError> {
    let filter = args.select.restricted(args.all)?;
    let open = Filter { state: Some(DeadLetterState::Open), ..filter.clone() };
    let found = count(client, &open, "open").await?;
    let reason = confirm::reason(args.reason, "discarding")?;
    confirm_count(&format!("Discard {}?", counted(found, "dead letter")), found, args.yes)?;
    let request = ChangeRequest { filter, reason, all: args.all };
    let changed: DeadLetterCount = client.post("/dead-letters/discard", &request).await?;
    args.output.report(&changed, || {
        format!("discarded {}; to reopen: host dlt restore", counted(changed.dead_letters, "dead letter"))
    })
}

/// Restores dead letters.
pub async fn restore(client: &Client, args: Restore) -> Result<(), UserError> {
    let filter = args.select.restricted(args.all)?;
    let discarded = Filter { state: Some(DeadLetterState::Discarded), ..filter.clone() };
    let found = count(client, &discarded, "discarded").await?;
    confirm_count(&format!("Restore {}?", counted(found, "dead letter")), found, args.yes)?;
    let request = ChangeRequest { filter, reason: args.reason, all: args.all };
    let changed: DeadLetterCount = client.post("/dead-letters/restore", &request).await?;
    args.output.report(&changed, || format!("restored {}", counted(changed.dead_letters, "dead letter")))
}
