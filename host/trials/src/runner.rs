//! Runs a trial, on threads of its own.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use async_channel::{Receiver, Sender};
use base::clock;
use base::error::UserError;
use bytes::Bytes;
use consumer::dry_run::{DryRun, Input, Run};
use contract::Outcome;
use desk::Desk;
use desk::record::sender_headers;
use desk_api::{DeadLetter, Trial, TrialResult, TrialState, TrialVerdict};
use parking_lot::Mutex;
use sandbox::Plugin;
use sandbox::capture::Answers;
use sandbox::cause::Cause;
use sandbox::engine::Engines;
use sandbox::file::PluginFile;
use sandbox::limits::Limits;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::progress::{CallRecord, Progress};
use super::withheld::{InstalledPlugin, TrialSettings};

/// Dead letters per query.
const BATCH: usize = 50;
/// The build's name in errors.
const BUILD_NAME: &str = "the build";

/// A loaded build.
pub(super) struct Build {
    dry_run: DryRun,
    has_settings: bool,
    withheld: Vec<String>,
    concurrency: u32,
}

impl Build {
    /// Compiles the build and reads its description.
    pub async fn load(bytes: Bytes, installed: &[InstalledPlugin]) -> Result<Self, UserError> {
        // Half of the cores remain for the plugins in production.
        let concurrency = thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        let concurrency = u32::try_from(concurrency).unwrap_or(1);
        let memory = memory_limit(installed)?;
        let file = tokio::task::spawn_blocking(move || {
            // Without a cache: the build may never be deployed.
            let engines = Engines::with_cache(concurrency, memory, None)
                .map_err(|error| UserError::unavailable(format!("cannot set up WebAssembly: {error:#}")))?;
            PluginFile::from_bytes(Path::new(BUILD_NAME), &bytes, &engines)
        });
        let file = file.await.map_err(|_| UserError::unavailable("the build could not be compiled"))??;
        let all: Vec<TrialSettings> =
            installed.iter().map(|plugin| TrialSettings::new(plugin, &file.digest)).collect();
        let find = |name: &str| all.iter().find(|settings| *settings.name == *name);
        let settings = |name: &str| find(name).and_then(|found| found.settings.as_ref());
        let dry_run = DryRun::of(file, settings, Answers::new()).await?;
        let found = find(&dry_run.plugin().name);
        let withheld = found.map(|found| found.withheld.clone()).unwrap_or_default();
        Ok(Self { has_settings: found.is_some(), withheld, dry_run, concurrency })
    }

    fn plugin(&self) -> &Plugin {
        self.dry_run.plugin()
    }
}

/// The largest memory limit of the plugins' settings, in bytes.
fn memory_limit(installed: &[InstalledPlugin]) -> Result<usize, UserError> {
    let mut memory = Limits::default().memory;
    for settings in installed.iter().filter_map(|plugin| plugin.settings.as_ref()) {
        memory = memory.max(Limits::new(&settings.limits).map_err(UserError::usage)?.memory);
    }
    Ok(memory)
}

/// A trial, shared by its threads and its readers.
pub(super) struct Runner {
    progress: Mutex<Progress>,
    cancelled: CancellationToken,
}

impl Runner {
    pub fn new(progress: Progress) -> Self {
        Self { progress: Mutex::new(progress), cancelled: CancellationToken::new() }
    }

    pub fn begin(&self, build: &Build, ids: Vec<String>) {
        let progress = &mut *self.progress.lock();
        let plugin = build.plugin();
        progress.trial.plugin.clone_from(&plugin.label);
        progress.trial.digest.clone_from(&plugin.digest);
        progress.trial.has_settings = build.has_settings;
        progress.trial.withheld.clone_from(&build.withheld);
        progress.begin(ids);
    }

    pub fn is_running(&self) -> bool {
        self.progress.lock().trial.state == TrialState::Running
    }

    pub fn snapshot(&self) -> Trial {
        self.progress.lock().snapshot()
    }

    pub fn results(&self, verdict: Option<TrialVerdict>, from: usize, limit: usize) -> Vec<TrialResult> {
        self.progress.lock().results(verdict, from, limit)
    }

    pub fn not_failed(&self) -> Vec<String> {
        self.progress.lock().not_failed()
    }

