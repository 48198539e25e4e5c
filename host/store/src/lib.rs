//! The host's persistent store: a SQLite file or a PostgreSQL database. Both use the same migrations and the
//! same SQL.

mod look;
mod patience;
mod pooler;
mod turn;
mod url;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use base::error::UserError;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::{sleep, timeout};

pub use self::look::{Look, look};
pub use self::patience::Patience;
use self::patience::{OPEN_BOUND, PAUSE, refused};
pub use self::turn::Turn;
use self::turn::Turns;
use self::url::Kind;
pub use self::url::StoreUrl;

/// The time after which a running migration is logged, and its maximum time: an index over a large store takes
/// minutes.
const LONG_MIGRATION: Duration = Duration::from_secs(5);
const MIGRATION_BOUND: Duration = Duration::from_secs(3600);
/// Commits are synchronous, and another writing process is waited for.
/// The cache, in KiB, is for the indexes that bulk work changes. So is the size of the log, in pages, at which it is
/// moved into the file: pages that change again and again are moved once.
const SQLITE: &str = "PRAGMA busy_timeout = 3000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                      PRAGMA cache_size = -8000; PRAGMA wal_autocheckpoint = 4000";
/// A migration that a loss of power takes back runs again, and the next commit makes all before it durable: a new store has
/// no wait for the disk after each migration.
const SQLITE_MIGRATES: &str = "PRAGMA synchronous = NORMAL";
/// Compiling a query takes longer than the longest one runs: 0.4 s of 0.6 for the preview of a large replay.
const POSTGRES: &str = "SET jit = off";

static MIGRATIONS: Migrator = sqlx::migrate!();

/// A store whose tables are up to date. Clones share its turns.
#[derive(Debug, Clone)]
pub struct Store {
    url: StoreUrl,
    options: AnyConnectOptions,
    /// None for PostgreSQL, which has many writers.
    turns: Option<Turns>,
}

