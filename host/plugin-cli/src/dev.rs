//! `host plugin dev`: builds a project at every change, runs its cases, and shows what has changed since the last time.

mod build;
mod watch;

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::error::UserError;
use desk_cli::output::{escaped, is_coloured, note, print};
use serde_json::{Map, Value};
use settings::RunArgs;
use tokio::signal::unix::{SignalKind, signal};

use self::build::Build;
use self::watch::Snapshot;
use crate::args::DryArgs;
use crate::cases::{self, Cases};
use crate::expectation::difference;
use crate::project::Project;
use crate::test::Outcome;

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(300);
/// The time without a change after which files are complete: an editor writes several, or one in parts.
const DEBOUNCE: Duration = Duration::from_millis(150);

/// The time for a session to end. One that compiles a component has no build to kill.
const STOP: Duration = Duration::from_secs(1);

/// Arguments of `host plugin dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory of the project
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    directory: PathBuf,
    /// Command that builds the plugin [default: cargo build, npm run build, or python -m kafka_host_plugin build]
    #[arg(long, value_name = "COMMAND")]
    build: Option<String>,
    /// File that the build writes [default: found in the project]
    #[arg(long, value_name = "FILE.wasm")]
    file: Option<PathBuf>,
    /// The plugin's configuration.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// Watches the project until Ctrl-C.
///
/// # Errors
/// There is no project, or its directory vanishes.
pub async fn run(args: Args) -> Result<(), UserError> {
    let project = Project::find(&args.directory, args.build)?;
    let session = Session { project, file: args.file, run: args.dry.run, last: HashMap::new() };
    let unheard = |error| UserError::unavailable(format!("cannot listen for signals: {error}"));
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind).map_err(unheard)?);
    }
    let [interrupt, terminate, hangup] = &mut signals[..] else { return Ok(()) };
    // In a task of its own: the compilation of a component blocks its thread, and a signal is obeyed all the same.
    let mut session = tokio::spawn(session.run());
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        ended = &mut session => {
            return ended.unwrap_or_else(|error| Err(UserError::unavailable(format!("it ended: {error}"))));
        }
    }
    // Its end kills a build that runs.
    session.abort();
    let _ = tokio::time::timeout(STOP, session).await;
    note("stopped");
    Ok(())
}

/// A project that is watched.
struct Session {
    project: Project,
    file: Option<PathBuf>,
    run: RunArgs,
    /// The results of the last run, by case.
    last: HashMap<String, Map<String, Value>>,
}

impl Session {
    async fn run(mut self) -> Result<(), UserError> {
        let mut seen = Snapshot::default().again(&self.project.directory)?;
        let mut has_built = false;
        let mut changed = Vec::new();
        loop {
            let is_case = |path: &PathBuf| path.starts_with(cases::DIRECTORY);
            if !has_built || !changed.iter().all(is_case) {
                match self.build(&mut seen).await? {
                    Built::Yes => has_built = true,
                    Built::No => has_built = false,
                    Built::Outdated(files) => {
                        changed = files;
                        has_built = false;
                        continue;
                    }
                }
            }
            // An error in a case or in the plugin is mended while this goes on.
            if has_built && let Err(error) = self.cases().await {
                title(format_args!("error: {error}"))?;
            }
            title("watching for changes; Ctrl-C ends")?;
            changed = change(&self.project.directory, &mut seen).await?;
        }
    }

    /// Builds, unless a file changes before the end.
    async fn build(&self, seen: &mut Snapshot) -> Result<Built, UserError> {
        let command = match self.project.build_command() {
            Ok(command) => command,
            Err(error) => return title(format_args!("error: {error}")).map(|()| Built::No),
        };
        title(format_args!("building: {}", escaped(&command.join(" "))))?;
        let started = Instant::now();
        let mut build = Build::start(&command, &self.project.directory)?;
        let status = tokio::select! {
            status = build.wait() => status,
            files = change(&self.project.directory, seen) => return Ok(Built::Outdated(files?)),
        };
        let took = started.elapsed().as_secs_f64();
        match status {
            Ok(status) if status.success() => {
                title(format_args!("built in {took:.1} s")).map(|()| Built::Yes)
            }
            Ok(status) => {
                title(format_args!("the build failed after {took:.1} s: {status}")).map(|()| Built::No)
            }
            Err(error) => title(format_args!("the build cannot be waited for: {error}")).map(|()| Built::No),
        }
    }

    async fn cases(&mut self) -> Result<(), UserError> {
        let file = self.file.clone().map_or_else(|| self.project.component(), Ok)?;
        let directory = self.project.directory.join(cases::DIRECTORY);
        let read = match directory.is_dir() {
            true => cases::read(std::slice::from_ref(&directory))?,
            false => Vec::new(),
        };
        self.run.plugins = vec![file];
        let cases = Cases::load(&self.run, &read).await?;
        if cases.list.is_empty() {
            let place = directory.join("first.json");
            return print(format_args!(
                "no cases yet; a first one, of a message on {}:\n  {}: {{\"message\": {{\"value\": \"…\"}}}}",
                escaped(cases.topic()),
                escaped(&place.display().to_string())
            ));
        }
        let mut failed = 0;
        for (case, settings) in &cases.list {
            let outcome = Outcome::new(case, cases.run(case, settings.as_ref()).await?);
            failed += usize::from(!outcome.passed);
            let before = self.last.insert(outcome.case().to_owned(), outcome.result.clone());
            print(shown(&outcome, before.as_ref()))?;
        }
        match (failed, cases.list.len()) {
            (0, all) => print(format_args!("{all} of {all} cases passed")),
            (_, all) => print(format_args!("{failed} of {all} cases failed")),
        }
    }
}

/// How a build ended.
enum Built {
    Yes,
    No,
    /// These files have changed since its start.
    Outdated(Vec<PathBuf>),
}

/// Waits until files have changed, and for a moment no more.
async fn change(directory: &Path, seen: &mut Snapshot) -> Result<Vec<PathBuf>, UserError> {
    let before = seen.clone();
    loop {
        tokio::time::sleep(POLL).await;
        let mut now = seen.again(directory)?;
        while now != *seen {
            tokio::time::sleep(DEBOUNCE).await;
            let next = now.again(directory)?;
            (*seen, now) = (now, next);
        }
        let files = before.changed(seen);
        if let Some((first, others)) = files.split_first() {
            let first = escaped(&first.display().to_string());
            let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            title(format_args!("changed: {first}{more}"))?;
            return Ok(files);
        }
    }
}

/// A case with its result: outcome, log, effects, and what is not as it was at the last run.
fn shown(outcome: &Outcome, before: Option<&Map<String, Value>>) -> String {
    let mut lines = vec![outcome.line()];
    lines.extend(outcome.difference());
    lines.extend(outcome.details());
    let changes = before.map(|before| difference(before, &outcome.result)).unwrap_or_default();
    if !changes.is_empty() {
        lines.push("    since the last run".to_owned());
        lines.extend(changes.iter().map(|line| format!("      {line}")));
    }
    lines.join("\n")
}

/// A line about what happens.
fn title(text: impl Display) -> Result<(), UserError> {
    match is_coloured() {
        true => print(format_args!("\u{1b}[1m— {text}\u{1b}[0m")),
        false => print(format_args!("— {text}")),
    }
}
