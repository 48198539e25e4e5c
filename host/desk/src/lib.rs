//! The dead-letter desk: what failed is kept, grouped, understood, and sent back.
//!
//! A letter is a record of a dead-letter topic. It comes in through [`intake`], is open until it is
//! replayed or discarded, and belongs to the group of its failure's code, plugin and digest. Whatever
//! people do to letters is one transaction with an entry in [`actions`].

pub mod actions;
pub mod alerts;
pub mod filter;
pub mod groups;
pub mod intake;
pub mod jobs;
pub mod letter;
pub mod letters;
pub mod metrics;
pub mod page;
pub mod replay;
pub mod retention;
pub mod transfer;
pub mod trial;

use std::time::Duration;

use base::error::UserError;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Transaction};
use store::Store;

pub use self::filter::Filter;
pub use self::letter::{Letter, State};
pub use self::page::{At, Page};

/// How long a question waits for a connection.
const WAIT: Duration = Duration::from_secs(10);
/// Connections to the store at once. SQLite lets one write at a time, and all read.
const CONNECTIONS: u32 = 4;

/// The letters in a store. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Desk {
    pool: AnyPool,
    begin: &'static str,
    store_id: String,
    /// The store's name, without a password.
    place: String,
}

impl Desk {
    /// Opens the desk in this store.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn open(store: &Store) -> Result<Self, UserError> {
        let options = AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(WAIT);
        let pool = store.pool(options);
        let desk = Self {
            pool,
            begin: store.begin_to_write(),
            store_id: String::new(),
            place: store.url().to_string(),
        };
        let store_id = desk.identify().await.map_err(|error| desk_failed(&error))?;
        Ok(Self { store_id, ..desk })
    }

    /// Which store it is: the same for all that share it, another for each other one.
    pub fn store_id(&self) -> &str {
        &self.store_id
    }

    /// The store's name, without a password.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A transaction that writes.
    async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        self.pool.begin_with(self.begin).await
    }

    async fn identify(&self) -> sqlx::Result<String> {
        let mut transaction = self.begin().await?;
        let known = sqlx::query_scalar("SELECT id FROM stores ORDER BY id").fetch_optional(&mut *transaction);
        let id = match known.await? {
            Some(id) => id,
            None => {
                let id = new_id();
                sqlx::query("INSERT INTO stores (id) VALUES ($1)")
                    .bind(&id)
                    .execute(&mut *transaction)
                    .await?;
                id
            }
        };
        transaction.commit().await?;
        Ok(id)
    }
}

/// A new id: 32 hexadecimal digits, later ones greater.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// A new id of something that people name by the beginning of it, as that of a letter: 32 hexadecimal digits at
/// random, since the first digits of [`new_id`] are the same for a minute.
pub(crate) fn random_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// What a person is told when the store does not answer.
pub fn desk_failed(error: &sqlx::Error) -> UserError {
    UserError::unavailable(format!("the store does not answer: {error}"))
        .help("it is the one that --store names; start or mend it")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_first_digits_tell_what_was_made_in_the_same_moment_apart() {
        let shown: BTreeSet<String> = (0..20).map(|_| random_id().chars().take(8).collect()).collect();
        assert_eq!(shown.len(), 20);
    }
}
