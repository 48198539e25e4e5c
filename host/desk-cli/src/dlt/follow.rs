//! Follows a replay until it ends.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use base::error::UserError;
use base::text::counted;
use desk_api::{Replay, ReplayState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;
use super::format::{replay_fate, short, suffix};
use crate::output::{self, Format, escaped, note};

/// Poll interval.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the host may be unavailable: it continues its replays after a restart.
const MAX_OUTAGE: Duration = Duration::from_secs(60);

/// Shows the progress of a replay until it ends. Ctrl-C stops following, not the replay.
///
/// # Errors
/// The replay did not complete, or is no longer followed.
pub async fn run(client: &Client, mut replay: Replay, output: Format) -> Result<(), UserError> {
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| UserError::unavailable(format!("cannot listen for signals: {error}")))?;
    note(format!("following replay {}; Ctrl-C stops following, not the replay", replay.id));
    let bar = progress_bar(replay.dead_letters);
    show(&bar, &replay);
    let mut last_answer = Instant::now();
    while matches!(replay.state, ReplayState::Running | ReplayState::Paused) {
        tokio::select! {
            _ = interrupts.recv() => {
                bar.finish_and_clear();
                return Err(interrupted(&replay));
            }
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match client.get(&format!("/replays/{}", replay.id), &[]).await {
            Ok(now) => (replay, last_answer) = (now, Instant::now()),
            Err(error) if last_answer.elapsed() > MAX_OUTAGE => return Err(error),
            Err(_) => {}
        }
        show(&bar, &replay);
    }
    bar.finish_and_clear();
    result(&replay, output)
}

/// A progress bar, drawn only on a terminal.
pub fn progress_bar(len: u64) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(len), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, replay: &Replay) {
    bar.set_position(replay.dead_letters.saturating_sub(replay.waiting + replay.sent));
    let paused = if replay.state == ReplayState::Paused { "paused, " } else { "" };
    let reason = suffix("  ", &replay.state_reason);
    bar.set_message(format!(
        "{paused}{} sent, {} handled, {} failed again, step {}{reason}",
        replay.sent,
        replay.done,
        replay.failed,
        replay.steps + 1
    ));
}

fn interrupted(replay: &Replay) -> UserError {
    UserError::unavailable(format!("stopped following; the replay is still {}", replay.state.as_str()))
        .help(format!("follow it again: host dlt replays follow {}", replay.id))
        .help(format!("cancel it: host dlt replays cancel {}", replay.id))
}

fn result(replay: &Replay, output: Format) -> Result<(), UserError> {
    match output {
        Format::Json => output::print_json(replay)?,
        Format::Table => note(format!(
            "replay {} is {}: {} handled, {} failed again, {} unknown, {} skipped, {} not sent",
            short(&replay.id),
            replay_fate(replay),
            replay.done,
            replay.failed,
            replay.unknown,
            replay.skipped,
            replay.waiting
        )),
    }
    match replay.state {
        ReplayState::Done if replay.failed > 0 => {
            let what =
                format!("{} of {} failed again", replay.failed, counted(replay.dead_letters, "dead letter"));
            Err(UserError::unavailable(what)
                .help(format!("see what became of them: host dlt replays show {}", short(&replay.id))))
        }
        ReplayState::Done => Ok(()),
        ReplayState::Stopped => {
            Err(UserError::unavailable(format!("stopped: {}", escaped(&replay.state_reason)))
                .help(format!("see what failed: host dlt replays show {}", short(&replay.id)))
                .help(format!("resume it: host dlt replays resume {}", short(&replay.id))))
        }
        state => Err(UserError::unavailable(format!("the replay is {}", state.as_str()))),
    }
}
