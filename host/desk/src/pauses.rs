//! Pauses of plugins: written down in the store, and carried out by the gates of every host that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::clock;
use consumer::Gate;
use consumer::gate::Pause;
use parking_lot::Mutex;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Desk;
use crate::audit::{self, Actor, Subject};
use crate::record::without_nul;

/// The interval at which a host reads the pauses, which other hosts may have changed.
const INTERVAL: Duration = Duration::from_secs(1);
/// The maximum time for reading them.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses of a host's plugins. Clones share their state.
#[derive(Clone)]
pub struct Pauses(Arc<Shared>);

struct Shared {
    desk: Desk,
    gates: Vec<Arc<Gate>>,
    /// Held while the pauses are read and carried out, so that an earlier reading never follows a later one.
    reading: tokio::sync::Mutex<()>,
    /// Since when they cannot be read.
    unread_since_ms: Mutex<Option<i64>>,
}

/// What a pause or resumption did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Whether it changed anything.
    pub changed: bool,
    /// The pause that began, has already begun, or has ended.
    pub pause: Option<Pause>,
}

/// The reason why a plugin is not paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// No plugin of this host has this name. These exist.
    #[error("unknown plugin")]
    Unknown(Vec<String>),
    /// The store is unavailable; nothing has changed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

impl Pauses {
    /// The pauses of the plugins behind these gates. Nothing is read yet.
    pub fn new(desk: Desk, gates: Vec<Arc<Gate>>) -> Self {
        let (reading, unread_since_ms) = (tokio::sync::Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { desk, gates, reading, unread_since_ms }))
    }

    /// Reads the pauses, and carries them out.
    ///
    /// # Errors
    /// The store is unavailable; every plugin stays as it is.
    pub async fn refresh(&self) -> sqlx::Result<()> {
        let _reading = self.0.reading.lock().await;
        let read = timeout(READ_TIMEOUT, self.0.desk.paused_plugins()).await;
        let paused = read.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        self.0.gates.iter().for_each(|gate| gate.set_pause(paused.get(&**gate.plugin()).cloned()));
        Ok(())
    }

    /// Keeps the gates up to date, until dropped.
    pub async fn run(self) {
        let mut intervals = interval(INTERVAL);
        intervals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            intervals.tick().await;
            let error = self.refresh().await.err();
            let mut unread_since = self.0.unread_since_ms.lock();
            match (&error, *unread_since) {
                (Some(error), None) => {
                    tracing::warn!(
                        "the store is unavailable, so pauses cannot be read and plugins stay as they are: {error}"
                    );
                    *unread_since = Some(clock::now_ms());
                }
                (None, Some(_)) => {
                    tracing::info!("the pauses of plugins can be read again");
                    *unread_since = None;
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
    }

    /// Since when the pauses cannot be read, in milliseconds since the Unix epoch.
    pub fn unread_since_ms(&self) -> Option<i64> {
        *self.0.unread_since_ms.lock()
    }

    /// The gate of a plugin; the first one if several plugins of this host have the name.
    pub fn gate(&self, plugin: &str) -> Option<&Arc<Gate>> {
        self.0.gates.iter().find(|gate| **gate.plugin() == *plugin)
    }

    /// Pauses the plugins with this name, in all hosts that use the store. It has happened here when this returns.
    ///
    /// # Errors
    /// The plugin is unknown, or the store is unavailable.
    pub async fn pause(&self, plugin: &str, actor: Actor<'_>) -> Result<Changed, PauseError> {
        if self.gate(plugin).is_none() {
            return Err(PauseError::Unknown(self.names()));
        }
        let changed = self.0.desk.pause_plugin(plugin, actor).await?;
        self.refresh().await?;
        Ok(changed)
    }

    /// Resumes the plugins with this name, in all hosts that use the store.
    ///
    /// # Errors
    /// The plugin is unknown, or the store is unavailable.
    pub async fn resume(&self, plugin: &str, actor: Actor<'_>) -> Result<Changed, PauseError> {
        let changed = self.0.desk.resume_plugin(plugin, actor).await?;
        // A pause may outlast its plugin.
        if !changed.changed && self.gate(plugin).is_none() {
            return Err(PauseError::Unknown(self.names()));
        }
        self.refresh().await?;
        Ok(changed)
    }

    fn names(&self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.gates.iter().map(|gate| gate.plugin().to_string()).collect();
        names.into_iter().collect()
    }
}

impl Desk {
    /// The paused plugins.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn paused_plugins(&self) -> sqlx::Result<BTreeMap<String, Pause>> {
        let rows = sqlx::query("SELECT * FROM paused_plugins").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("plugin")?, pause(row)?))).collect()
    }

    /// Writes down that a plugin is paused, and an entry of the audit log, unless it is paused already.
    ///
    /// # Errors
    /// The store is unavailable; nothing has changed.
    pub async fn pause_plugin(&self, plugin: &str, actor: Actor<'_>) -> sqlx::Result<Changed> {
        let mut transaction = self.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO paused_plugins (plugin, since, who, reason) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (plugin) DO NOTHING",
        )
        .bind(plugin)
        .bind(actor.now_ms)
        .bind(without_nul(actor.name))
        .bind(without_nul(actor.reason))
        .execute(&mut *transaction)
        .await?;
        let changed = inserted.rows_affected() > 0;
        if changed {
            audit::write(&mut transaction, "pause-plugin", actor, subject(plugin)).await?;
        }
        let row = sqlx::query("SELECT * FROM paused_plugins WHERE plugin = $1").bind(plugin);
        let row = row.fetch_optional(&mut *transaction).await?;
        let pause = row.as_ref().map(pause).transpose()?;
        transaction.commit().await?;
        Ok(Changed { changed, pause })
    }

    /// Ends the pause of a plugin, and writes an entry of the audit log, if it is paused.
    ///
    /// # Errors
    /// The store is unavailable; nothing has changed.
    pub async fn resume_plugin(&self, plugin: &str, actor: Actor<'_>) -> sqlx::Result<Changed> {
        let mut transaction = self.begin().await?;
        let deleted = sqlx::query("DELETE FROM paused_plugins WHERE plugin = $1 RETURNING *").bind(plugin);
        let deleted = deleted.fetch_optional(&mut *transaction).await?;
        let pause = deleted.as_ref().map(pause).transpose()?;
        if pause.is_some() {
            audit::write(&mut transaction, "resume-plugin", actor, subject(plugin)).await?;
        }
        transaction.commit().await?;
        Ok(Changed { changed: pause.is_some(), pause })
    }
}

fn subject(plugin: &str) -> Subject<'_> {
    Subject { plugin: Some(plugin), ..Subject::default() }
}

fn pause(row: &AnyRow) -> sqlx::Result<Pause> {
    Ok(Pause { since_ms: row.try_get("since")?, actor: row.try_get("who")?, reason: row.try_get("reason")? })
}
