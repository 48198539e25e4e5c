//! `host dlt jobs`.

use base::error::UserError;
use base::text;
use clap::Subcommand;
use desk::Page;
use desk::filter::is_id;
use desk::jobs::{Job, Target};
use serde_json::json;

use super::client::Client;
use super::follow;
use super::list::{escaped, fitted, short};
use super::select::age;
use crate::output::{self, Format, note};

/// Arguments of `host dlt jobs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// How to print the list
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show one job
    Show(Show),
    /// Follow a job to its end
    Follow(One),
    /// Send nothing more of a job until it is resumed
    Pause(One),
    /// Go on with a job that was paused or stopped
    Resume(One),
    /// End a job; what was not sent stays open
    Cancel(One),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The job's id, or what it alone begins with
    #[arg(value_name = "ID")]
    id: String,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The job's id, or what it alone begins with
    #[arg(value_name = "ID")]
    id: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

/// Runs `host dlt jobs`.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    match args.command {
        None => list(client, args.output).await,
        Some(Command::Show(show)) => {
            let job = fetch(client, &show.id).await?;
            match show.output {
                Format::Json => output::print_json(&job),
                Format::Table => output::print(block(&job)),
            }
        }
        Some(Command::Follow(one)) => follow::run(client, fetch(client, &one.id).await?, Format::Table).await,
        Some(Command::Pause(one)) => turn(client, &one, "pause").await,
        Some(Command::Resume(one)) => turn(client, &one, "resume").await,
        Some(Command::Cancel(one)) => turn(client, &one, "cancel").await,
    }
}

async fn list(client: &Client, output: Format) -> Result<(), UserError> {
    let jobs: Page<Job> = client.get("/jobs", &[]).await?;
    if output == Format::Json {
        return output::print_json(&jobs.items);
    }
    if jobs.items.is_empty() {
        note("no jobs");
        return Ok(());
    }
    let rows = jobs.items.iter().map(|job| {
        [
            // Those of one minute begin alike.
            escaped(&job.id),
            job.state.as_str().to_owned(),
            age(job.created_ms),
            job.letters.to_string(),
            job.waiting.to_string(),
            job.failed.to_string(),
            escaped(&job.who),
            escaped(&job.reason),
        ]
    });
    let headings = ["ID", "STATE", ">AGE", ">LETTERS", ">WAITING", ">FAILED", "WHO", "REASON"];
    output::print(fitted(headings, rows.collect()))
}

fn block(job: &Job) -> String {
    let to = match job.plan.target {
        Target::Source => "the source topic",
        Target::Retry => "the first retry topic",
    };
    let rate = job.plan.rate.map_or_else(|| "no limit".to_owned(), |rate| format!("{rate} letters a second"));
    let ramp: Vec<String> = job.plan.ramp.iter().map(ToString::to_string).collect();
    let ramp = if ramp.is_empty() { "one step".to_owned() } else { format!("steps of {}", ramp.join(", ")) };
    let why = if job.why.is_empty() { String::new() } else { format!(": {}", escaped(&job.why)) };
    let mut lines = vec![
        format!("id       {}", escaped(&job.id)),
        format!("state    {} since {}{why}", job.state.as_str(), text::utc(job.state_since_ms)),
        format!("made     {} by {}", text::utc(job.created_ms), escaped(&job.who)),
        format!("to       {to}, {rate}, {ramp}, stops above {} % failures", job.plan.limit_percent),
        format!("letters  {}", job.letters),
        format!(
            "  waiting {}, under way {}, done {}, failed {}, unknown {}, no longer open {}",
            job.waiting, job.sent, job.done, job.failed, job.unknown, job.gone
        ),
        format!("steps    {} ended, with {} letters", job.steps, job.stepped),
    ];
    if !job.reason.is_empty() {
        lines.insert(3, format!("reason   {}", escaped(&job.reason)));
    }
    lines.join("\n")
}

async fn fetch(client: &Client, id: &str) -> Result<Job, UserError> {
    client.get(&format!("/jobs/{}", checked(id)?), &[]).await
}

async fn turn(client: &Client, one: &One, what: &str) -> Result<(), UserError> {
    let path = format!("/jobs/{}/{what}", checked(&one.id)?);
    let job: Job = client.post(&path, &json!({ "reason": one.reason })).await?;
    note(format!("job {} is {}", short(&job.id), job.state.as_str()));
    Ok(())
}

fn checked(id: &str) -> Result<&str, UserError> {
    if is_id(id) {
        return Ok(id);
    }
    Err(UserError::usage(format!("{} is no id: 1 to 32 hexadecimal digits", escaped(id)))
        .help("see ids: host dlt jobs"))
}
