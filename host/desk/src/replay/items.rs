//! The dead letters of a replay in the store, and its lease.

use desk_api::{Replay, ReplayState};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _};

use super::steps::{Counts, Verdict};
use crate::Desk;
use crate::sql;

/// The state of skipped dead letters in the store.
pub(super) const SKIPPED: &str = "gone";

/// A dead letter that is to be sent.
#[derive(Debug)]
pub struct WaitingItem {
    /// Its position in the replay.
    pub position: i64,
    /// Id of the dead letter.
    pub dead_letter: String,
    /// Size of key and value, in bytes.
    pub size: i64,
}

/// A dead letter that was published.
#[derive(Debug)]
pub struct SentItem {
    /// Its position in the replay.
    pub position: i64,
    /// Id of the dead letter.
    pub dead_letter: String,
    /// The topic it was sent to.
    pub topic: String,
    /// The partition it was sent to.
    pub partition: i32,
    /// Its offset, if the broker returned it.
    pub offset: Option<i64>,
    /// The consumer group in which its message failed; empty if it is not known.
    pub group: String,
    /// Whether its first delivery failed; None without an outcome yet.
    pub failed: Option<bool>,
}

/// A dead letter that is not sent.
#[derive(Debug)]
pub struct SkippedItem {
    /// Its position in the replay.
    pub position: i64,
    /// The reason, for users.
    pub reason: String,
}

