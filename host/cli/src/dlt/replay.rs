//! `host dlt replay`.

use base::error::UserError;
use base::text::counted;
use desk::Filter;
use desk::jobs::{Plan, Target};
use desk::replay::Check;
use serde_json::{Value, json};
use server::api::Started;

use super::client::Client;
use super::follow;
use super::list::escaped;
use super::select::{Select, agreed};
use crate::output::{self, Format, note};

/// Arguments of `host dlt replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    select: Select,
    /// Every open letter
    #[arg(long)]
    all: bool,
    /// Those that a trial (host dlt try) says would pass; of these, what else is asked for
    #[arg(long, value_name = "ID")]
    trial: Option<String>,
    #[command(flatten)]
    how: How,
}

/// How letters are sent back.
#[derive(Debug, clap::Args)]
pub struct How {
    /// Where to: the topic the messages came from, or the first retry topic of the group they failed in
    #[arg(long, value_enum, value_name = "WHERE", default_value = "source")]
    to: Target,
    /// At most so many letters a second
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// In steps of these sizes, the last one again and again; each waits for the outcomes of the one before
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', conflicts_with = "careful")]
    ramp: Vec<u32>,
    /// In steps of 1, 2, 5, 20, 100, 500, 2000
    #[arg(long)]
    careful: bool,
    /// Stop when more than this share of a step fails
    #[arg(long, value_name = "PERCENT", default_value_t = Plan::default().limit_percent, value_parser = clap::value_parser!(u8).range(..=100))]
    max_failures: u8,
    /// Leave out messages that were replayed so often
    #[arg(long, value_name = "N", default_value_t = Plan::default().most_replays)]
    max_replays: u32,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not wait for its end: print the job's id
    #[arg(long)]
    detach: bool,
    /// How to print what became of it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

impl How {
    /// To the source topic, as one step, with this reason.
    pub fn plainly(reason: String) -> Self {
        let Plan { limit_percent, most_replays, .. } = Plan::default();
        Self {
            to: Target::Source,
            rate: None,
            ramp: Vec::new(),
            careful: false,
            max_failures: limit_percent,
            max_replays: most_replays,
            reason,
            yes: true,
            detach: false,
            output: Format::Table,
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            target: self.to,
            rate: self.rate,
            ramp: if self.careful { Plan::RAMP.to_vec() } else { self.ramp.clone() },
            limit_percent: self.max_failures,
            most_replays: self.max_replays,
        }
    }
}

/// Sends letters back.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let filter = if args.trial.is_some() { args.select.filter()? } else { args.select.some(args.all)? };
    send(client, &Which { filter, all: args.all, trial: args.trial }, &args.how).await
}

/// Which letters.
pub struct Which {
    /// Those that are open among these.
    pub filter: Filter,
    /// Whether an empty filter means every letter.
    pub all: bool,
    /// A trial: its letters that pass.
    pub trial: Option<String>,
}

/// Says what would be sent, asks, sends it and follows that.
pub async fn send(client: &Client, which: &Which, how: &How) -> Result<(), UserError> {
    let plan = how.plan();
    plan.check().map_err(UserError::usage)?;
    let Which { filter, all, trial } = which;
    let body: Value =
        json!({ "filter": filter, "plan": plan, "reason": how.reason, "all": all, "trial": trial });
    let preview: Check = client.post("/jobs/preview", &body).await?;
    for share in &preview.topics {
        note(format!("{} to {}", counted(share.letters, "letter"), escaped(&share.topic)));
    }
    preview.warnings.iter().for_each(|warning| note(format!("warning: {}", escaped(warning))));
    if preview.letters == 0 {
        return Err(UserError::unavailable(
            "none of these letters can be sent: they are not open, or were replayed too often",
        )
        .help("see which there are: host dlt list, with the same filters"));
    }
    agreed(&format!("Replay {}?", counted(preview.letters, "letter")), preview.letters, how.yes)?;
    let Started { job, .. } = client.post("/jobs", &body).await?;
    if !how.detach {
        return follow::run(client, job, how.output).await;
    }
    match how.output {
        Format::Json => output::print_json(&job),
        Format::Table => output::print(&job.id),
    }
}
