//! A look at a store that changes nothing: whether a host can open it, and what opening will do to it.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::error::UserError;
use rustix::fs::{Access, access};
use sqlx::migrate::MigrateError;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use crate::patience::{refused, unusable};
use crate::url::{Kind, StoreUrl};
use crate::{MIGRATIONS, pooler, unwritable};

/// The time for the whole look.
const BOUND: Duration = Duration::from_secs(5);
/// PostgreSQL's code for a table that does not exist.
const NO_TABLE: &str = "42P01";

/// What a look at a store has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The number of migrations that it has had. None if it has no tables of a host.
    pub migrations: Option<usize>,
    /// The number of migrations that this host makes when it opens the store.
    pub pending: usize,
    /// Its id, if a desk has opened it.
    pub id: Option<String>,
}

/// Looks at a store for up to 5 s.
///
/// # Errors
/// A host could not open it: the errors of [`crate::Store::open`].
pub async fn look(url: &StoreUrl) -> Result<Look, UserError> {
    sqlx::any::install_default_drivers();
    let late = || sqlx::Error::Protocol(format!("no response within {} s", BOUND.as_secs()));
    let looked = match &url.0 {
        Kind::Sqlite(path) => match exists(path) {
            Ok(true) => timeout(BOUND, look_at_file(url, path)).await,
            Ok(false) => return Ok(new()),
            Err(error) => return Err(unwritable(url, &error)),
        },
        Kind::Postgres(_) => timeout(BOUND, look_at_database(url)).await,
    };
    looked.unwrap_or_else(|_| Err(refused(url, &late())))
}

fn new() -> Look {
    Look { migrations: None, pending: MIGRATIONS.iter().count(), id: None }
}

/// Whether the file exists. It, and the files that SQLite keeps beside it, can be written.
fn exists(path: &Path) -> io::Result<bool> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    access(parent.unwrap_or(Path::new(".")), Access::WRITE_OK | Access::EXEC_OK)?;
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

async fn look_at_file(url: &StoreUrl, path: &Path) -> Result<Look, UserError> {
    let mut log = PathBuf::from(path).into_os_string();
    log.push("-wal");
    // Without a log no process has it open, and SQLite need not create one in order to read.
    let options = if Path::new(&log).exists() { "?mode=ro" } else { "?mode=ro&immutable=true" };
    let options = url.options_with(options).map_err(|error| refused(url, &error))?;
    let mut connection = options.connect().await.map_err(|error| refused(url, &error))?;
    let found = look_at_tables(url, &mut connection).await;
    // One that is dropped is closed later, at the same time as another one perhaps: then SQLite keeps its log.
    let _ = connection.close().await;
    found
}

async fn look_at_database(url: &StoreUrl) -> Result<Look, UserError> {
    let failed = |error: sqlx::Error| refused(url, &error);
    let options = url.options().map_err(failed)?;
    let mut connection = options.connect().await.map_err(failed)?;
    if let Ok(mut other) = options.connect().await {
        pooler::refuse(url, &mut connection, &mut other).await?;
    }
    let found = look_at_tables(url, &mut connection).await?;
    let may_create = "SELECT COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)";
    let may_create: bool = sqlx::query_scalar(may_create).fetch_one(&mut connection).await.map_err(failed)?;
    if found.pending > 0 && !may_create {
        let problem = format!("the store {url} needs tables, which its user may not create");
        return Err(
            UserError::unavailable(problem).help("GRANT CREATE ON SCHEMA public TO the user of the URL")
        );
    }
    Ok(found)
}

async fn look_at_tables(url: &StoreUrl, connection: &mut AnyConnection) -> Result<Look, UserError> {
    let versions = "SELECT version FROM _sqlx_migrations ORDER BY version";
    let applied: Vec<i64> = match sqlx::query_scalar(versions).fetch_all(&mut *connection).await {
        Ok(applied) => applied,
        Err(error) if is_no_table(&error) => return Ok(new()),
        Err(error) => return Err(refused(url, &error)),
    };
    let is_known = |version: &&i64| MIGRATIONS.iter().any(|migration| migration.version == **version);
    if let Some(newer) = applied.iter().find(|version| !is_known(version)) {
        return Err(unusable(url, &MigrateError::VersionMissing(*newer)));
    }
    let is_pending = |version: i64| !applied.contains(&version);
    let pending = MIGRATIONS.iter().filter(|migration| is_pending(migration.version)).count();
    // A store of an old version has no such table, and a ledger alone has no id.
    let id = sqlx::query_scalar("SELECT id FROM stores ORDER BY id").fetch_optional(connection).await;
    Ok(Look { migrations: Some(applied.len()), pending, id: id.unwrap_or_default() })
}

fn is_no_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().is_some_and(|code| code == NO_TABLE) || error.message().contains("no such table")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use sqlx::Executor as _;

    use super::*;
    use crate::Store;

    fn files(directory: &Path) -> Vec<(String, u64)> {
        let mut all: Vec<_> = fs::read_dir(directory)
            .expect("a directory")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| {
                (entry.file_name().to_string_lossy().into_owned(), entry.metadata().expect("a file").len())
            })
            .collect();
        all.sort();
        all
    }

    #[tokio::test]
    async fn a_look_tells_the_version_and_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = StoreUrl::parse(&format!("sqlite:{}/host.db", directory.path().display())).expect("a URL");
        assert_eq!(look(&url).await.expect("a new store"), new());
        assert_eq!(files(directory.path()), [], "nothing is created");
        let store = Store::open(url.clone()).await.expect("a store");
        let mut connection = store.connect().await.expect("a connection");
        connection.execute("INSERT INTO stores (id) VALUES ('s1')").await.expect("an id");
        let same = async |is_open: bool| {
            // A connection that is dropped is closed by its thread, a moment later.
            let end = Instant::now() + Duration::from_secs(30);
            while (files(directory.path()).len() > 1) != is_open && Instant::now() < end {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let before = files(directory.path());
            assert_eq!(before.len() > 1, is_open, "{before:?}");
            let migrations = Some(MIGRATIONS.iter().count());
            let expected = Look { migrations, pending: 0, id: Some("s1".into()) };
            assert_eq!(look(&url).await.expect("a store"), expected);
            assert_eq!(files(directory.path()), before);
        };
        same(true).await;
        connection.close().await.expect("closed");
        same(false).await;
        let mut connection = store.connect().await.expect("a connection");
        let newer = "UPDATE _sqlx_migrations SET version = 99999999999999 \
                     WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
        connection.execute(newer).await.expect("a newer store");
        let error = look(&url).await.expect_err("a newer store").to_string();
        assert!(
            error.contains("cannot be used") && error.contains("no newer version of the host"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_file_that_is_no_store_or_has_no_directory_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("host.db");
        fs::write(&path, "x".repeat(5000)).expect("written");
        for (path, expected) in
            [(path, "file is not a database"), (directory.path().join("none/host.db"), "No such file")]
        {
            let url = StoreUrl::parse(&format!("sqlite:{}", path.display())).expect("a URL");
            let error = look(&url).await.expect_err(expected).to_string();
            assert!(error.contains(expected) && error.contains("help: "), "{error}");
        }
    }
}
