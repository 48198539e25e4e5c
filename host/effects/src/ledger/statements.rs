//! The SQL of the ledger's writer.

use std::collections::HashSet;
use std::time::Duration;

use base::clock;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _};
use store::Store;

use super::batch::Batch;
use super::{Begun, decode};

/// The time after which a process that was not seen does not perform its effects any more. Hosts compare it with
/// their own clocks.
const LEASE: Duration = Duration::from_secs(10);

pub(super) type Statement = Query<'static, Any, AnyArguments>;

/// An effect that had begun before.
pub(super) struct Existing {
    pub created: i64,
    pub answer: Option<String>,
    /// The process that performs it.
    pub owner: Option<String>,
    /// When that process was last seen.
    pub seen: Option<i64>,
}

impl Existing {
    /// Its state for the process `owner`.
    pub fn begun(&self, owner: &str, now: i64) -> Begun {
        if let Some(answer) = &self.answer {
            return decode(answer).map_or(Begun::Unsettled, Begun::Done);
        }
        let is_alive = self.seen.is_some_and(|seen| seen >= now - clock::millis(LEASE));
        if is_alive && self.owner.as_deref() != Some(owner) { Begun::Elsewhere } else { Begun::Unsettled }
    }
}

pub(super) fn forget(store: &Store, batch: &Batch) -> Option<Statement> {
    let sql = "DELETE FROM effects WHERE answer IS NULL AND hash IN";
    (!batch.forget.is_empty()).then(|| list(store, sql, batch.forget.keys().collect()))
}

pub(super) fn undo(store: &Store, batch: &Batch) -> Option<Statement> {
    (!batch.undo.is_empty())
        .then(|| list(store, "DELETE FROM effects WHERE hash IN", batch.undo.keys().collect()))
}

/// From now on nobody performs these effects; they are in doubt.
pub(super) fn disown(store: &Store, batch: &Batch) -> Option<Statement> {
    let sql = "UPDATE effects SET owner = NULL WHERE answer IS NULL AND hash IN";
    (!batch.disown.is_empty()).then(|| list(store, sql, batch.disown.keys().collect()))
}

/// From now on this process performs these effects, which were in doubt.
pub(super) fn own(store: &Store, hashes: Vec<&String>, owner: &str) -> Option<Statement> {
    if hashes.is_empty() {
        return None;
    }
    let in_list = store.placeholders(2, 1, hashes.len());
    let sql = sqlx::query(AssertSqlSafe(format!("UPDATE effects SET owner = $1 WHERE hash IN {in_list}")));
    Some(hashes.into_iter().fold(sql.bind(owner.to_owned()), |sql, hash| sql.bind(hash.clone())))
}

/// This process is alive.
pub(super) fn seen(owner: &str, now: i64) -> Statement {
    let sql = "INSERT INTO effect_owners (owner, seen) VALUES ($1, $2) \
               ON CONFLICT (owner) DO UPDATE SET seen = excluded.seen";
    sqlx::query(sql).bind(owner.to_owned()).bind(now)
}

/// Processes that were last seen before `before`, or this one.
pub(super) fn forget_owners(owner: &str, before: i64) -> Statement {
    let sql = "DELETE FROM effect_owners WHERE owner = $1 OR seen < $2";
    sqlx::query(sql).bind(owner.to_owned()).bind(before)
}

/// Also inserts the row if it was deleted meanwhile.
pub(super) fn settle(store: &Store, batch: &Batch, now: i64) -> Option<Statement> {
    if batch.settle.is_empty() {
        return None;
    }
    let values = store.placeholders(1, batch.settle.len(), 6);
    let mut sql = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO effects (hash, consumer_group, message, created, settled, answer) VALUES {values} \
         ON CONFLICT (hash) DO UPDATE SET settled = excluded.settled, answer = excluded.answer"
    )));
    for (row, answer, _) in batch.settle.values() {
        sql = sql.bind(row.hash.clone()).bind(without_nul(&row.group)).bind(without_nul(&row.message));
        sql = sql.bind(now).bind(now).bind(answer.clone());
    }
    Some(sql)
}

/// Returns the hashes of new effects.
pub(super) fn insert(store: &Store, batch: &Batch, now: i64, owner: &str) -> Option<Statement> {
    if batch.begin.is_empty() {
        return None;
    }
    let values = store.placeholders(1, batch.begin.len(), 5);
    let mut sql = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO effects (hash, consumer_group, message, created, owner) VALUES {values} \
         ON CONFLICT (hash) DO NOTHING RETURNING hash"
    )));
    for (row, _) in batch.begin.values() {
        sql = sql
            .bind(row.hash.clone())
            .bind(without_nul(&row.group))
            .bind(without_nul(&row.message))
            .bind(now)
            .bind(owner.to_owned());
    }
    Some(sql)
}

/// Selects the effects that are not new.
pub(super) fn select_old(store: &Store, batch: &Batch, new: &HashSet<String>) -> Option<Statement> {
    let old: Vec<_> = batch.begin.keys().filter(|hash| !new.contains(*hash)).collect();
    let sql = "SELECT hash, created, answer, effects.owner, seen FROM effects \
               LEFT JOIN effect_owners ON effect_owners.owner = effects.owner WHERE hash IN";
    (!old.is_empty()).then(|| list(store, sql, old))
}

pub(super) fn existing(row: &AnyRow) -> sqlx::Result<(String, Existing)> {
    let (created, answer) = (row.try_get(1)?, row.try_get(2)?);
    Ok((row.try_get(0)?, Existing { created, answer, owner: row.try_get(3)?, seen: row.try_get(4)? }))
}

fn list(store: &Store, sql: &str, hashes: Vec<&String>) -> Statement {
    let sql = sqlx::query(AssertSqlSafe(format!("{sql} {}", store.placeholders(1, 1, hashes.len()))));
    hashes.into_iter().fold(sql, |sql, hash| sql.bind(hash.clone()))
}

/// Replaces NUL, which PostgreSQL refuses.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
