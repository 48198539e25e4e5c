//! Detects a pooler between the host and PostgreSQL that hands sessions around, such as PgBouncer with
//! `pool_mode = transaction`. Prepared statements and the lock of a migration belong to a session, and would be those of
//! another one.

use base::error::UserError;
use sqlx::{AnyConnection, Executor as _, Row as _};

use crate::StoreUrl;

/// How often two connections are compared: under load, a pooler may give them different sessions at times.
const ROUNDS: usize = 5;

/// Makes sure that two open connections have two sessions.
///
/// # Errors
/// They share one.
pub(crate) async fn refuse(
    url: &StoreUrl,
    one: &mut AnyConnection,
    other: &mut AnyConnection,
) -> Result<(), UserError> {
    for _ in 0..ROUNDS {
        let sessions = (session(one).await, session(other).await);
        if let (Ok(one), Ok(other)) = sessions
            && one == other
        {
            let problem = format!(
                "the store {url} is behind a pooler that gives one session to several connections, such as PgBouncer \
                 in transaction mode"
            );
            return Err(UserError::usage(problem)
                .help("specify the address of PostgreSQL itself; the host has few connections")
                .help("or let the pooler keep sessions apart: pool_mode = session"));
        }
    }
    Ok(())
}

/// The number of the server process of a session, without a prepared statement.
async fn session(connection: &mut AnyConnection) -> sqlx::Result<i32> {
    connection.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)
}
