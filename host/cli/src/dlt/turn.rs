//! `host dlt discard` and `host dlt restore`.

use base::error::UserError;
use base::text::counted;
use desk::{Filter, State};
use serde_json::json;
use server::api::Turned;

use super::client::Client;
use super::select::{Select, agreed, count};
use crate::ask;
use crate::output::note;

/// Arguments of `host dlt discard`.
#[derive(Debug, clap::Args)]
pub struct Discard {
    #[command(flatten)]
    select: Select,
    /// Every open letter
    #[arg(long)]
    all: bool,
    /// Why; asked for on a terminal
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Arguments of `host dlt restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    #[command(flatten)]
    select: Select,
    /// Every discarded letter
    #[arg(long)]
    all: bool,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Gives letters up.
pub async fn discard(client: &Client, args: Discard) -> Result<(), UserError> {
    let filter = args.select.some(args.all)?;
    let open = Filter { state: Some(State::Open), ..filter.clone() };
    let found = count(client, &open, "open").await?;
    let reason = reason(args.reason)?;
    agreed(&format!("Discard {}?", counted(found, "letter")), found, args.yes)?;
    let body = json!({ "filter": filter, "reason": reason, "all": args.all });
    let turned: Turned = client.post("/letters/discard", &body).await?;
    note(format!("discarded {}; host dlt restore opens them again", counted(turned.letters, "letter")));
    Ok(())
}

/// Opens discarded letters again.
pub async fn restore(client: &Client, args: Restore) -> Result<(), UserError> {
    let filter = args.select.some(args.all)?;
    let discarded = Filter { state: Some(State::Discarded), ..filter.clone() };
    let found = count(client, &discarded, "discarded").await?;
    agreed(&format!("Restore {}?", counted(found, "letter")), found, args.yes)?;
    let body = json!({ "filter": filter, "reason": args.reason, "all": args.all });
    let turned: Turned = client.post("/letters/restore", &body).await?;
    note(format!("restored {}", counted(turned.letters, "letter")));
    Ok(())
}

fn reason(given: Option<String>) -> Result<String, UserError> {
    let reason = match given {
        Some(reason) => reason,
        None if ask::is_possible() => ask::answer("Why? ")?,
        None => String::new(),
    };
    if reason.trim().is_empty() {
        return Err(
            UserError::usage("discarding needs a reason; nothing was done").help("say why: --reason TEXT")
        );
    }
    Ok(reason)
}
