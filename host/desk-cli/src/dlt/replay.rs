//! `host dlt replay`.

use std::collections::BTreeSet;

use base::error::UserError;
use base::text::counted;
use desk_api::{
    DeadLetterCount, Failure, Filter, Page, ReplayPlan, ReplayPreview, ReplayRequest, ReplayTarget,
    StartedReplay,
};

use super::client::Client;
use super::follow;
use super::select::{Select, confirm_count};
use crate::output::{self, Format, escaped, note};

/// Failures whose codes are named if no dead letter has the code of the filter.
const MAX_CODES: u32 = 50;

/// Arguments of `host dlt replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    select: Select,
    /// Select every open dead letter
    #[arg(long)]
    all: bool,
    /// Only dead letters that did not fail in this trial of host dlt try
    #[arg(long, value_name = "ID")]
    trial: Option<String>,
    #[command(flatten)]
    plan: PlanArgs,
    /// Reason for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Do not follow the replay; print its id
    #[arg(long)]
    detach: bool,
    /// Output format of the result
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// The arguments for the plan of a replay.
#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// Topic to replay to
    #[arg(long, value_enum, value_name = "TARGET", default_value = "source")]
    to: ReplayTarget,
    /// Maximum number of dead letters per second [default: no limit]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Sizes of the steps; the last size repeats. Each step waits for the outcomes of the previous one
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_values_t = ReplayPlan::CAREFUL_RAMP)]
    ramp: Vec<u32>,
    /// Send everything in a single step, in place of --ramp
    #[arg(long, conflicts_with = "ramp")]
    at_once: bool,
    /// The default: kept for scripts
    #[arg(long, hide = true, conflicts_with_all = ["ramp", "at_once"])]
    careful: bool,
    /// Maximum failure rate, also within a step; above it, the replay stops. 100 never stops it
    #[arg(long, value_name = "PERCENT", default_value_t = ReplayPlan::default().limit_percent, value_parser = clap::value_parser!(u8).range(..=100))]
    max_failures: u8,
    /// Skip messages that have been replayed this many times
    #[arg(long, value_name = "N", default_value_t = ReplayPlan::default().max_replays)]
    max_replays: u32,
}

impl PlanArgs {
    fn plan(self) -> ReplayPlan {
        ReplayPlan {
            target: self.to,
            rate: self.rate,
            ramp: if self.at_once { Vec::new() } else { self.ramp },
            limit_percent: self.max_failures,
            max_replays: self.max_replays,
        }
    }
}

/// Starts a replay.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let Args { select, all, trial, plan, reason, yes, detach, output } = args;
    let filter = if trial.is_some() { select.filter()? } else { select.restricted(all)? };
    let request = ReplayRequest { filter, plan: plan.plan(), reason, all, trial };
    send(client, &request, yes, detach, output).await
}

/// Previews a replay, asks for confirmation, starts it and follows it.
pub async fn send(
    client: &Client,
    request: &ReplayRequest,
    yes: bool,
    detach: bool,
    output: Format,
) -> Result<(), UserError> {
    request.plan.check().map_err(UserError::usage)?;
    let preview: ReplayPreview = client.post("/replays/preview", request).await?;
    for share in &preview.topics {
        note(format!("{} to {}", counted(share.dead_letters, "dead letter"), escaped(&share.topic)));
    }
    preview.warnings.iter().for_each(|warning| note(format!("warning: {}", escaped(warning))));
    if preview.dead_letters == 0 {
        return Err(nothing_to_send(client, &request.filter).await?);
    }
    let question = format!("Replay {}?", counted(preview.dead_letters, "dead letter"));
    confirm_count(&question, preview.dead_letters, yes)?;
    let StartedReplay { replay, .. } = client.post("/replays", request).await?;
    if !detach {
        return follow::run(client, replay, output).await;
    }
    match output {
        Format::Json => output::print_json(&replay),
        Format::Table => output::print(&replay.id),
    }
}

/// The error for a selection of which nothing can be sent: it says what is wrong with it.
async fn nothing_to_send(client: &Client, filter: &Filter) -> Result<UserError, UserError> {
    let any = Filter { state: None, ..filter.clone() };
    let DeadLetterCount { dead_letters } = client.get("/dead-letters/count", &any.query_pairs()).await?;
    if dead_letters > 0 {
        let matching = counted(dead_letters, "dead letter");
        let what =
            format!("none of {matching} that match can be sent: none is open, or see the warnings above");
        return Ok(UserError::unavailable(what).help("list them: host dlt list, with the same filters"));
    }
    let error = UserError::unavailable("no dead letter matches the filters");
    let query = [("open", "true".to_owned()), ("limit", MAX_CODES.to_string())];
    let failures: Page<Failure> = client.get("/failures", &query).await?;
    let codes: BTreeSet<String> = failures.items.iter().map(|failure| escaped(&failure.code)).collect();
    Ok(match (&filter.code, codes.is_empty()) {
        (Some(_), false) => {
            let codes: Vec<String> = codes.into_iter().collect();
            error.help(format!("codes of open dead letters: {}", codes.join(", ")))
        }
        _ => error.help("list dead letters: host dlt list"),
    })
}