impl Store {
    /// Opens a store and migrates its tables. A missing file is created, readable only for its owner.
    /// PostgreSQL may be unreachable, and a file locked by another process, for up to 30 s.
    ///
    /// # Errors
    /// The store cannot be opened or migrated, or its sessions are shared by a pooler.
    pub async fn open(url: StoreUrl) -> Result<Self, UserError> {
        sqlx::any::install_default_drivers();
        if let Kind::Sqlite(path) = &url.0 {
            create_private(path).map_err(|error| unwritable(&url, &error))?;
        }
        let options = url.options().map_err(|error| refused(&url, &error))?;
        let turns = matches!(url.0, Kind::Sqlite(_)).then(Turns::default);
        let store = Self { url, options, turns };
        let mut patience = Patience::default();
        let mut connection = store.connect_patiently(&mut patience).await?;
        // Without a second connection the start goes on; what fails later explains itself.
        if let (Kind::Postgres(_), Ok(mut other)) = (&store.url.0, store.connect().await) {
            pooler::refuse(&store.url, &mut connection, &mut other).await?;
        }
        if let Kind::Sqlite(_) = store.url.0 {
            connection.execute(SQLITE_MIGRATES).await.map_err(|error| refused(&store.url, &error))?;
        }
        store.migrate(&mut connection, &mut patience).await?;
        // One that is dropped is closed later, at the same time as another one perhaps: then SQLite keeps its log.
        let _ = connection.close().await;
        Ok(store)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The store is unreachable.
    // Boxed: the compiler cannot prove that sqlx's future is Send.
    pub fn connect(&self) -> Pin<Box<dyn Future<Output = sqlx::Result<AnyConnection>> + Send>> {
        let (options, settings) = (self.options.clone(), self.settings());
        Box::pin(async move {
            let mut connection = options.connect().await?;
            connection.execute(settings).await?;
            Ok(connection)
        })
    }

    /// A pool that opens connections on demand.
    pub fn pool(&self, options: AnyPoolOptions) -> AnyPool {
        let settings = self.settings();
        let options = options.after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(settings).await.map(drop) })
        });
        options.connect_lazy_with(self.options.clone())
    }

    /// The settings of each connection.
    fn settings(&self) -> &'static str {
        match self.url.0 {
            Kind::Sqlite(_) => SQLITE,
            Kind::Postgres(_) => POSTGRES,
        }
    }

    /// The number of connections that writing takes, if one has to do: in SQLite they take turns, and each commit makes
    /// the others read their pages again.
    pub fn max_writers(&self) -> Option<u32> {
        matches!(self.url.0, Kind::Sqlite(_)).then_some(1)
    }

    /// The statement that begins a writing transaction. In SQLite it takes the lock at once: a transaction
    /// that reads first fails if another one writes in between.
    pub fn begin_to_write(&self) -> &'static str {
        match self.url.0 {
            Kind::Sqlite(_) => "BEGIN IMMEDIATE",
            Kind::Postgres(_) => "BEGIN",
        }
    }

    /// SQL for rows of parameters, `($1, $2), ($3, $4)`, numbered from `first`. From 1, there are no others in the statement.
    ///
    /// SQLite then gets `?`: its driver asks for the name of each parameter, and SQLite goes through all names for each.
    /// The driver counts nameless ones apart from others.
    pub fn placeholders(&self, first: usize, rows: usize, width: usize) -> String {
        let parameter = |row: usize, column: usize| match self.url.0 {
            Kind::Sqlite(_) if first == 1 => "?".to_owned(),
            _ => format!("${}", first + row * width + column),
        };
        let row = |row| {
            format!("({})", (0..width).map(|column| parameter(row, column)).collect::<Vec<_>>().join(", "))
        };
        (0..rows).map(row).collect::<Vec<_>>().join(", ")
    }

    /// SQL for a table with a column `value` that has a row for each array in an array. The array is bound to this
    /// parameter, such as `$1`, as JSON. `value ->> 0` is the first element of a row, in PostgreSQL as text.
    ///
    /// A list of many parameters would be another statement for each length, which is parsed each time.
    pub fn rows(&self, parameter: &str) -> String {
        match self.url.0 {
            Kind::Sqlite(_) => format!("json_each({parameter})"),
            Kind::Postgres(_) => format!("json_array_elements(CAST({parameter} AS json))"),
        }
    }

    /// SQL behind a column: its value is the first element of one of the [`Self::rows`], as this expression has it.
    ///
    /// PostgreSQL looks up each value of an array in an index. A subquery may become a join that reads the whole table.
    pub fn is_first_of(&self, expression: &str, parameter: &str) -> String {
        let select = format!("SELECT {expression} FROM {}", self.rows(parameter));
        match self.url.0 {
            Kind::Sqlite(_) => format!("IN ({select})"),
            Kind::Postgres(_) => format!("= ANY (ARRAY({select}))"),
        }
    }

    /// Whether it can join two large tables by reading each once. SQLite looks up each row.
    pub fn has_hash_joins(&self) -> bool {
        matches!(self.url.0, Kind::Postgres(_))
    }

    /// The setting for a query that goes through the texts of a large table, for its transaction. PostgreSQL takes a
    /// search in a text for as cheap as the comparison of two numbers, so that it would not divide it among cores.
    pub fn setting_of_scans(&self) -> Option<&'static str> {
        matches!(self.url.0, Kind::Postgres(_)).then_some("SET LOCAL parallel_setup_cost = 0")
    }

    /// Waits for the turn to write, ahead of all writers that wait with [`Self::turn`]. None for PostgreSQL.
    pub async fn next_turn(&self) -> Option<Turn> {
        Some(self.turns.as_ref()?.next().await)
    }

    /// Waits for the turn to write, after all other writers of this process that wait. None for PostgreSQL.
    ///
    /// Every writing transaction of a process that also has a ledger waits for its turn.
    pub async fn turn(&self) -> Option<Turn> {
        Some(self.turns.as_ref()?.last().await)
    }

    /// The store's URL, displayed without its password.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    async fn connect_patiently(&self, patience: &mut Patience) -> Result<AnyConnection, UserError> {
        loop {
            let backoff = ConstantBuilder::default().with_delay(PAUSE).without_max_times();
            let connecting =
                (|| self.connect()).retry(backoff).when(|error| matches!(error, sqlx::Error::Io(_)));
            match timeout(OPEN_BOUND, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => patience.wait(&self.url, error).await?,
                Err(_) => return Err(self.last_error().await),
            }
        }
    }

    async fn migrate(
        &self,
        connection: &mut AnyConnection,
        patience: &mut Patience,
    ) -> Result<(), UserError> {
        let mut is_first = true;
        loop {
            let migrating = timeout(MIGRATION_BOUND, MIGRATIONS.run(&mut *connection));
            tokio::pin!(migrating);
            let migrated = tokio::select! {
                migrated = &mut migrating => migrated,
                () = sleep(LONG_MIGRATION) => {
                    tracing::info!("migrating the tables of the store {}; a large store takes minutes", self.url);
                    migrating.await
                }
            };
            match migrated {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => patience.wait_to_migrate(&self.url, error, is_first).await?,
                Err(_) => {
                    let seconds = MIGRATION_BOUND.as_secs();
                    let error = sqlx::Error::Protocol(format!("not migrated within {seconds} s"));
                    return Err(refused(&self.url, &error));
                }
            }
            is_first = false;
        }
    }

    /// The error of a last attempt to connect, after the time for opening has passed.
    async fn last_error(&self) -> UserError {
        let last = timeout(PAUSE, self.connect()).await.ok().and_then(Result::err);
        let seconds = OPEN_BOUND.as_secs();
        let error = last.unwrap_or_else(|| sqlx::Error::Protocol(format!("no response within {seconds} s")));
        refused(&self.url, &error)
    }
}

fn unwritable(url: &StoreUrl, error: &std::io::Error) -> UserError {
    UserError::usage(format!("cannot open the store {url}: {error}"))
        .help("make its directory writable, or specify another file: --store sqlite:PATH")
}

/// Creates a file for its owner alone. SQLite gives its other files the same permissions.
fn create_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}