impl Desk {
    /// Running replays without a valid lease, oldest first.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn unleased_replays(&self, now_ms: i64) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT id FROM jobs WHERE state = 'running' AND (worker IS NULL OR worker_until < $1) \
             ORDER BY created, id LIMIT 20",
        )
        .bind(now_ms)
        .fetch_all(&self.pool)
        .await
    }

    /// Acquires the lease of a replay. Returns false if another worker holds it.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn lease(&self, replay: &str, worker: &str, now_ms: i64, until: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query(
            "UPDATE jobs SET worker = $1, worker_until = $2 \
             WHERE id = $3 AND state = 'running' AND (worker IS NULL OR worker_until < $4)",
        );
        let sql = sql.bind(worker).bind(until).bind(replay).bind(now_ms);
        Ok(self.write(sql).await?.rows_affected() == 1)
    }

    /// Renews a lease, of an ended replay too: its worker may have dead letters in flight. Returns false if another
    /// worker holds the lease.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn renew_lease(&self, replay: &str, worker: &str, until: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query("UPDATE jobs SET worker_until = $1 WHERE id = $2 AND worker = $3");
        Ok(self.write(sql.bind(until).bind(replay).bind(worker)).await?.rows_affected() == 1)
    }

    /// Claims the dead letters of a replay up to this position before they are published, and renews the lease. Returns
    /// false if the replay is not running, or another worker holds the lease; then nothing may be published.
    ///
    /// No other replay takes claimed dead letters, not even after a cancellation, until the lease is released or has
    /// expired.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn claim(&self, replay: &str, worker: &str, position: i64, until: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query(
            "UPDATE jobs SET worker_until = $1, claimed = $2 WHERE id = $3 AND worker = $4 AND state = 'running'",
        );
        let sql = sql.bind(until).bind(position).bind(replay).bind(worker);
        Ok(self.write(sql).await?.rows_affected() == 1)
    }

    /// Whether the replay is running and this worker holds its lease.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn holds_lease(&self, replay: &str, worker: &str) -> sqlx::Result<bool> {
        let sql = sqlx::query("SELECT id FROM jobs WHERE id = $1 AND worker = $2 AND state = 'running'");
        Ok(sql.bind(replay).bind(worker).fetch_optional(&self.pool).await?.is_some())
    }

    /// Releases a lease.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn release_lease(&self, replay: &str, worker: &str) -> sqlx::Result<()> {
        let sql =
            sqlx::query("UPDATE jobs SET worker = NULL, worker_until = NULL WHERE id = $1 AND worker = $2");
        self.write(sql.bind(replay).bind(worker)).await.map(drop)
    }

    /// Sets the reason why a running replay waits; empty if it proceeds.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn set_state_reason(&self, replay: &str, reason: &str) -> sqlx::Result<()> {
        let sql = sqlx::query("UPDATE jobs SET why = $1 WHERE id = $2 AND state = 'running' AND why <> $3");
        self.write(sql.bind(reason).bind(replay).bind(reason)).await.map(drop)
    }

    /// Id of the audit log entry for the start of a replay.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn start_entry(&self, replay: &str) -> sqlx::Result<Option<String>> {
        let sql = sqlx::query_scalar("SELECT id FROM actions WHERE job = $1 AND what = 'replay'");
        sql.bind(replay).fetch_optional(&self.pool).await
    }

    /// Topics and groups of the dead letters that are not sent yet.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn unsent_sources(&self, replay: &str) -> sqlx::Result<Vec<(String, String)>> {
        sqlx::query_as(
            "SELECT DISTINCT source, consumer_group FROM letters WHERE id IN \
             (SELECT letter FROM job_letters WHERE job = $1 AND state = 'waiting')",
        )
        .bind(replay)
        .fetch_all(&self.pool)
        .await
    }

    /// The first dead letters after the position `after`, up to `end`, that are not sent yet.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn waiting_items(
        &self,
        replay: &str,
        (after, end): (i64, i64),
        limit: usize,
    ) -> sqlx::Result<Vec<WaitingItem>> {
        let sql = sqlx::query(
            "SELECT l.position, l.letter, COALESCE(LENGTH(v.record_key), 0) + COALESCE(LENGTH(v.record_value), 0) \
             FROM job_letters l LEFT JOIN letter_records v ON v.id = l.letter \
             WHERE l.job = $1 AND l.state = 'waiting' AND l.position > $2 AND l.position <= $3 \
             ORDER BY l.position LIMIT $4",
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sql.bind(replay).bind(after).bind(end).bind(limit).fetch_all(&self.pool).await?;
        let waiting = |row: &AnyRow| {
            // PostgreSQL returns lengths as 32-bit integers.
            let size = row.try_get::<i64, _>(2).or_else(|_| row.try_get::<i32, _>(2).map(i64::from))?;
            Ok(WaitingItem { position: row.try_get(0)?, dead_letter: row.try_get(1)?, size })
        };
        rows.iter().map(waiting).collect()
    }

    /// Records dead letters as sent or skipped.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn record_sent(
        &self,
        replay: &str,
        audit_entry: &str,
        sent: &[SentItem],
        skipped: &[SkippedItem],
        now_ms: i64,
    ) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        if !sent.is_empty() {
            self.update_items(replay, sent, now_ms).execute(&mut *transaction).await?;
            self.update_dead_letters(audit_entry, sent, now_ms).execute(&mut *transaction).await?;
        }
        for SkippedItem { position, reason } in skipped {
            let sql = sqlx::query(
                "UPDATE job_letters SET state = $1, ended = $2, why = $3 \
                 WHERE job = $4 AND position = $5 AND state = 'waiting'",
            );
            let sql = sql.bind(SKIPPED).bind(now_ms).bind(reason).bind(replay).bind(position);
            sql.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Whether a dead letter up to the position `end` is not sent yet or has no outcome.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn has_pending_items(&self, replay: &str, end: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query(
            "SELECT position FROM job_letters WHERE job = $1 AND state IN ('waiting', 'sent') AND position <= $2 \
             LIMIT 1",
        );
        Ok(sql.bind(replay).bind(end).fetch_optional(&self.pool).await?.is_some())
    }

    /// The outcomes of the dead letters after the position `from`, up to `end`.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn step_counts(&self, replay: &str, from: i64, end: i64) -> sqlx::Result<Counts> {
        let sql = sqlx::query(
            "SELECT state, COUNT(*) FROM job_letters WHERE job = $1 AND position > $2 AND position <= $3 \
             AND state IN ('done', 'failed', 'unknown', 'sent', 'gone') GROUP BY state",
        );
        let mut counts = Counts::default();
        for row in sql.bind(replay).bind(from).bind(end).fetch_all(&self.pool).await? {
            let (state, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            counts.add(&state, count.unsigned_abs());
        }
        Ok(counts)
    }

    /// Ends a step of a replay, and the replay depending on the verdict. Returns false if the replay is not running,
    /// or another worker holds the lease.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn end_step(
        &self,
        replay: &Replay,
        worker: &str,
        end: u64,
        verdict: &Verdict,
        now_ms: i64,
    ) -> sqlx::Result<bool> {
        let (state, reason) = match verdict {
            Verdict::Continue => (ReplayState::Running, ""),
            Verdict::Stop(reason) => (ReplayState::Stopped, reason.as_str()),
            Verdict::Done(reason) => (ReplayState::Done, reason.as_str()),
        };
        let since = if state == ReplayState::Running { replay.state_since_ms } else { now_ms };
        let sql = sqlx::query(
            "UPDATE jobs SET stepped = $1, steps = $2, state = $3, state_since = $4, why = $5 \
             WHERE id = $6 AND worker = $7 AND state = 'running'",
        );
        let sql = sql.bind(end.cast_signed()).bind(replay.steps.saturating_add(1).cast_signed());
        let sql = sql.bind(state.as_str()).bind(since).bind(reason).bind(&replay.id).bind(worker);
        Ok(self.write(sql).await?.rows_affected() == 1)
    }

    /// Marks dead letters as replayed, unless their state has changed meanwhile. `COALESCE` keeps SQLite from using the
    /// index on the state, which would scan all open dead letters.
    fn update_dead_letters<'q>(
        &self,
        audit_entry: &str,
        sent: &[SentItem],
        now_ms: i64,
    ) -> Query<'q, Any, AnyArguments> {
        let sql = format!(
            "UPDATE letters SET state = 'replayed', state_since = $1, action = $2 \
             WHERE id {} AND COALESCE(state, '') = 'open'",
            self.store.is_first_of(sql::TEXT, "$3")
        );
        let sql = sqlx::query(AssertSqlSafe(sql)).bind(now_ms).bind(audit_entry.to_owned());
        sql.bind(sql::rows(sent.iter().map(|sent| [&sent.dead_letter])))
    }

    /// Marks items as sent, or with their outcome. All of the rows exist: the upsert finds each by its key, while SQLite
    /// would scan all waiting items for each row of an `UPDATE … FROM`. Without a `WHERE`, SQLite would take `ON` for a
    /// part of a join.
    fn update_items<'q>(&self, replay: &str, sent: &[SentItem], now_ms: i64) -> Query<'q, Any, AnyArguments> {
        let sql = format!(
            "INSERT INTO job_letters (job, position, letter, state, sent, ended, topic, topic_partition, topic_offset) \
             SELECT $1, CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 5, $2, CAST(value ->> 6 AS BIGINT), \
             value ->> 2, CAST(value ->> 3 AS BIGINT), CAST(value ->> 4 AS BIGINT) FROM {} WHERE TRUE \
             ON CONFLICT (job, position) DO UPDATE SET state = excluded.state, sent = excluded.sent, \
             ended = excluded.ended, topic = excluded.topic, topic_partition = excluded.topic_partition, \
             topic_offset = excluded.topic_offset WHERE job_letters.state = 'waiting'",
            self.store.rows("$3")
        );
        let row = |sent: &SentItem| {
            let SentItem { position, dead_letter, topic, partition, offset, failed, .. } = sent;
            let state = failed.map_or("sent", outcome);
            let ended = failed.map(|_| now_ms);
            (*position, dead_letter.clone(), topic.clone(), *partition, *offset, state, ended)
        };
        let sql = sqlx::query(AssertSqlSafe(sql)).bind(replay.to_owned()).bind(now_ms);
        sql.bind(sql::rows(sent.iter().map(row)))
    }
}

/// The state in the store of dead letters whose first delivery has ended.
pub(super) fn outcome(failed: bool) -> &'static str {
    if failed { "failed" } else { "done" }
}
