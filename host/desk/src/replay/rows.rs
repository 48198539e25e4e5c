//! What a replay reads and writes in the store.

use serde::Serialize;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, FromRow, Row as _};

use super::steps::{Counts, Verdict};
use crate::Desk;
use crate::jobs::{Job, JobState};

/// A letter of a job. Moments are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobLetter {
    /// Its number in the job, from 1.
    pub position: i64,
    /// Its id.
    pub letter: String,
    /// waiting, sent, done, failed, unknown or gone.
    pub state: String,
    /// Why it is gone.
    pub why: Option<String>,
    /// When it was sent.
    pub sent_ms: Option<i64>,
    /// When its outcome was known.
    pub ended_ms: Option<i64>,
    /// Where it was published.
    pub topic: Option<String>,
    /// Likewise.
    pub partition: Option<i32>,
    /// Likewise, where the broker told it.
    pub offset: Option<i64>,
}

/// A letter whose turn it is.
#[derive(Debug)]
pub struct Next {
    /// Its number in the job.
    pub position: i64,
    /// Its id.
    pub letter: String,
    /// Bytes of its key and value.
    pub size: i64,
}

/// A letter that was published.
#[derive(Debug)]
pub struct Sent {
    /// Its number in the job.
    pub position: i64,
    /// Its id.
    pub letter: String,
    /// Where it is.
    pub topic: String,
    /// Likewise.
    pub partition: i32,
    /// Likewise, where the broker told it.
    pub offset: Option<i64>,
}

/// A letter that is not sent.
#[derive(Debug)]
pub struct Gone {
    /// Its number in the job.
    pub position: i64,
    /// For people.
    pub why: String,
}

