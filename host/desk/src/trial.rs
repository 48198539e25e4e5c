//! Trials: stored letters are given to a build of a plugin, in the sandbox, and nothing is sent.
//!
//! What the build would do is captured, not done ([`DryRun`]). A trial changes nothing: letters stay as they
//! are. One runs at a time, and the last few are kept in memory alone.

mod result;
mod run;

use std::sync::Arc;

use base::clock;
use base::error::UserError;
use bytes::Bytes;
use parking_lot::Mutex;
use settings::PluginSettings;

use self::result::Progress;
pub use self::result::{Sent, Still, Trial, TrialState, Tried};
use self::run::Shared;
use crate::actions::{By, To, write_as};
use crate::filter::{self, Filter, Where};
use crate::{Desk, State, new_id, random_id};

/// The largest build, in bytes.
pub const LARGEST: usize = 64 << 20;
/// The most letters of a trial; the oldest are taken.
pub const MOST: usize = 100_000;
/// How many trials are kept.
const KEPT: usize = 5;

/// The trials of this host. Clones are the same ones.
#[derive(Clone)]
pub struct Trials(Arc<Inner>);

struct Inner {
    desk: Desk,
    /// What the plugins of this host were given, by their names.
    settings: Vec<(Arc<str>, PluginSettings)>,
    /// The newest comes last.
    all: Mutex<Vec<Arc<Shared>>>,
}

/// Why a trial did not begin.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The build is no plugin that runs here.
    #[error("{0}")]
    Refused(UserError),
    /// Another one runs.
    #[error("another trial runs: {0}")]
    Busy(String),
    /// There are no such letters.
    #[error("none of these letters is there")]
    None,
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Store(#[from] sqlx::Error),
}

impl Trials {
    /// None yet. `settings` are those of the plugins that run here, by name.
    pub fn new(desk: Desk, settings: Vec<(Arc<str>, PluginSettings)>) -> Self {
        Self(Arc::new(Inner { desk, settings, all: Mutex::default() }))
    }

    /// Begins a trial: loads the build, as it would run here, and freezes which letters it is given. Those
    /// are the open ones, unless the filter says otherwise.
    ///
    /// # Errors
    /// The build does not run here, another trial runs, or there are no such letters.
    pub async fn start(&self, build: Bytes, filter: &Filter, by: By<'_>) -> Result<Trial, TrialError> {
        // Whoever asked may be gone before it has begun.
        let mut reserved = Reserved { trials: self, trial: self.reserve(filter, by.who)?, begun: false };
        let asked = match filter.state {
            None if filter.ids.is_empty() => Filter { state: Some(State::Open), ..filter.clone() },
            _ => filter.clone(),
        };
        let letters = self.0.desk.ids(&asked, MOST).await?;
        if letters.is_empty() {
            return Err(TrialError::None);
        }
        let settings = self.0.settings.clone();
        let build = run::Build::load(build, &settings).await.map_err(TrialError::Refused)?;
        self.0.desk.record_trial(filter, letters.len() as u64, by).await?;
        let trial = Arc::clone(&reserved.trial);
        trial.begin(&build, letters);
        Arc::clone(&trial).spawn(build, self.0.desk.clone());
        reserved.begun = true;
        Ok(trial.snapshot())
    }

    /// The place of the one that runs.
    fn reserve(&self, filter: &Filter, who: &str) -> Result<Arc<Shared>, TrialError> {
        let mut all = self.0.all.lock();
        if let Some(running) = all.iter().find(|other| other.is_running()) {
            return Err(TrialError::Busy(running.snapshot().id));
        }
        let trial = Trial {
            id: random_id(),
            who: who.to_owned(),
            filter: filter.clone(),
            started_ms: clock::now_ms(),
            ..Trial::default()
        };
        let trial = Arc::new(Shared::new(Progress::new(trial)));
        all.push(Arc::clone(&trial));
        let excess = all.len().saturating_sub(KEPT);
        all.drain(..excess);
        Ok(trial)
    }

    /// Newest first.
    pub fn list(&self) -> Vec<Trial> {
        self.0.all.lock().iter().rev().map(|trial| trial.snapshot()).collect()
    }

    /// The one with this id, or the only one whose id begins so.
    pub fn get(&self, id: &str) -> Option<Trial> {
        self.find(id).map(|trial| trial.snapshot())
    }

    /// Gives no more letters to the build; what it has of one is cut off.
    pub fn cancel(&self, id: &str) -> Option<Trial> {
        let trial = self.find(id)?;
        trial.cancel();
        Some(trial.snapshot())
    }

    /// Ends what runs: the host stops.
    pub fn stop(&self) {
        self.0.all.lock().iter().for_each(|trial| trial.cancel());
    }

    /// What became of its letters, those that pass or those that do not, `limit` of them from the one with
    /// the number `from` on. None where there is no such trial.
    pub fn tried(&self, id: &str, passes: Option<bool>, from: usize, limit: usize) -> Option<Vec<Tried>> {
        self.find(id).map(|trial| trial.tried(passes, from, limit))
    }

    /// The ids of the letters that pass. None where there is no such trial.
    pub fn passing(&self, id: &str) -> Option<Vec<String>> {
        self.find(id).map(|trial| trial.passing())
    }

    fn find(&self, id: &str) -> Option<Arc<Shared>> {
        let all = self.0.all.lock();
        let mut found = all.iter().filter(|trial| filter::is_id(id) && trial.snapshot().id.starts_with(id));
        let first = found.next()?;
        found.next().is_none().then(|| Arc::clone(first))
    }
}

/// The place of a trial that is about to begin.
struct Reserved<'t> {
    trials: &'t Trials,
    trial: Arc<Shared>,
    begun: bool,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.begun {
            self.trials.0.all.lock().retain(|other| !Arc::ptr_eq(other, &self.trial));
        }
    }
}

impl Desk {
    /// The ids of these letters, oldest first, at most so many.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ids(&self, filter: &Filter, most: usize) -> sqlx::Result<Vec<String>> {
        let with = Where::of(filter);
        let sql = format!("SELECT id FROM letters {} ORDER BY failed, id LIMIT {most}", with.sql());
        filter::scalar(sql, &with).fetch_all(&self.pool).await
    }

    async fn record_trial(&self, filter: &Filter, letters: u64, by: By<'_>) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        let to = To { filter: Some(filter), letters, ..To::default() };
        write_as(&mut transaction, &new_id(), "try", by, to).await?;
        transaction.commit().await
    }
}
