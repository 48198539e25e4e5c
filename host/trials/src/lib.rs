//! Trials: a new build of a plugin is tried on stored dead letters, in the sandbox.
//!
//! Effects are captured, not sent ([`DryRun`](consumer::dry_run::DryRun)), and dead letters do not change. One trial
//! runs at a time. The last few trials are kept, in memory only.

mod progress;
mod runner;
mod withheld;

use std::sync::Arc;

use base::clock;
use base::error::UserError;
use bytes::Bytes;
use desk::audit::Actor;
use desk::{Desk, random_id};
use desk_api::{DeadLetterState, Filter, Trial, TrialResult, TrialVerdict, is_id_prefix};
use parking_lot::Mutex;

use self::progress::Progress;
use self::runner::{Build, Runner};
pub use self::withheld::{InstalledPlugin, PLACEHOLDER};

/// Maximum number of dead letters per trial; the oldest are tried.
const MAX_DEAD_LETTERS: usize = 100_000;
/// Maximum number of trials kept.
const MAX_TRIALS: usize = 5;

/// The trials of this host. Clones share their state.
#[derive(Clone)]
pub struct Trials(Arc<Inner>);

struct Inner {
    desk: Desk,
    /// The plugins of this host.
    installed: Vec<InstalledPlugin>,
    /// Oldest first.
    all: Mutex<Vec<Arc<Runner>>>,
}

/// The reason why a trial did not start.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The build is not a plugin that runs on this host.
    #[error("{0}")]
    Refused(UserError),
    /// Another trial is running; its id.
    #[error("another trial is running: {0}")]
    Busy(String),
    /// No dead letter matches.
    #[error("no dead letters match")]
    Empty,
    /// The store is unavailable.
    #[error("the store is unavailable: {0}")]
    Store(#[from] sqlx::Error),
}

impl Trials {
    /// No trials yet. `installed` are the plugins of this host.
    pub fn new(desk: Desk, installed: Vec<InstalledPlugin>) -> Self {
        Self(Arc::new(Inner { desk, installed, all: Mutex::default() }))
    }

    /// Starts a trial: loads the build as this host would run it, but without secrets, variables and directories if
    /// the host runs another build; and freezes the ids of its dead letters. Unless
    /// the filter has a state or ids, those are the open ones.
    ///
    /// # Errors
    /// The build does not run on this host, another trial is running, or no dead letter matches.
    pub async fn start(&self, build: Bytes, filter: &Filter, actor: Actor<'_>) -> Result<Trial, TrialError> {
        // The request may be dropped before the trial has started.
        let mut reservation =
            Reservation { trials: self, trial: self.reserve(filter, actor.name)?, has_started: false };
        let selection = match filter.state {
            None if filter.ids.is_empty() => Filter { state: Some(DeadLetterState::Open), ..filter.clone() },
            _ => filter.clone(),
        };
        let ids = self.0.desk.ids(&selection, MAX_DEAD_LETTERS).await?;
        if ids.is_empty() {
            return Err(TrialError::Empty);
        }
        let build = Build::load(build, &self.0.installed).await.map_err(TrialError::Refused)?;
        self.0.desk.log_trial(filter, ids.len() as u64, actor).await?;
        let trial = Arc::clone(&reservation.trial);
        trial.begin(&build, ids);
        Arc::clone(&trial).spawn(build, self.0.desk.clone());
        reservation.has_started = true;
        Ok(trial.snapshot())
    }

    /// Registers a new trial, if no other one is running.
    fn reserve(&self, filter: &Filter, actor: &str) -> Result<Arc<Runner>, TrialError> {
        let mut all = self.0.all.lock();
        if let Some(running) = all.iter().find(|other| other.is_running()) {
            return Err(TrialError::Busy(running.snapshot().id));
        }
        let trial = Trial {
            id: random_id(),
            actor: actor.to_owned(),
            filter: filter.clone(),
            started_ms: clock::now_ms(),
            ..Trial::default()
        };
        let trial = Arc::new(Runner::new(Progress::new(trial)));
        all.push(Arc::clone(&trial));
        let excess = all.len().saturating_sub(MAX_TRIALS);
        all.drain(..excess);
        Ok(trial)
    }

    /// All trials, newest first.
    pub fn list(&self) -> Vec<Trial> {
        self.0.all.lock().iter().rev().map(|trial| trial.snapshot()).collect()
    }

    /// The trial with this id or unique prefix of an id.
    pub fn get(&self, id: &str) -> Option<Trial> {
        self.find(id).map(|trial| trial.snapshot())
    }

    /// Cancels a trial; its running calls are aborted. None if the trial does not exist.
    pub fn cancel(&self, id: &str) -> Option<Trial> {
        let trial = self.find(id)?;
        trial.cancel();
        Some(trial.snapshot())
    }

    /// Cancels every trial: the host is shutting down.
    pub fn stop(&self) {
        self.0.all.lock().iter().for_each(|trial| trial.cancel());
    }

    /// Results of a trial, oldest dead letters first, or those with this verdict. Skips `from` of them and returns at
    /// most `limit`. None if the trial does not exist.
    pub fn results(
        &self,
        id: &str,
        verdict: Option<TrialVerdict>,
        from: usize,
        limit: usize,
    ) -> Option<Vec<TrialResult>> {
        self.find(id).map(|trial| trial.results(verdict, from, limit))
    }

    /// The ids of the dead letters that did not fail. None if the trial does not exist.
    pub fn not_failed(&self, id: &str) -> Option<Vec<String>> {
        self.find(id).map(|trial| trial.not_failed())
    }

    fn find(&self, id: &str) -> Option<Arc<Runner>> {
        let all = self.0.all.lock();
        let mut found = all
            .iter()
            .filter(|trial| is_id_prefix(id) && trial.snapshot().id.starts_with(&id.to_ascii_lowercase()));
        let first = found.next()?;
        found.next().is_none().then(|| Arc::clone(first))
    }
}

/// Removes a trial that does not start.
struct Reservation<'t> {
    trials: &'t Trials,
    trial: Arc<Runner>,
    has_started: bool,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.has_started {
            self.trials.0.all.lock().retain(|other| !Arc::ptr_eq(other, &self.trial));
        }
    }
}