impl Desk {
    /// Some of a job's letters, in order, those after the position `after`; `state` is a name of theirs.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn job_letters(
        &self,
        job: &str,
        state: Option<&str>,
        after: i64,
        limit: usize,
    ) -> sqlx::Result<Vec<JobLetter>> {
        let state = state.unwrap_or("");
        sqlx::query_as(
            "SELECT * FROM job_letters WHERE job = $1 AND (state = $2 OR $3 = '') AND position > $4 \
             ORDER BY position LIMIT $5",
        )
        .bind(job)
        .bind(state)
        .bind(state)
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
    }

    /// The jobs that nobody works on, oldest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn free_jobs(&self, now_ms: i64) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar(
            "SELECT id FROM jobs WHERE state = 'running' AND (worker IS NULL OR worker_until < $1) \
             ORDER BY created, id LIMIT 20",
        )
        .bind(now_ms)
        .fetch_all(&self.pool)
        .await
    }

    /// Takes a job that nobody works on. False where another host was quicker.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn lease(&self, job: &str, worker: &str, now_ms: i64, until: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query(
            "UPDATE jobs SET worker = $1, worker_until = $2 \
             WHERE id = $3 AND state = 'running' AND (worker IS NULL OR worker_until < $4)",
        );
        let result = sql.bind(worker).bind(until).bind(job).bind(now_ms).execute(&self.pool).await?;
        Ok(result.rows_affected() == 1)
    }

    /// Keeps a job. False where it does not run any more, or another host has it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn renew(&self, job: &str, worker: &str, until: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query(
            "UPDATE jobs SET worker_until = $1 WHERE id = $2 AND worker = $3 AND state = 'running'",
        );
        Ok(sql.bind(until).bind(job).bind(worker).execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Whether a job runs, and this worker has it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn holds(&self, job: &str, worker: &str) -> sqlx::Result<bool> {
        let sql = sqlx::query("SELECT id FROM jobs WHERE id = $1 AND worker = $2 AND state = 'running'");
        Ok(sql.bind(job).bind(worker).fetch_optional(&self.pool).await?.is_some())
    }

    /// Leaves a job to whoever comes.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn release(&self, job: &str, worker: &str) -> sqlx::Result<()> {
        let sql =
            sqlx::query("UPDATE jobs SET worker = NULL, worker_until = NULL WHERE id = $1 AND worker = $2");
        sql.bind(job).bind(worker).execute(&self.pool).await.map(drop)
    }

    /// Says what a running job waits for; empty where it goes on.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn tell(&self, job: &str, why: &str) -> sqlx::Result<()> {
        let sql = sqlx::query("UPDATE jobs SET why = $1 WHERE id = $2 AND state = 'running' AND why <> $3");
        sql.bind(why).bind(job).bind(why).execute(&self.pool).await.map(drop)
    }

    /// The action that made a job.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn action_of(&self, job: &str) -> sqlx::Result<Option<String>> {
        let sql = sqlx::query_scalar("SELECT id FROM actions WHERE job = $1 AND what = 'replay'");
        sql.bind(job).fetch_optional(&self.pool).await
    }

    /// Topics and groups of the letters that a job has not sent.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sources_of(&self, job: &str) -> sqlx::Result<Vec<(String, String)>> {
        sqlx::query_as(
            "SELECT DISTINCT source, consumer_group FROM letters WHERE id IN \
             (SELECT letter FROM job_letters WHERE job = $1 AND state = 'waiting')",
        )
        .bind(job)
        .fetch_all(&self.pool)
        .await
    }

    /// The first letters up to `end` that were not sent.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn next_letters(&self, job: &str, end: i64, most: usize) -> sqlx::Result<Vec<Next>> {
        let sql = sqlx::query(
            "SELECT l.position, l.letter, COALESCE(LENGTH(v.record_key), 0) + COALESCE(LENGTH(v.record_value), 0) \
             FROM job_letters l LEFT JOIN letters v ON v.id = l.letter \
             WHERE l.job = $1 AND l.state = 'waiting' AND l.position <= $2 ORDER BY l.position LIMIT $3",
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = sql.bind(job).bind(end).bind(most).fetch_all(&self.pool).await?;
        let next = |row: &AnyRow| {
            // PostgreSQL counts bytes in 32 bits.
            let size = row.try_get::<i64, _>(2).or_else(|_| row.try_get::<i32, _>(2).map(i64::from))?;
            Ok(Next { position: row.try_get(0)?, letter: row.try_get(1)?, size })
        };
        rows.iter().map(next).collect()
    }

    /// Writes down what was sent and what was not.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn note_sent(
        &self,
        job: &str,
        action: &str,
        sent: &[Sent],
        gone: &[Gone],
        now_ms: i64,
    ) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        if !sent.is_empty() {
            published(job, sent, now_ms).execute(&mut *transaction).await?;
            replayed(action, sent, now_ms).execute(&mut *transaction).await?;
        }
        for Gone { position, why } in gone {
            let sql = sqlx::query(
                "UPDATE job_letters SET state = 'gone', ended = $1, why = $2 \
                 WHERE job = $3 AND position = $4 AND state = 'waiting'",
            );
            sql.bind(now_ms).bind(why).bind(job).bind(position).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Whether a letter up to `end` was not sent or has no outcome.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_unsettled(&self, job: &str, end: i64) -> sqlx::Result<bool> {
        let sql = sqlx::query(
            "SELECT position FROM job_letters WHERE job = $1 AND state IN ('waiting', 'sent') AND position <= $2 \
             LIMIT 1",
        );
        Ok(sql.bind(job).bind(end).fetch_optional(&self.pool).await?.is_some())
    }

    /// What became of the letters after `from` up to `end`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn step_counts(&self, job: &str, from: i64, end: i64) -> sqlx::Result<Counts> {
        let sql = sqlx::query(
            "SELECT state, COUNT(*) FROM job_letters WHERE job = $1 AND position > $2 AND position <= $3 \
             GROUP BY state",
        );
        let mut counts = Counts::default();
        for row in sql.bind(job).bind(from).bind(end).fetch_all(&self.pool).await? {
            let (state, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            counts.add(&state, count.unsigned_abs());
        }
        Ok(counts)
    }

    /// Ends a step of a job, and with it the job where the verdict says so. False where it does not run any
    /// more, or another host has it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn end_step(
        &self,
        job: &Job,
        worker: &str,
        end: u64,
        verdict: &Verdict,
        now_ms: i64,
    ) -> sqlx::Result<bool> {
        let (state, why) = match verdict {
            Verdict::Next => (JobState::Running, ""),
            Verdict::Stop(why) => (JobState::Stopped, why.as_str()),
            Verdict::Done(why) => (JobState::Done, why.as_str()),
        };
        let since = if state == JobState::Running { job.state_since_ms } else { now_ms };
        let sql = sqlx::query(
            "UPDATE jobs SET stepped = $1, steps = $2, state = $3, state_since = $4, why = $5 \
             WHERE id = $6 AND worker = $7 AND state = 'running'",
        );
        let sql = sql.bind(end.cast_signed()).bind(job.steps.saturating_add(1).cast_signed());
        let sql = sql.bind(state.as_str()).bind(since).bind(why).bind(&job.id).bind(worker);
        Ok(sql.execute(&self.pool).await?.rows_affected() == 1)
    }
}

