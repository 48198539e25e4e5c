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
        let transaction = self.pool.begin_with(self.store.begin_to_write()).await?;
        Ok(Writing { transaction, began, _turn: turn })
    }

    /// Executes a statement that writes a few rows.
    pub(crate) async fn write(
        &self,
        statement: Query<'_, Any, AnyArguments>,
    ) -> sqlx::Result<AnyQueryResult> {
        let _turn = self.turn().await?;
        statement.execute(&self.pool).await
    }

    async fn turn(&self) -> sqlx::Result<Option<Turn>> {
        timeout(ACQUIRE_TIMEOUT, self.store.turn()).await.map_err(|_| Error::PoolTimedOut)
    }
}
