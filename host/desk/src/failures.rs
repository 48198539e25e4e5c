//! Failures in the store: dead letters with the same code, plugin, digest and cause.

use std::collections::{BTreeMap, HashMap};

use desk_api::{Cursor, DeadLetter, Failure, FailureState, Page, PageSelector, cause};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::Desk;
use crate::record::failure_id;
use crate::sql::{self, WhereClause};

/// The period of [`Failure::recent`], in milliseconds.
pub(crate) const RECENT_MS: i64 = 3_600_000;
/// Maximum number of causes of a code, plugin and digest. Details that are all different share the failure without a
/// cause.
const MAX_CAUSES: i64 = 100;

impl Desk {
    /// Failures with dead letters, or only those with open ones, the most recent first.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn failures(
        &self,
        only_open: bool,
        now_ms: i64,
        selector: &PageSelector,
        limit: usize,
    ) -> sqlx::Result<Page<Failure>> {
        let mut clause = WhereClause::default();
        let recent = clause.bind(now_ms - RECENT_MS);
        if only_open {
            clause.add("EXISTS (SELECT 1 FROM letters l WHERE l.failure_group = g.id AND l.state = 'open')");
        }
        let order = clause.page(selector, "g.last_seen", "g.id");
        let limit_rows = limit.saturating_add(1);
        let sql = format!("{} {} {order} LIMIT {limit_rows}", select(&recent), clause.sql());
        let rows = sql::fetch(&self.pool, sql, &clause, failure).await?;
        Ok(Page::from_rows(rows, selector, limit, |failure| Cursor {
            time_ms: failure.last_seen_ms,
            id: failure.id.clone(),
        }))
    }

    /// The number of a failure's dead letters per hour since `since_ms`, by hours since the Unix epoch. Hours
    /// without dead letters are left out.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn dead_letters_per_hour(
        &self,
        failure: &str,
        since_ms: i64,
    ) -> sqlx::Result<BTreeMap<i64, u64>> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT hour, COUNT(*) FROM \
             (SELECT failed / 3600000 AS hour FROM letters WHERE failure_group = $1 \
              AND state IN ('open', 'replayed', 'discarded', 'edited') AND failed >= $2) hours GROUP BY hour",
        )
        .bind(failure)
        .bind(since_ms)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(hour, count)| (hour, count.unsigned_abs())).collect())
    }

    /// The failure with this id or unique prefix of an id.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn failure(&self, id: &str, now_ms: i64) -> sqlx::Result<Option<Failure>> {
        let mut clause = WhereClause::default();
        let recent = clause.bind(now_ms - RECENT_MS);
        let condition = clause.has_prefix("g.id", &id.to_ascii_lowercase());
        clause.add(condition);
        let sql = format!("{} {} LIMIT 2", select(&recent), clause.sql());
        let mut failures = sql::fetch(&self.pool, sql, &clause, failure).await?;
        Ok(if failures.len() == 1 { failures.pop() } else { None })
    }
}

/// Selects failures with the numbers of their dead letters. An index answers each count, for the failures of the
/// page alone.
pub(crate) fn select(recent: &str) -> String {
    let of = |column: &str, condition: &str| {
        format!("(SELECT {column} FROM letters l WHERE l.failure_group = g.id AND {condition})")
    };
    let state = |state: &str| of("COUNT(*)", &format!("l.state = '{state}'"));
    format!(
        "SELECT g.id, g.code, g.plugin, g.digest, g.first_seen, g.last_seen, g.detail, g.note, g.state, g.cause, \
         {} AS open, {} AS replayed, {} AS discarded, {} AS edited, {} AS recent, {} AS oldest_open FROM failure_groups g",
        state("open"),
        state("replayed"),
        state("discarded"),
        state("edited"),
        of(
            "COUNT(*)",
            &format!("l.state IN ('open', 'replayed', 'discarded', 'edited') AND l.failed >= {recent}")
        ),
        of("MIN(l.failed)", "l.state = 'open'"),
    )
}

/// The new dead letters of one failure.
struct Added<'a> {
    first_ms: i64,
    last: &'a DeadLetter,
}

