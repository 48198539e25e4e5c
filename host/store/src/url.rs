//! The URL of a store.

use std::fmt;
use std::path::PathBuf;

use base::error::UserError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::ConnectOptions as _;
use sqlx::any::AnyConnectOptions;

/// The characters of a path that are not percent-encoded in a URL.
const PATH_ENCODING: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The URL of a store. Displayed without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(pub(crate) Kind);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
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
        let wrong = |reason: &str| {
            Err(UserError::usage(format!("store: {reason}")).help(
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

    pub(crate) fn options(&self) -> sqlx::Result<AnyConnectOptions> {
        self.options_with("")
    }

    /// The options with this query, for a file.
    pub(crate) fn options_with(&self, query: &str) -> sqlx::Result<AnyConnectOptions> {
        let url = match &self.0 {
            Kind::Sqlite(path) => {
                format!("sqlite:{}{query}", utf8_percent_encode(&path.to_string_lossy(), PATH_ENCODING))
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
