//! The creation of replays, in rounds.
//!
//! A replay that is being created has the state `preparing` and is invisible, but its dead letters are in no other
//! replay. Its last transaction makes it `running` and writes the audit log. If the host ends before, the replay is
//! abandoned: it never starts, and its dead letters are free again when its lease expires.

use std::time::Duration;

use base::clock::{self, millis};
use desk_api::{DeadLetterState, Filter, Replay, ReplayPlan};
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection};
use tokio::time::{Instant, sleep};

use super::store::sendable;
use crate::audit::{Actor, Subject, write};
use crate::record::without_nul;
use crate::rounds::{Rounds, Selection};
use crate::sql::{self, WhereClause};
use crate::{Desk, Writing, random_id};

/// How long a creation may pause between two rounds before it counts as abandoned.
const LEASE: Duration = Duration::from_secs(10);
/// How long one creation waits for another, and how often it looks.
const WAIT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(100);

/// Abandons the replays whose creation has ended without a result.
const ABANDON: &str = "UPDATE jobs SET state = 'abandoned' WHERE state = 'preparing' AND worker_until < $1";

/// A replay that is being created.
struct Creation {
    desk: Desk,
    id: String,
    filter: Filter,
    /// Restricts the replay to these dead letters.
    ids: Option<Vec<String>>,
    plan: ReplayPlan,
    /// Name, reason and time.
    actor: (String, String, i64),
    frozen: u64,
    rounds: Rounds,
}

impl Desk {
    /// Starts a replay of the matching dead letters that can be sent, oldest first, restricted to `ids` if given.
    /// Freezes their ids. Returns None if there are none. Continues if the caller goes away.
    /// [`Replayer::preview`](super::Replayer::preview) reports the dead letters that are left out.
    ///
    /// # Errors
    /// The store is unavailable, or another replay is being created for a long time; no replay starts.
    pub async fn start_replay(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &ReplayPlan,
        actor: Actor<'_>,
    ) -> sqlx::Result<Option<Replay>> {
        if filter.state.is_some_and(|state| state != DeadLetterState::Open) {
            return Ok(None);
        }
        let creation = Creation {
            desk: self.clone(),
            id: random_id(),
            filter: filter.clone(),
            ids: ids.map(<[String]>::to_vec),
            plan: plan.clone(),
            actor: (actor.name.to_owned(), actor.reason.to_owned(), actor.now_ms),
            frozen: 0,
            rounds: Rounds::default(),
        };
        tokio::spawn(creation.run()).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Abandons the replays whose creation has ended without a result.
    ///
    /// # Errors
    /// The store is unavailable.
    pub(crate) async fn abandon_replays(&self, now_ms: i64) -> sqlx::Result<()> {
        self.write(sqlx::query(ABANDON).bind(now_ms)).await.map(drop)
    }
}

impl Creation {
    async fn run(mut self) -> sqlx::Result<Option<Replay>> {
        self.begin().await?;
        match self.ids.take() {
            Some(ids) => {
                let filter = self.filter.clone();
                self.freeze(&ids, &filter).await?;
            }
            None => {
                let mut selection = Selection::new(&self.desk, &self.filter, DeadLetterState::Open).await?;
                loop {
                    let ids = selection.next(&self.desk).await?;
                    if ids.is_empty() {
                        break;
                    }
                    // They match the filter. Its conditions would make SQLite use their indexes in place of the ids.
                    self.freeze(&ids, &Filter::default()).await?;
                }
            }
        }
        if self.frozen == 0 {
            let sql = sqlx::query("DELETE FROM jobs WHERE id = $1 AND state = 'preparing'").bind(&self.id);
            self.desk.write(sql).await?;
            return Ok(None);
        }
        self.finish().await?;
        self.desk.replay(&self.id).await
    }

    /// Inserts the replay when no other one is being created.
    async fn begin(&self) -> sqlx::Result<()> {
        let end = Instant::now() + WAIT;
        loop {
            let mut transaction = self.locked().await?;
            let now_ms = clock::now_ms();
            sqlx::query(ABANDON).bind(now_ms).execute(&mut *transaction).await?;
            let other: Option<String> = sqlx::query_scalar("SELECT id FROM jobs WHERE state = 'preparing'")
                .fetch_optional(&mut *transaction)
                .await?;
            if other.is_none() {
                self.insert(&mut transaction, now_ms).await?;
                return transaction.commit().await;
            }
            drop(transaction);
            if Instant::now() >= end {
                return Err(sqlx::Error::Protocol("another replay is being created".to_owned()));
            }
            sleep(INTERVAL).await;
        }
    }

