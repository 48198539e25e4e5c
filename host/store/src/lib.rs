//! Where the host keeps what must outlive it: a SQLite file, or PostgreSQL. One set of migrations and
//! one SQL text serve both.

use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use base::error::UserError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Executor as _};
use tokio::time::timeout;

/// How long opening it at start may take, migrations included.
const OPEN: Duration = Duration::from_secs(30);
/// How long PostgreSQL may take to be connected to at start before it is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// A commit is on the disk before it is answered; another process that writes is waited for.
const SQLITE: &str = "PRAGMA busy_timeout = 3000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
/// What a path keeps in a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The name of a store. Shown without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Sqlite(PathBuf),
    Postgres(url::Url),
}

impl StoreUrl {
    /// Reads `sqlite:PATH` or `postgres://[user[:password]@]host[:port]/database[?sslmode=…]`. Does not
    /// open it.
    ///
    /// # Errors
    /// A usage failure (exit code 2) that says what is wrong without repeating the URL.
    pub fn parse(text: &str) -> Result<Self, UserError> {
        let wrong = |what: &str| {
            Err(UserError::usage(format!("store: {what}"))
                .help("name a file, sqlite:host.db, or a database, postgres://user:password@host/database"))
        };
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => wrong("sqlite: needs the path of a file"),
                ":memory:" => wrong("a store in memory remembers nothing"),
                _ if path.contains('?') => wrong("sqlite: takes a path alone, without parameters"),
                _ => Ok(Self(Kind::Sqlite(path.into()))),
            };
        }
        match url::Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "postgres" | "postgresql") => {
                wrong("neither a sqlite: nor a postgres: URL")
            }
            Ok(url) if url.host_str().is_none_or(str::is_empty) && !text.contains("host=") => {
                wrong("the URL names no host")
            }
            Ok(url) if url.path().trim_matches('/').is_empty() => wrong("the URL names no database"),
            Ok(url) => Ok(Self(Kind::Postgres(url))),
            Err(error) => wrong(&format!("not a URL: {error}")),
        }
    }

    fn options(&self) -> sqlx::Result<AnyConnectOptions> {
        let url = match &self.0 {
            Kind::Sqlite(path) => {
                format!("sqlite:{}", utf8_percent_encode(&path.to_string_lossy(), PATH))
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
                // Parameters may hold a password too.
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

/// A store that was opened once and has its tables.
#[derive(Debug)]
pub struct Store {
    url: StoreUrl,
    options: AnyConnectOptions,
}

impl Store {
    /// Makes the file where it is missing, for its owner alone, connects and brings the tables up to date.
    /// PostgreSQL may be away for up to 30 s.
    ///
    /// # Errors
    /// What is wrong with it, and what to do about it.
    pub async fn open(url: StoreUrl) -> Result<Self, UserError> {
        sqlx::any::install_default_drivers();
        if let Kind::Sqlite(path) = &url.0 {
            make_private(path).map_err(|error| {
                UserError::usage(format!("cannot open the store {url}: {error}"))
                    .help("make its directory writable, or name another file: --store sqlite:PATH")
            })?;
        }
        let options = url.options().map_err(|error| refused(&url, &error))?;
        let store = Self { url, options };
        match timeout(OPEN, store.migrated()).await {
            Ok(Ok(())) => Ok(store),
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                let why = sqlx::Error::Protocol(format!("no answer within {} s", OPEN.as_secs()));
                Err(store.last_error().await.unwrap_or_else(|| refused(&store.url, &why)))
            }
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// It cannot be reached.
    // Boxed: the compiler does not see that sqlx's own future may change threads.
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

    /// Connections that are made as they are needed.
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

    /// What begins a transaction that writes. SQLite takes the lock at once: one that read first and
    /// then finds that another wrote could only fail.
    pub fn begin_to_write(&self) -> &'static str {
        match self.url.0 {
            Kind::Sqlite(_) => "BEGIN IMMEDIATE",
            Kind::Postgres(_) => "BEGIN",
        }
    }

    /// Its name, without a password.
    pub fn url(&self) -> &StoreUrl {
        &self.url
    }

    async fn migrated(&self) -> Result<(), UserError> {
        let mut connection = loop {
            match self.connect().await {
                Ok(connection) => break connection,
                Err(sqlx::Error::Io(_)) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(refused(&self.url, &error)),
            }
        };
        MIGRATIONS.run(&mut connection).await.map_err(|error| {
            UserError::usage(format!("the store {} cannot be used: {error}", self.url))
                .help("give the host a database of its own, and one that no newer host has changed")
        })
    }

    /// Why it could not be reached in all that time.
    async fn last_error(&self) -> Option<UserError> {
        let error = timeout(PAUSE, self.connect()).await.ok()?.err()?;
        Some(refused(&self.url, &error))
    }
}

/// `($1, $2), ($3, $4)`: placeholders for rows of this width, numbered from `first`, in a form that both databases
/// accept.
pub fn placeholders(first: usize, rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let numbers: Vec<_> = (0..width).map(|column| format!("${}", first + row * width + column)).collect();
        format!("({})", numbers.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// SQLite's other files get the permissions of this one.
fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

fn refused(url: &StoreUrl, error: &sqlx::Error) -> UserError {
    let failure = UserError::unavailable(format!("cannot open the store {url}: {error}"));
    match url.0 {
        Kind::Sqlite(_) => failure.help("name another file: --store sqlite:PATH"),
        Kind::Postgres(_) => {
            failure.help("start PostgreSQL, make the database (createdb), or check the URL: --store URL")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_passwords() {
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