    pub fn cancel(&self) {
        self.cancelled.cancel();
        self.end(TrialState::Cancelled, "");
    }

    /// Ends the trial, unless it has ended.
    fn end(&self, state: TrialState, reason: &str) {
        let trial = &mut self.progress.lock().trial;
        if trial.state == TrialState::Running {
            trial.state = state;
            trial.state_reason = reason.to_owned();
            trial.ended_ms = Some(clock::now_ms());
        }
    }

    /// Starts the trial in the background.
    pub fn spawn(self: Arc<Self>, build: Build, desk: Desk) {
        let (sender, receiver) = async_channel::bounded(BATCH);
        let (build, runtime) = (Arc::new(build), Handle::current());
        for _ in 0..build.concurrency {
            // On a thread of its own, so that the runtime's threads stay free for requests.
            let worker = Arc::clone(&self).work(Arc::clone(&build), receiver.clone());
            let runtime = runtime.clone();
            let thread = thread::Builder::new().name("trial".to_owned());
            if let Err(error) = thread.spawn(move || runtime.block_on(worker)) {
                return self.end(TrialState::Failed, &format!("cannot start a thread: {error}"));
            }
        }
        tokio::spawn(async move {
            let cancelled = self.cancelled.clone();
            tokio::select! {
                () = cancelled.cancelled() => {}
                read = self.read(&desk, &sender) => if let Err(error) = read {
                    self.end(TrialState::Failed, &format!("the store is unavailable: {error}"));
                }
            }
        });
    }

    /// Reads the dead letters and passes them to the workers.
    async fn read(&self, desk: &Desk, sender: &Sender<(usize, DeadLetter)>) -> sqlx::Result<()> {
        let all = self.progress.lock().ids().to_vec();
        for (batch, ids) in all.chunks(BATCH).enumerate() {
            let keys: Vec<&str> = ids.iter().map(String::as_str).collect();
            let mut dead_letters = desk.dead_letters_by_id(&keys).await?;
            for (offset, id) in ids.iter().enumerate() {
                let index = batch * BATCH + offset;
                match dead_letters.remove(id).filter(|dead_letter| dead_letter.value_cut.is_none()) {
                    Some(dead_letter) => _ = sender.send((index, dead_letter)).await,
                    None => self.record(index, None),
                }
            }
        }
        Ok(())
    }

    async fn work(self: Arc<Self>, build: Arc<Build>, receiver: Receiver<(usize, DeadLetter)>) {
        while let Ok((index, dead_letter)) = receiver.recv().await {
            let input = input(dead_letter);
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => return,
                run = build.dry_run.call(&input) => self.record(index, Some(call_record(run))),
            }
        }
    }

    fn record(&self, index: usize, call: Option<CallRecord>) {
        let is_complete = {
            let progress = &mut *self.progress.lock();
            match call {
                Some(call) => progress.record(index, call),
                None => progress.skip(index),
            }
            progress.trial.tried == progress.trial.dead_letters
        };
        if is_complete {
            self.end(TrialState::Done, "");
        }
    }
}

/// The dead letter's message, as its first delivery.
fn input(dead_letter: DeadLetter) -> Input {
    let headers = sender_headers(&dead_letter);
    let headers = headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
    Input {
        headers,
        id: Some(dead_letter.message),
        topic: dead_letter.source.topic,
        partition: dead_letter.source.partition,
        offset: dead_letter.source.offset,
        timestamp: dead_letter.source_timestamp_ms,
        key: dead_letter.key.map(|key| key.0),
        value: dead_letter.value.map(|value| value.0),
        attempt: 1,
    }
}

fn call_record(run: Run) -> CallRecord {
    let Run { outcome, effects, left_out, log, .. } = run;
    let (code, detail) = match Cause::of(outcome) {
        Ok(Outcome::Done(text) | Outcome::Skipped(text)) => (None, text),
        // `Cause::of` returns failures as errors.
        Ok(Outcome::Retry(_) | Outcome::Reject(_)) => (None, String::new()),
        Err(cause) => (Some(cause.code), cause.detail),
    };
    let log =
        log.into_iter().map(|line| format!("{} {}", line.level.as_str().to_ascii_lowercase(), line.text));
    CallRecord { code, detail, is_decided: effects.is_empty() && left_out == 0, effects, log: log.collect() }
}
