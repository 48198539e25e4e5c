//! The host's persistent store: a SQLite file or a PostgreSQL database. Both use the same migrations and the
//! same SQL.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use base::error::UserError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Executor as _};
use tokio::time::timeout;

/// The maximum time for opening the store, including migrations.
const OPEN_BOUND: Duration = Duration::from_secs(30);
/// The pause between two attempts to connect to PostgreSQL at start.
const CONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Commits are synchronous, and another writing process is waited for.
const SQLITE: &str = "PRAGMA busy_timeout = 3000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
/// The characters of a path that are not percent-encoded in a URL.
const PATH_ENCODING: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The URL of a store. Displayed without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Sqlite(PathBuf),
    Postgres(url::Url),
}

impl StoreUrl {
    /// Parses `sqlite:PATH` or `postgres://[user[:password]@]host[:port]/database[?sslmode=…]` without
    /// opening the store.
    ///
    /// # Errors
    /// A usage error (exit code 2) whose message does not contain the URL.
    pub fn parse(text: &str) -> Result<Self, UserError> {
        let wrong = |what: &str| {
            Err(UserError::usage(format!("store: {what}")).help(
                "specify a file, sqlite:host.db, or a database, postgres://user:password@host/database",
            ))
        };
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => wrong("sqlite: needs the path of a file"),
                ":memory:" => wrong("a store in memory is not persistent"),
                _ if path.contains('?') => wrong("sqlite: accepts a path without parameters"),
                _ => Ok(Self(Kind::Sqlite(path.into()))),
            };
        }
        match url::Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "postgres" | "postgresql") => {
                wrong("neither a sqlite: nor a postgres: URL")
            }
            Ok(url) if url.host_str().is_none_or(str::is_empty) && !text.contains("host=") => {
                wrong("the URL has no host")
            }
            Ok(url) if url.path().trim_matches('/').is_empty() => wrong("the URL has no database"),
            Ok(url) => Ok(Self(Kind::Postgres(url))),
            Err(error) => wrong(&format!("not a URL: {error}")),
        }
    }

    fn options(&self) -> sqlx::Result<AnyConnectOptions> {
        let url = match &self.0 {
            Kind::Sqlite(path) => {
                format!("sqlite:{}", utf8_percent_encode(&path.to_string_lossy(), PATH_ENCODING))
            }
            Kind::Postgres(url) => url.to_string(),
        };
        Ok(url.parse::<AnyConnectOptions>()?.disable_statement_logging())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Postgres(url) => {
                let mut url = url.clone();
                if url.password().is_some() {
                    let _ = url.set_password(Some("***"));
                }
                // Parameters may contain a password, too.
                if url.query_pairs().any(|(name, _)| name == "password") {
                    url.set_query(None);
                }
                f.write_str(url.as_str())
            }
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&StoreUrl(self.clone()), f)
    }
}

/// A store whose tables are up to date.
#[derive(Debug)]
pub struct Store {
    url: StoreUrl,
    options: AnyConnectOptions,
}

