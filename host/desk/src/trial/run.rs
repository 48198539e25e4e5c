//! A trial under way: threads of its own give letters to the build.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use base::clock;
use base::error::UserError;
use bytes::Bytes;
use consumer::dry_run::{DryRun, Input, Run};
use contract::Outcome;
use parking_lot::Mutex;
use sandbox::Plugin;
use sandbox::capture::Answers;
use sandbox::cause::Cause;
use sandbox::engine::Engines;
use sandbox::file::PluginFile;
use sandbox::limits::Limits;
use settings::PluginSettings;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::result::{Progress, Seen, Trial, TrialState, Tried};
use crate::{Desk, Letter};

/// How many letters are read from the store at a time.
const ROUND: usize = 50;
/// What the build is called in an error.
const NAME: &str = "the build";

/// A build that is ready to be called.
pub(super) struct Build {
    dry: DryRun,
    settings: bool,
    calls: u32,
}

impl Build {
    /// Compiles it, beside everything else, and asks what it is called.
    pub async fn load(bytes: Bytes, settings: &[(Arc<str>, PluginSettings)]) -> Result<Self, UserError> {
        // Half of the machine is left to what runs in earnest.
        let calls = thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        let calls = u32::try_from(calls).unwrap_or(1);
        let memory = memory(settings)?;
        let file = tokio::task::spawn_blocking(move || {
            // What is only tried does not fill the cache.
            let engines = Engines::with_cache(calls, memory, None)
                .map_err(|error| UserError::unavailable(format!("cannot set up WebAssembly: {error:#}")))?;
            PluginFile::from_bytes(Path::new(NAME), &bytes, &engines)
        });
        let file = file.await.map_err(|_| UserError::unavailable("the build could not be compiled"))??;
        let settings = |name: &str| settings.iter().find(|(other, _)| **other == *name).map(|(_, it)| it);
        let dry = DryRun::of(file, settings, Answers::new()).await?;
        let settings = settings(&dry.plugin().name).is_some();
        Ok(Self { dry, settings, calls })
    }

    fn plugin(&self) -> &Plugin {
        self.dry.plugin()
    }
}

/// What one instance may take at most, by any of these.
fn memory(settings: &[(Arc<str>, PluginSettings)]) -> Result<usize, UserError> {
    let mut memory = Limits::default().memory;
    for (_, settings) in settings {
        memory = memory.max(Limits::new(&settings.limits).map_err(UserError::usage)?.memory);
    }
    Ok(memory)
}

/// A trial, for its threads and for whoever asks.
pub(super) struct Shared {
    progress: Mutex<Progress>,
    cancelled: CancellationToken,
}

impl Shared {
    pub fn new(progress: Progress) -> Self {
        Self { progress: Mutex::new(progress), cancelled: CancellationToken::new() }
    }

    pub fn begin(&self, build: &Build, letters: Vec<String>) {
        let progress = &mut *self.progress.lock();
        let plugin = build.plugin();
        progress.trial.plugin.clone_from(&plugin.label);
        progress.trial.digest.clone_from(&plugin.digest);
        progress.trial.settings = build.settings;
        progress.begin(letters);
    }

    pub fn is_running(&self) -> bool {
        self.progress.lock().trial.state == TrialState::Running
    }

    pub fn snapshot(&self) -> Trial {
        self.progress.lock().snapshot()
    }

    pub fn tried(&self, passes: Option<bool>, from: usize, limit: usize) -> Vec<Tried> {
        self.progress.lock().tried(passes, from, limit)
    }

    pub fn passing(&self) -> Vec<String> {
        self.progress.lock().passing()
    }

    pub fn cancel(&self) {
        self.cancelled.cancel();
        self.end(TrialState::Cancelled, "");
    }

    /// Only the first end counts.
    fn end(&self, state: TrialState, why: &str) {
        let trial = &mut self.progress.lock().trial;
        if trial.state == TrialState::Running {
            trial.state = state;
            trial.why = why.to_owned();
            trial.ended_ms = Some(clock::now_ms());
        }
    }

    /// Gives the build its letters, in the background.
    pub fn spawn(self: Arc<Self>, build: Build, desk: Desk) {
        let (give, take) = async_channel::bounded(ROUND);
        let (build, runtime) = (Arc::new(build), Handle::current());
        for _ in 0..build.calls {
            // The runtime's own threads answer requests meanwhile.
            let worker = Arc::clone(&self).work(Arc::clone(&build), take.clone());
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
                read = self.read(&desk, &give) => if let Err(error) = read {
                    self.end(TrialState::Failed, &format!("the store does not answer: {error}"));
                }
            }
        });
    }

    /// Reads letters for as long as there are some.
    async fn read(&self, desk: &Desk, give: &async_channel::Sender<(usize, Letter)>) -> sqlx::Result<()> {
        let all = self.progress.lock().letters().to_vec();
        for (round, ids) in all.chunks(ROUND).enumerate() {
            let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
            let mut letters = desk.letters_with(&asked).await?;
            for (place, id) in ids.iter().enumerate() {
                let number = round * ROUND + place;
                match letters.remove(id).filter(|letter| letter.value_cut.is_none()) {
                    Some(letter) => _ = give.send((number, letter)).await,
                    None => self.done(number, None),
                }
            }
        }
        Ok(())
    }

    async fn work(self: Arc<Self>, build: Arc<Build>, letters: async_channel::Receiver<(usize, Letter)>) {
        while let Ok((number, letter)) = letters.recv().await {
            let input = input(letter);
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => return,
                run = build.dry.call(&input) => self.done(number, Some(seen(run))),
            }
        }
    }

    fn done(&self, number: usize, seen: Option<Seen>) {
        let all = {
            let progress = &mut *self.progress.lock();
            match seen {
                Some(seen) => progress.note(number, seen),
                None => progress.skip(number),
            }
            progress.trial.tried == progress.trial.letters
        };
        if all {
            self.end(TrialState::Done, "");
        }
    }
}

/// A letter's message, as its first delivery.
fn input(letter: Letter) -> Input {
    let headers = letter.sender_headers();
    let headers = headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
    Input {
        headers,
        id: Some(letter.message),
        topic: letter.source.topic,
        partition: letter.source.partition,
        offset: letter.source.offset,
        timestamp: letter.source_timestamp_ms,
        key: letter.key.map(|key| key.0),
        value: letter.value.map(|value| value.0),
        attempt: 1,
    }
}

fn seen(run: Run) -> Seen {
    let Run { outcome, effects, log, .. } = run;
    let (code, detail) = match Cause::of(outcome) {
        Ok(Outcome::Done(text) | Outcome::Skipped(text)) => (None, text),
        // `Cause::of` takes what failed for an error.
        Ok(Outcome::Retry(_) | Outcome::Reject(_)) => (None, String::new()),
        Err(cause) => (Some(cause.code), cause.detail),
    };
    let log =
        log.into_iter().map(|line| format!("{} {}", line.level.as_str().to_ascii_lowercase(), line.text));
    Seen { code, detail, effects, log: log.collect() }
}
