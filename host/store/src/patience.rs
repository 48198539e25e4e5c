//! The wait at start for a store that another process has locked.

use std::time::Duration;

use base::error::UserError;
use sqlx::Error;
use sqlx::migrate::MigrateError;
use tokio::time::{Instant, sleep};

use crate::url::{Kind, StoreUrl};

/// The maximum time for which a start waits for a store.
pub(crate) const OPEN_BOUND: Duration = Duration::from_secs(30);
/// The pause between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);
/// SQLite's codes for a file that another connection or process has locked. Extended codes have them in their
/// lowest byte.
const LOCKED: [u32; 2] = [5, 6];

/// Waits until a store is not locked any more, within the bound of a start.
#[derive(Debug)]
pub struct Patience {
    end: Instant,
    is_reported: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { end: Instant::now() + OPEN_BOUND, is_reported: false }
    }
}

impl Patience {
    /// After a failed attempt: waits, and returns Ok if another attempt may succeed.
    ///
    /// # Errors
    /// The error is not a lock, or the time is over.
    pub async fn wait(&mut self, url: &StoreUrl, error: Error) -> Result<(), UserError> {
        if !is_locked(url, &error) {
            return Err(refused(url, &error));
        }
        if Instant::now() >= self.end {
            return Err(locked(url));
        }
        if !self.is_reported {
            let seconds = OPEN_BOUND.as_secs();
            tracing::warn!("the store {url} is locked by another process; waiting up to {seconds} s");
            self.is_reported = true;
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// After a failed migration: the same. Another host may have migrated the store at the same moment, so the
    /// first failure of another kind is repeated, too.
    pub(crate) async fn wait_to_migrate(
        &mut self,
        url: &StoreUrl,
        error: MigrateError,
        is_first: bool,
    ) -> Result<(), UserError> {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
                if is_locked(url, &error) =>
            {
                self.wait(url, error).await
            }
            MigrateError::ExecuteMigration(..) if is_first => {
                sleep(PAUSE).await;
                Ok(())
            }
            error => Err(unusable(url, &error)),
        }
    }
}

/// Whether another connection or process has locked the file.
fn is_locked(url: &StoreUrl, error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    matches!(url.0, Kind::Sqlite(_)) && code.is_some_and(|code| LOCKED.contains(&(code & 0xff)))
}

fn locked(url: &StoreUrl) -> UserError {
    let seconds = OPEN_BOUND.as_secs();
    let error = UserError::unavailable(format!(
        "cannot open the store {url}: another process has had it locked for {seconds} s"
    ));
    match &url.0 {
        Kind::Sqlite(path) => error
            .help(format!("find that process: fuser -v {}", path.display()))
            .help("end it or wait until it is done, and start the host again"),
        Kind::Postgres(_) => error,
    }
}

pub(crate) fn unusable(url: &StoreUrl, error: &MigrateError) -> UserError {
    UserError::usage(format!("the store {url} cannot be used: {error}"))
        .help("use a database for the host alone, which no newer version of the host has migrated")
}

pub(crate) fn refused(url: &StoreUrl, error: &Error) -> UserError {
    let refusal = UserError::unavailable(format!("cannot open the store {url}: {error}"));
    match url.0 {
        Kind::Sqlite(_) => refusal.help("specify another file: --store sqlite:PATH"),
        Kind::Postgres(_) => {
            refusal.help("start PostgreSQL, create the database (createdb), or check the URL: --store URL")
        }
    }
}