impl Store {
    /// Opens a store and migrates its tables. A missing file is created, readable only for its owner.
    /// PostgreSQL may be unreachable for up to 30 s.
    ///
    /// # Errors
    /// The store cannot be opened or migrated.
    pub async fn open(url: StoreUrl) -> Result<Self, UserError> {
        sqlx::any::install_default_drivers();
        if let Kind::Sqlite(path) = &url.0 {
            create_private(path).map_err(|error| {
                UserError::usage(format!("cannot open the store {url}: {error}"))
                    .help("make its directory writable, or specify another file: --store sqlite:PATH")
            })?;
        }
        let options = url.options().map_err(|error| refused(&url, &error))?;
        let store = Self { url, options };
        match timeout(OPEN_BOUND, store.migrated()).await {
            Ok(Ok(())) => Ok(store),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let timed_out =
                    sqlx::Error::Protocol(format!("no response within {} s", OPEN_BOUND.as_secs()));
                Err(store.last_error().await.unwrap_or_else(|| refused(&store.url, &timed_out)))
            }
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The store is unreachable.
    // Boxed: the compiler cannot prove that sqlx's future is Send.
    pub fn connect(&self) -> Pin<Box<dyn Future<Output = sqlx::Result<AnyConnection>> + Send>> {
        let (options, is_sqlite) = (self.options.clone(), matches!(self.url.0, Kind::Sqlite(_)));
        Box::pin(async move {
            let mut connection = options.connect().await?;
            if is_sqlite {
                connection.execute(SQLITE).await?;
            }
            Ok(connection)
        })
    }

    /// A pool that opens connections on demand.
    pub fn pool(&self, options: AnyPoolOptions) -> AnyPool {
        let is_sqlite = matches!(self.url.0, Kind::Sqlite(_));
        let options = options.after_connect(move |connection, _| {
            Box::pin(async move {
                if is_sqlite {
                    connection.execute(SQLITE).await?;
                }
                Ok(())
            })
        });
        options.connect_lazy_with(self.options.clone())
    }

    /// The statement that begins a writing transaction. In SQLite it takes the lock at once: a transaction
    /// that reads first fails if another one writes in between.
    pub fn begin_to_write(&self) -> &'static str {
        match self.url.0 {
            Kind::Sqlite(_) => "BEGIN IMMEDIATE",
            Kind::Postgres(_) => "BEGIN",
        }
    }

    /// The store's URL, displayed without its password.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    async fn migrated(&self) -> Result<(), UserError> {
        let backoff = ConstantBuilder::default().with_delay(CONNECT_PAUSE).without_max_times();
        let connecting = (|| self.connect()).retry(backoff).when(|error| matches!(error, sqlx::Error::Io(_)));
        let mut connection = connecting.await.map_err(|error| refused(&self.url, &error))?;
        MIGRATIONS.run(&mut connection).await.map_err(|error| {
            UserError::usage(format!("the store {} cannot be used: {error}", self.url))
                .help("use a database for the host alone, which no newer version of the host has migrated")
        })
    }

    /// The error of a last attempt to connect, after the time for opening has passed.
    async fn last_error(&self) -> Option<UserError> {
        let error = timeout(CONNECT_PAUSE, self.connect()).await.ok()?.err()?;
        Some(refused(&self.url, &error))
    }
}

/// The placeholders for some rows, `($1, $2), ($3, $4)`, in a form that both databases accept.
pub fn tuples(rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let numbers: Vec<_> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
        format!("({})", numbers.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Creates a file for its owner alone. SQLite gives its other files the same permissions.
fn create_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

fn refused(url: &StoreUrl, error: &sqlx::Error) -> UserError {
    let refusal = UserError::unavailable(format!("cannot open the store {url}: {error}"));
    match url.0 {
        Kind::Sqlite(_) => refusal.help("specify another file: --store sqlite:PATH"),
        Kind::Postgres(_) => {
            refusal.help("start PostgreSQL, create the database (createdb), or check the URL: --store URL")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_displayed_without_passwords() {
        let shown = |text: &str| StoreUrl::parse(text).map(|url| format!("{url} {url:?}"));
        for (text, expected) in [
            ("sqlite:host.db", "sqlite:host.db"),
            ("sqlite:///var/lib/host/host.db", "sqlite:/var/lib/host/host.db"),
            ("postgres://me:hush@db.example:5433/host", "postgres://me:***@db.example:5433/host"),
            ("postgresql://db/host?password=hush&user=me", "postgresql://db/host"),
        ] {
            let shown = shown(text).expect(text);
            assert!(shown.starts_with(expected) && !shown.contains("hush"), "{shown}");
        }
        for text in [
            "host.db",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?mode=ro",
            "mysql://me:hush@db/host",
            "postgres://me:hush@db",
            "postgres://me:hush@db:x/host",
        ] {
            let refused = shown(text).expect_err(text).to_string();
            assert!(refused.contains("sqlite:host.db") && !refused.contains("hush"), "{refused}");
        }
    }
}