/// Updates the failures of new dead letters. A closed failure is reopened.
pub(crate) async fn add<'a>(
    connection: &mut AnyConnection,
    dead_letters: impl Iterator<Item = &'a DeadLetter>,
) -> sqlx::Result<()> {
    let mut failures: BTreeMap<&str, Added<'_>> = BTreeMap::new();
    for dead_letter in dead_letters {
        let added = failures
            .entry(&dead_letter.failure)
            .or_insert(Added { first_ms: dead_letter.failed_ms, last: dead_letter });
        added.first_ms = added.first_ms.min(dead_letter.failed_ms);
        if dead_letter.failed_ms >= added.last.failed_ms {
            added.last = dead_letter;
        }
    }
    for (id, Added { first_ms, last }) in failures {
        sqlx::query(
            "INSERT INTO failure_groups \
             (id, code, plugin, digest, first_seen, last_seen, detail, cause, kind, note, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', 'open') ON CONFLICT (id) DO UPDATE SET \
             first_seen = CASE WHEN excluded.first_seen < failure_groups.first_seen \
                 THEN excluded.first_seen ELSE failure_groups.first_seen END, \
             detail = CASE WHEN excluded.last_seen >= failure_groups.last_seen \
                 THEN excluded.detail ELSE failure_groups.detail END, \
             last_seen = CASE WHEN excluded.last_seen >= failure_groups.last_seen \
                 THEN excluded.last_seen ELSE failure_groups.last_seen END, \
             state = 'open'",
        )
        .bind(id)
        .bind(&last.code)
        .bind(&last.plugin)
        .bind(&last.digest)
        .bind(first_ms)
        .bind(last.failed_ms)
        .bind(&last.detail)
        .bind(cause_of(last))
        .bind(failure_id(&last.code, &last.plugin, &last.digest, ""))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The cause of the dead letter's failure; empty if its failure has none.
fn cause_of(dead_letter: &DeadLetter) -> String {
    let DeadLetter { code, plugin, digest, detail, .. } = dead_letter;
    let cause = cause(detail);
    if failure_id(code, plugin, digest, &cause) == dead_letter.failure { cause } else { String::new() }
}

/// Failures that would be one too many for their code, plugin and digest: for each the failure that takes their dead
/// letters.
pub(crate) async fn crowded(
    connection: &mut AnyConnection,
    dead_letters: &[DeadLetter],
) -> sqlx::Result<HashMap<String, String>> {
    let mut new: BTreeMap<&str, &DeadLetter> =
        dead_letters.iter().map(|one| (&one.failure[..], one)).collect();
    let mut clause = WhereClause::default();
    let ids: Vec<String> = new.keys().map(|id| clause.bind(*id)).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    clause.add(format!("id IN ({})", ids.join(", ")));
    let sql = format!("SELECT id FROM failure_groups {}", clause.sql());
    let known: Vec<String> = sql::scalar(sql, &clause).fetch_all(&mut *connection).await?;
    known.iter().for_each(|id| _ = new.remove(&id[..]));
    let mut counts: HashMap<String, i64> = HashMap::new();
    let mut crowded = HashMap::new();
    for (id, DeadLetter { code, plugin, digest, .. }) in new {
        let kind = failure_id(code, plugin, digest, "");
        let count = match counts.get(&kind) {
            Some(count) => *count,
            None => {
                let sql =
                    sqlx::query_scalar("SELECT COUNT(*) FROM failure_groups WHERE kind = $1").bind(&kind);
                sql.fetch_one(&mut *connection).await?
            }
        };
        counts.insert(kind.clone(), count + 1);
        if count >= MAX_CAUSES {
            crowded.insert(id.to_owned(), kind);
        }
    }
    Ok(crowded)
}

pub(crate) fn failure(row: &AnyRow) -> sqlx::Result<Failure> {
    let state: String = row.try_get("state")?;
    let is_closed = state == FailureState::Closed.as_str();
    Ok(Failure {
        id: row.try_get("id")?,
        code: row.try_get("code")?,
        plugin: row.try_get("plugin")?,
        digest: row.try_get("digest")?,
        first_seen_ms: row.try_get("first_seen")?,
        last_seen_ms: row.try_get("last_seen")?,
        cause: row.try_get("cause")?,
        detail: row.try_get("detail")?,
        note: row.try_get("note")?,
        state: if is_closed { FailureState::Closed } else { FailureState::Open },
        open: sql::count(row, "open")?,
        replayed: sql::count(row, "replayed")?,
        discarded: sql::count(row, "discarded")?,
        edited: sql::count(row, "edited")?,
        recent: sql::count(row, "recent")?,
        oldest_open_ms: row.try_get("oldest_open")?,
    })
}
