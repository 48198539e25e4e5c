//! Transactions that write, each in its turn.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use sqlx::any::{AnyArguments, AnyQueryResult};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Error, Transaction};
use store::Turn;
use tokio::time::timeout;

use crate::{ACQUIRE_TIMEOUT, Desk};

/// A writing transaction. It ends, and is undone unless it was committed, before its turn ends.
pub(crate) struct Writing {
    transaction: Transaction<'static, Any>,
    began: Instant,
    _turn: Option<Turn>,
}

impl Writing {
    pub async fn commit(self) -> sqlx::Result<()> {
        self.transaction.commit().await
    }

    /// When its turn began.
    pub fn began(&self) -> Instant {
        self.began
    }
}

impl Deref for Writing {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

impl Desk {
    /// Begins a transaction that writes. It must be short and touch a bounded number of rows: e-mails may wait for
    /// its end.
    pub(crate) async fn begin(&self) -> sqlx::Result<Writing> {
        let turn = self.turn().await?;
        let began = Instant::now();
        let transaction = self.writers.begin_with(self.store.begin_to_write()).await?;
        Ok(Writing { transaction, began, _turn: turn })
    }

    /// Executes a statement that writes a few rows.
    pub(crate) async fn write(
        &self,
        statement: Query<'_, Any, AnyArguments>,
    ) -> sqlx::Result<AnyQueryResult> {
        let _turn = self.turn().await?;
        statement.execute(&self.writers).await
    }

    async fn turn(&self) -> sqlx::Result<Option<Turn>> {
        timeout(ACQUIRE_TIMEOUT, self.store.turn()).await.map_err(|_| Error::PoolTimedOut)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::{Store, StoreUrl};

    use super::*;

    #[tokio::test]
    async fn slow_readers_do_not_make_a_writer_hold_its_turn() {
        let directory = std::env::temp_dir().join(format!("host-writing-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let url = format!("sqlite:{}/host.db", directory.display());
        let store = Store::open(StoreUrl::parse(&url).expect("a URL")).await.expect("a store");
        let desk = Desk::open(&store).await.expect("a desk");
        let mut readers = Vec::new();
        while readers.len() < 4 {
            readers.push(desk.pool.acquire().await.expect("a connection"));
        }
        let writing =
            timeout(Duration::from_secs(3), desk.begin()).await.expect("a connection").expect("a lock");
        writing.commit().await.expect("committed");
        timeout(Duration::from_secs(1), store.next_turn()).await.expect("the ledger's turn");
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
