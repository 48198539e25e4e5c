//! Following a replay to its end.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use base::error::UserError;
use desk::jobs::{Job, JobState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;
use super::list::escaped;
use crate::output::{self, Format, note};

/// How often the job is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the host may be away: it goes on with its jobs when it is started again.
const AWAY: Duration = Duration::from_secs(60);

/// Shows how a job goes on until it has ended. Ctrl-C ends this, and not the job.
///
/// # Errors
/// It did not end well, or is not followed any longer.
pub async fn run(client: &Client, mut job: Job, output: Format) -> Result<(), UserError> {
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| UserError::unavailable(format!("cannot listen for signals: {error}")))?;
    note(format!("following job {}; Ctrl-C leaves it to itself", job.id));
    let bar = bar(&job);
    let mut seen = Instant::now();
    while matches!(job.state, JobState::Running | JobState::Paused) {
        tokio::select! {
            _ = interrupts.recv() => {
                bar.finish_and_clear();
                return Err(UserError::unavailable(format!("no longer followed; the job is {} and goes on without this", job.state.as_str()))
                    .help(format!("follow it again: host dlt jobs follow {}", job.id))
                    .help(format!("end it: host dlt jobs cancel {}", job.id)));
            }
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match client.get(&format!("/jobs/{}", job.id), &[]).await {
            Ok(now) => (job, seen) = (now, Instant::now()),
            Err(failure) if seen.elapsed() > AWAY => return Err(failure),
            Err(_) => {}
        }
        show(&bar, &job);
    }
    bar.finish_and_clear();
    ended(&job, output)
}

fn bar(job: &Job) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(job.letters), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    show(&bar, job);
    bar
}

fn show(bar: &ProgressBar, job: &Job) {
    bar.set_position(job.letters.saturating_sub(job.waiting + job.sent));
    let paused = if job.state == JobState::Paused { "paused, " } else { "" };
    let why = if job.why.is_empty() { String::new() } else { format!("  {}", escaped(&job.why)) };
    bar.set_message(format!(
        "{paused}{} under way, {} done, {} failed, step {}{why}",
        job.sent,
        job.done,
        job.failed,
        job.steps + 1
    ));
}

fn ended(job: &Job, output: Format) -> Result<(), UserError> {
    match output {
        Format::Json => output::print_json(job)?,
        Format::Table => note(format!(
            "job {} is {}: {} done, {} failed, {} unknown, {} no longer open, {} not sent",
            job.id,
            job.state.as_str(),
            job.done,
            job.failed,
            job.unknown,
            job.gone,
            job.waiting
        )),
    }
    match job.state {
        JobState::Done => Ok(()),
        JobState::Stopped => Err(UserError::unavailable(format!("stopped: {}", escaped(&job.why)))
            .help("see what failed: host dlt groups")
            .help(format!("go on all the same: host dlt jobs resume {}", job.id))),
        state => Err(UserError::unavailable(format!("the job is {}", state.as_str()))),
    }
}