    /// A transaction that excludes every other creation of a replay.
    async fn locked(&self) -> sqlx::Result<Writing> {
        let mut transaction = self.desk.begin().await?;
        sqlx::query("UPDATE stores SET id = id").execute(&mut *transaction).await?;
        Ok(transaction)
    }

    async fn insert(&self, connection: &mut AnyConnection, now_ms: i64) -> sqlx::Result<()> {
        let ramp: Vec<String> = self.plan.ramp.iter().map(ToString::to_string).collect();
        let (name, reason, created_ms) = &self.actor;
        sqlx::query(
            "INSERT INTO jobs (id, created, state, state_since, why, who, reason, filter, target, rate, ramp, \
             limit_percent, most_replays, letters, stepped, steps, worker_until) \
             VALUES ($1, $2, 'preparing', $2, '', $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, $11)",
        )
        .bind(&self.id)
        .bind(*created_ms)
        .bind(without_nul(name))
        .bind(without_nul(reason))
        .bind(sql::to_json(&self.filter)?)
        .bind(self.plan.target.as_str())
        .bind(self.plan.rate)
        .bind(ramp.join(","))
        .bind(i64::from(self.plan.limit_percent))
        .bind(i64::from(self.plan.max_replays))
        .bind(now_ms.saturating_add(millis(LEASE)))
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Adds those of these dead letters that can be sent, in rounds.
    async fn freeze(&mut self, ids: &[String], filter: &Filter) -> sqlx::Result<()> {
        let mut left = ids;
        while !left.is_empty() {
            let (some, rest) = self.rounds.split(left);
            left = rest;
            let mut transaction = self.locked().await?;
            let until = clock::now_ms().saturating_add(millis(LEASE));
            let renew =
                sqlx::query("UPDATE jobs SET worker_until = $1 WHERE id = $2 AND state = 'preparing'");
            self.still_ours(renew.bind(until).bind(&self.id), &mut transaction).await?;
            let mut clause = WhereClause::default();
            let replay = clause.bind(self.id.as_str());
            let now_ms = Some(clock::now_ms());
            sendable(&mut clause, &self.desk.store, filter, Some(some), &self.plan, now_ms);
            let sql = format!(
                "INSERT INTO job_letters (job, position, letter, state) \
                 SELECT {replay}, {} + ROW_NUMBER() OVER (ORDER BY failed, id), id, 'waiting' FROM letters {}",
                self.frozen,
                clause.sql()
            );
            self.frozen += sql::query(sql, &clause).execute(&mut *transaction).await?.rows_affected();
            self.rounds.end(transaction).await?;
        }
        Ok(())
    }

    /// Changes the replay, unless another host has found it abandoned.
    async fn still_ours(
        &self,
        change: Query<'_, Any, AnyArguments>,
        connection: &mut AnyConnection,
    ) -> sqlx::Result<()> {
        match change.execute(connection).await?.rows_affected() {
            1 => Ok(()),
            _ => Err(sqlx::Error::Protocol(format!("the creation took longer than {LEASE:?}"))),
        }
    }

    /// Makes the replay visible, and runs it.
    async fn finish(&self) -> sqlx::Result<()> {
        let mut transaction = self.locked().await?;
        let start = sqlx::query(
            "UPDATE jobs SET state = 'running', worker_until = NULL, letters = $1 \
             WHERE id = $2 AND state = 'preparing'",
        );
        let start = start.bind(self.frozen.cast_signed()).bind(&self.id);
        self.still_ours(start, &mut transaction).await?;
        let (name, reason, now_ms) = (&self.actor.0, &self.actor.1, self.actor.2);
        let (replay, filter) = (Some(&self.id[..]), Some(&self.filter));
        let subject = Subject { replay, filter, dead_letters: self.frozen, ..Subject::default() };
        write(&mut transaction, "replay", Actor { name, reason, now_ms }, subject).await?;
        transaction.commit().await
    }
}
