//! Retention of dead letters, failures and replays.

use std::time::Duration;

use base::clock::{self, millis};
use base::error::UserError;
use desk_api::{DeadLetterState, Filter};
use settings::DeskSettings;
use tokio::time::{MissedTickBehavior, interval};

use crate::rounds::{MAX_ROWS, Rounds};
use crate::sql::{self, WhereClause};
use crate::{Desk, dead_letters, metrics};

/// Interval at which open dead letters are counted, and the number of intervals between cleanups.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
const CLEANUP_EVERY: u32 = 6;
/// The condition of dead letters in a replay that has not ended. A stopped replay can be resumed.
const IN_USE: &str = "EXISTS (SELECT 1 FROM job_letters JOIN jobs ON jobs.id = job_letters.job \
    WHERE job_letters.letter = letters.id AND jobs.state IN ('running', 'paused', 'stopped'))";

/// How long data is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Retention of replayed and discarded dead letters, and of replays that have ended.
    pub keep: Duration,
    /// Retention of open dead letters, and of failures without dead letters.
    pub keep_open: Duration,
    /// Maximum number of dead letters.
    pub max: u64,
}

impl Retention {
    /// Reads and validates the settings.
    ///
    /// # Errors
    /// Nothing would be retained.
    pub fn new(settings: &DeskSettings) -> Result<Self, UserError> {
        let default = Self::default();
        let retention = Self {
            keep: settings.keep.unwrap_or(default.keep),
            keep_open: settings.keep_open.unwrap_or(default.keep_open),
            max: settings.most.unwrap_or(default.max),
        };
        let error = match retention {
            Self { keep: Duration::ZERO, .. } => "desk.keep: more than 0 s",
            Self { keep_open: Duration::ZERO, .. } => "desk.keep-open: more than 0 s",
            Self { max: 0, .. } => "desk.most: at least 1",
            _ => return Ok(retention),
        };
        Err(UserError::usage(error).help("to store no dead letters, disable the desk: --desk=false"))
    }
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { keep: 30 * DAY, keep_open: 365 * DAY, max: 1_000_000 }
    }
}