/// A letter that somebody turned meanwhile stays so. SQLite would look through all open letters, if it knew
/// that the state has an index.
fn replayed<'q>(action: &str, sent: &[Sent], now_ms: i64) -> Query<'q, Any, AnyArguments> {
    let sql = format!(
        "UPDATE letters SET state = 'replayed', state_since = $1, action = $2 \
         WHERE id IN {} AND COALESCE(state, '') = 'open'",
        placeholders(3, 1, sent.len())
    );
    let sql = sqlx::query(AssertSqlSafe(sql)).bind(now_ms).bind(action.to_owned());
    sent.iter().fold(sql, |sql, sent| sql.bind(sent.letter.clone()))
}

/// All of the rows are there. As an insert each is found by its key: SQLite would look at all that wait for
/// each one of an `UPDATE … FROM (VALUES …)`.
fn published<'q>(job: &str, sent: &[Sent], now_ms: i64) -> Query<'q, Any, AnyArguments> {
    let sql = format!(
        "INSERT INTO job_letters (job, position, letter, state, sent, topic, topic_partition, topic_offset) \
         VALUES {} ON CONFLICT (job, position) DO UPDATE SET state = excluded.state, sent = excluded.sent, \
         topic = excluded.topic, topic_partition = excluded.topic_partition, topic_offset = excluded.topic_offset \
         WHERE job_letters.state = 'waiting'",
        placeholders(1, sent.len(), 8)
    );
    sent.iter().fold(sqlx::query(AssertSqlSafe(sql)), |sql, sent| {
        let Sent { position, letter, topic, partition, offset } = sent;
        let sql = sql.bind(job.to_owned()).bind(*position).bind(letter.clone()).bind("sent").bind(now_ms);
        sql.bind(topic.clone()).bind(i64::from(*partition)).bind(*offset)
    })
}

/// Placeholders for some rows, with numbers from `first`.
pub(super) fn placeholders(first: usize, rows: usize, width: usize) -> String {
    let row = |row: usize| {
        let numbers: Vec<_> = (0..width).map(|column| format!("${}", first + row * width + column)).collect();
        format!("({})", numbers.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

impl<'r> FromRow<'r, AnyRow> for JobLetter {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let partition: Option<i64> = row.try_get("topic_partition")?;
        Ok(Self {
            position: row.try_get("position")?,
            letter: row.try_get("letter")?,
            state: row.try_get("state")?,
            why: row.try_get("why")?,
            sent_ms: row.try_get("sent")?,
            ended_ms: row.try_get("ended")?,
            topic: row.try_get("topic")?,
            partition: partition.and_then(|partition| i32::try_from(partition).ok()),
            offset: row.try_get("topic_offset")?,
        })
    }
}
