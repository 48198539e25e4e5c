//! The dead-letter desk: stores dead letters, groups them into failures, and sends them back.
//!
//! A dead letter is a record of a dead-letter topic. [`intake`] stores it; it stays open until a user replays or
//! discards it. Dead letters with the same code, plugin, digest and cause form a failure. Every action of a user is
//! written to the [audit log](audit) in the same transaction as its effect.

pub mod alerts;
pub mod audit;
mod changes;
mod dead_letters;
mod failures;
pub mod intake;
pub mod metrics;
pub mod pauses;
pub mod record;
pub mod replay;
pub mod retention;
mod rounds;
mod sql;
pub mod transfer;
mod writing;

use std::time::Duration;

use base::clock;
use base::error::UserError;
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use store::{Patience, Store};

pub use self::changes::Edited;
pub use self::dead_letters::IdOf;
pub(crate) use self::writing::Writing;

/// How long a query waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections to the store that read, and connections that write.
const MAX_CONNECTIONS: u32 = 4;

/// The dead letters of a store. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Connections that read.
    pool: AnyPool,
    /// Connections that write: a writer whose turn it is must not wait for slow readers.
    writers: AnyPool,
    store: Store,
    store_id: String,
    store_name: String,
}

impl Desk {
    /// Opens the desk in this store.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn open(store: &Store) -> Result<Self, UserError> {
        let options = |max| AnyPoolOptions::new().max_connections(max).acquire_timeout(ACQUIRE_TIMEOUT);
        let desk = Self {
            pool: store.pool(options(MAX_CONNECTIONS)),
            writers: store.pool(options(store.max_writers().unwrap_or(MAX_CONNECTIONS))),
            store: store.clone(),
            store_id: String::new(),
            store_name: store.url().to_string(),
        };
        let mut patience = Patience::default();
        loop {
            match desk.identify(clock::now_ms()).await {
                Ok(store_id) => return Ok(Self { store_id, ..desk }),
                Err(error) => patience.wait(store.url(), error).await?,
            }
        }
    }

    /// The store's id, the same for every host that uses the store.
    pub fn store_id(&self) -> &str {
        &self.store_id
    }

    /// The store's URL, without a password.
    pub fn store_name(&self) -> &str {
        &self.store_name
    }

    async fn identify(&self, now_ms: i64) -> sqlx::Result<String> {
        let mut transaction = self.begin().await?;
        let known = sqlx::query_scalar("SELECT id FROM stores ORDER BY id").fetch_optional(&mut *transaction);
        let (id, effects_since) = match known.await? {
            // An older host may have deleted what open dead letters had sent.
            Some(id) => (id, now_ms),
            None => {
                let id = sortable_id();
                let insert = sqlx::query("INSERT INTO stores (id) VALUES ($1)").bind(&id);
                insert.execute(&mut *transaction).await?;
                (id, 0)
            }
        };
        sqlx::query("UPDATE stores SET effects_since = $1 WHERE effects_since IS NULL")
            .bind(effects_since)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(id)
    }
}

/// A new id: 32 hexadecimal digits, in order of creation.
pub(crate) fn sortable_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// A new random id, for everything that users abbreviate: [`sortable_id`]s of one minute share a prefix.
pub fn random_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The error for a store that does not answer.
pub fn store_unavailable(error: &sqlx::Error) -> UserError {
    UserError::unavailable(format!("the store is unavailable: {error}"))
        .help("check the database that --store names")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_of_the_same_moment_have_distinct_prefixes() {
        let prefixes: BTreeSet<String> = (0..20).map(|_| random_id().chars().take(8).collect()).collect();
        assert_eq!(prefixes.len(), 20);
    }
}