impl Desk {
    /// Applies the retention and updates the metric of open dead letters, periodically until aborted.
    pub async fn maintain(self, retention: Retention) {
        let mut intervals = interval(COUNT_INTERVAL);
        intervals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in (0..CLEANUP_EVERY).cycle() {
            intervals.tick().await;
            if number == 0 {
                match self.clean_up(&retention, clock::now_ms()).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "dead letters deleted by retention"),
                    // The intake logs that the store is unavailable.
                    Err(error) => tracing::debug!(%error, "retention was not applied"),
                }
            }
            let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
            if let Ok(open) = self.count(&open).await {
                metrics::dead_letters_open(open);
            }
        }
    }

    /// Deletes data beyond the retention. Returns the number of dead letters deleted.
    ///
    /// # Errors
    /// The store is unavailable. Earlier deletions are not undone.
    pub async fn clean_up(&self, retention: &Retention, now_ms: i64) -> sqlx::Result<u64> {
        let before = |keep: Duration| now_ms.saturating_sub(millis(keep));
        let expired = [
            (DeadLetterState::Replayed, before(retention.keep)),
            (DeadLetterState::Discarded, before(retention.keep)),
            (DeadLetterState::Edited, before(retention.keep)),
            (DeadLetterState::Open, before(retention.keep_open)),
        ];
        let (mut rounds, mut total) = (Rounds::default(), 0);
        loop {
            let mut deleted = 0;
            for (state, before_ms) in expired {
                deleted += self.delete_expired(state, before_ms, &mut rounds).await?;
            }
            deleted += self.delete_excess(retention.max, &mut rounds).await?;
            if deleted == 0 {
                break;
            }
            total += deleted;
        }
        self.abandon_replays(now_ms).await?;
        while self.delete_expired_replay(before(retention.keep), &mut rounds).await? {}
        while self.delete_empty_failures(before(retention.keep_open), &mut rounds).await? > 0 {}
        Ok(total)
    }

    async fn delete_expired(
        &self,
        state: DeadLetterState,
        before_ms: i64,
        rounds: &mut Rounds,
    ) -> sqlx::Result<u64> {
        let mut clause = WhereClause::default();
        clause.equals("state", state.as_str());
        // The state of an imported dead letter may be older than the import.
        let (since, ingested) = (clause.bind(before_ms), clause.bind(before_ms));
        clause.add(format!("state_since < {since} AND taken < {ingested}"));
        let ids = self.unused(&clause, "state_since", rounds.rows()).await?;
        self.delete(&ids, &format!("state = '{}'", state.as_str()), rounds).await
    }

    /// Deletes the oldest dead letters above the maximum: first those that are not open, then open ones.
    async fn delete_excess(&self, max: u64, rounds: &mut Rounds) -> sqlx::Result<u64> {
        if self.count(&Filter::default()).await? <= max {
            return Ok(0);
        }
        let mut deleted = 0;
        for condition in ["state <> 'open'", "state = 'open'"] {
            let mut clause = WhereClause::default();
            clause.add(condition);
            let mut ids = self.unused(&clause, "failed", rounds.rows()).await?;
            // Counted after they were read, so that two hosts do not delete the same excess twice.
            let excess = self.count(&Filter::default()).await?.saturating_sub(max);
            ids.truncate(usize::try_from(excess).unwrap_or(usize::MAX));
            deleted += self.delete(&ids, condition, rounds).await?;
            if deleted > 0 {
                break;
            }
        }
        Ok(deleted)
    }

    /// The first matching dead letters that no replay uses. Read outside of a writing transaction: many may be in
    /// use.
    async fn unused(&self, clause: &WhereClause, order: &str, limit: usize) -> sqlx::Result<Vec<String>> {
        let sql = format!(
            "SELECT id FROM letters {} AND NOT {IN_USE} ORDER BY {order}, id LIMIT {limit}",
            clause.sql()
        );
        sql::scalar(sql, clause).fetch_all(&self.pool).await
    }

    /// Deletes these dead letters, except those that do not match the condition any more or are in use.
    async fn delete(&self, ids: &[String], condition: &str, rounds: &mut Rounds) -> sqlx::Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.begin().await?;
        let condition = format!("{condition} AND NOT {IN_USE}");
        let deleted = dead_letters::delete(&mut transaction, &self.store, ids, &condition).await?;
        rounds.end(transaction).await?;
        Ok(deleted)
    }

    /// Deletes a replay that ended before this time or was never started, or some of its items. Returns false if
    /// there is none.
    async fn delete_expired_replay(&self, before_ms: i64, rounds: &mut Rounds) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let expired: Option<String> = sqlx::query_scalar(
            "SELECT id FROM jobs WHERE (state IN ('done', 'cancelled') AND state_since < $1) \
             OR state = 'abandoned' ORDER BY id LIMIT 1",
        )
        .bind(before_ms)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(replay) = expired else { return Ok(false) };
        let items = format!(
            "DELETE FROM job_letters WHERE job = $1 AND position < {MAX_ROWS} + \
             (SELECT MIN(position) FROM job_letters WHERE job = $1)"
        );
        let items = sqlx::query(sqlx::AssertSqlSafe(items)).bind(&replay).execute(&mut *transaction).await?;
        if items.rows_affected() == 0 {
            sqlx::query("DELETE FROM jobs WHERE id = $1").bind(&replay).execute(&mut *transaction).await?;
        }
        rounds.end(transaction).await?;
        Ok(true)
    }

    /// Deletes some failures without dead letters; returns their number.
    async fn delete_empty_failures(&self, before_ms: i64, rounds: &mut Rounds) -> sqlx::Result<u64> {
        const EMPTY: &str =
            "NOT EXISTS (SELECT 1 FROM letters WHERE letters.failure_group = failure_groups.id)";
        let mut clause = WhereClause::default();
        let before = clause.bind(before_ms);
        clause.add(format!("last_seen < {before}"));
        clause.add(EMPTY);
        let sql = format!("SELECT id FROM failure_groups {} LIMIT {}", clause.sql(), rounds.rows());
        let ids: Vec<String> = sql::scalar(sql, &clause).fetch_all(&self.pool).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        sql::has_id(&mut clause, &self.store, &ids);
        let mut transaction = self.begin().await?;
        let sql = format!("DELETE FROM failure_groups {}", clause.sql());
        let deleted = sql::query(sql, &clause).execute(&mut *transaction).await?.rows_affected();
        rounds.end(transaction).await?;
        Ok(deleted)
    }
}
