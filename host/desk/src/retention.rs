//! What is kept for how long.

use std::time::Duration;

use base::clock;
use base::error::UserError;
use settings::DeskSettings;
use tokio::time::{MissedTickBehavior, interval};

use crate::filter::{self, Where};
use crate::metrics;
use crate::{Desk, Filter, State};

/// How many letters one transaction deletes: what comes in meanwhile does not wait long.
const ROUND: u64 = 500;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the open letters are counted, and of how many such turns one looks for what is old.
const COUNT: Duration = Duration::from_secs(10);
const CLEAN: u32 = 6;
/// A letter of a replay that is not over: one that was stopped can go on.
const IN_USE: &str = "EXISTS (SELECT 1 FROM job_letters JOIN jobs ON jobs.id = job_letters.job \
    WHERE job_letters.letter = letters.id AND jobs.state IN ('running', 'paused', 'stopped'))";

/// What is kept for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Letters that were replayed or discarded, and replays that are over, since then.
    pub keep: Duration,
    /// Open letters, since they came; and groups without letters, since they failed last.
    pub keep_open: Duration,
    /// The most letters.
    pub most: u64,
}

impl Retention {
    /// What is kept for how long, checked.
    ///
    /// # Errors
    /// Nothing would be kept.
    pub fn new(settings: &DeskSettings) -> Result<Self, UserError> {
        let default = Self::default();
        let retention = Self {
            keep: settings.keep.unwrap_or(default.keep),
            keep_open: settings.keep_open.unwrap_or(default.keep_open),
            most: settings.most.unwrap_or(default.most),
        };
        let wrong = match retention {
            Self { keep: Duration::ZERO, .. } => "desk.keep: more than 0 s",
            Self { keep_open: Duration::ZERO, .. } => "desk.keep-open: more than 0 s",
            Self { most: 0, .. } => "desk.most: 1 or more",
            _ => return Ok(retention),
        };
        Err(UserError::usage(wrong).help("to keep no dead letters at all: --desk=false"))
    }
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { keep: 30 * DAY, keep_open: 365 * DAY, most: 1_000_000 }
    }
}

impl Desk {
    /// Deletes what is old or too much, a few hundred letters at a time, and counts what is open. Goes on
    /// until it is aborted.
    pub async fn keep_in_bounds(self, retention: Retention) {
        let mut turns = interval(COUNT);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in (0..CLEAN).cycle() {
            turns.tick().await;
            if turn == 0 {
                match self.clean(&retention, clock::now_ms()).await {
                    Ok(0) => {}
                    Ok(letters) => tracing::info!(letters, "dead letters deleted: old, or too many"),
                    // The intake says it.
                    Err(error) => tracing::debug!(%error, "old dead letters stay"),
                }
            }
            let open = Filter { state: Some(State::Open), ..Filter::default() };
            if let Ok(open) = self.count(&open).await {
                metrics::letters_open(open);
            }
        }
    }

    /// Deletes what is older than `retention` says, and what is too much. Returns how many letters it was.
    ///
    /// # Errors
    /// The store does not answer; what was deleted before stays so.
    pub async fn clean(&self, retention: &Retention, now_ms: i64) -> sqlx::Result<u64> {
        let before =
            |keep: Duration| now_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let old = [
            (State::Replayed, before(retention.keep)),
            (State::Discarded, before(retention.keep)),
            (State::Open, before(retention.keep_open)),
        ];
        let mut letters = 0;
        loop {
            let mut round = 0;
            for (state, before_ms) in old {
                round += self.delete_old(state, before_ms).await?;
            }
            round += self.delete_excess(retention.most).await?;
            if round == 0 {
                break;
            }
            letters += round;
            tokio::time::sleep(PAUSE).await;
        }
        while self.delete_old_job(before(retention.keep)).await? {
            tokio::time::sleep(PAUSE).await;
        }
        self.delete_empty_groups(before(retention.keep_open)).await?;
        Ok(letters)
    }

    async fn delete_old(&self, state: State, before_ms: i64) -> sqlx::Result<u64> {
        let mut with = Where::default();
        with.is("state", state.as_str());
        // An imported one may have been as it is for long.
        let (since, taken) = (with.next(before_ms), with.next(before_ms));
        with.must(format!("state_since < {since} AND taken < {taken}"));
        let mut transaction = self.begin().await?;
        let deleted = filter::query(delete(&with, "state_since", ROUND), &with).execute(&mut *transaction);
        let deleted = deleted.await?.rows_affected();
        transaction.commit().await?;
        Ok(deleted)
    }

    /// The oldest go first, those that are not open before all others.
    async fn delete_excess(&self, most: u64) -> sqlx::Result<u64> {
        let mut transaction = self.begin().await?;
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM letters").fetch_one(&mut *transaction).await?;
        let excess = count.unsigned_abs().saturating_sub(most).min(ROUND);
        let mut deleted = 0;
        for is_open in ["state <> 'open'", "state = 'open'"] {
            if deleted < excess {
                let mut with = Where::default();
                with.must(is_open.to_owned());
                let sql = delete(&with, "failed", excess - deleted);
                deleted += filter::query(sql, &with).execute(&mut *transaction).await?.rows_affected();
            }
        }
        transaction.commit().await?;
        Ok(deleted)
    }

    /// Deletes a replay that ended before this moment, or some of its rows; false where there is none.
    async fn delete_old_job(&self, before_ms: i64) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let old: Option<String> = sqlx::query_scalar(
            "SELECT id FROM jobs WHERE state IN ('done', 'cancelled') AND state_since < $1 ORDER BY id LIMIT 1",
        )
        .bind(before_ms)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(job) = old else { return Ok(false) };
        let rows = format!(
            "DELETE FROM job_letters WHERE job = $1 AND position < {ROUND} + \
             (SELECT MIN(position) FROM job_letters WHERE job = $1)"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(rows)).bind(&job).execute(&mut *transaction).await?;
        if rows.rows_affected() == 0 {
            sqlx::query("DELETE FROM jobs WHERE id = $1").bind(&job).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn delete_empty_groups(&self, before_ms: i64) -> sqlx::Result<()> {
        let mut with = Where::default();
        let before = with.next(before_ms);
        with.must(format!("last_seen < {before}"));
        with.must(
            "NOT EXISTS (SELECT 1 FROM letters WHERE letters.failure_group = failure_groups.id)".to_owned(),
        );
        let mut transaction = self.begin().await?;
        let sql = format!("DELETE FROM failure_groups {}", with.sql());
        filter::query(sql, &with).execute(&mut *transaction).await?;
        transaction.commit().await
    }
}

/// Deletes the first `most` of these letters that no replay needs.
fn delete(with: &Where, order: &str, most: u64) -> String {
    format!(
        "DELETE FROM letters WHERE id IN \
         (SELECT id FROM letters {} AND NOT {IN_USE} ORDER BY {order}, id LIMIT {most})",
        with.sql()
    )
}
