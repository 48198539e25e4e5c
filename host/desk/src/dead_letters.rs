//! Dead letters in the store.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use base::bytes::Bytes;
use desk_api::{
    Cursor, DeadLetter, DeadLetterState, DeadLetterSummary, Filter, Location, Page, PageSelector,
};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::QueryScalar;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row as _};

use crate::record::searchable_text;
use crate::sql::{self, WhereClause};
use crate::{Desk, failures};

/// Dead letters per statement: SQLite's driver finds each parameter by its name, in a time that grows with their number.
const INSERTED: usize = 16;
/// The columns of a dead letter, in the order of [`bind`].
const COLUMNS: &str = "id, topic, topic_partition, topic_offset, failed, first_failed, taken, message, source, \
    source_partition, source_offset, source_timestamp, consumer_group, failure_group, plugin, digest, code, \
    detail, exception, backtrace, attempts, replays, record_key, record_value, record_headers, value_cut, \
    words, state, state_since, action, edited_from, again_of";
const COLUMN_COUNT: usize = 32;
/// The columns of a [`DeadLetterSummary`].
const SUMMARY_COLUMNS: &str = "id, state, failed, source, message, consumer_group, failure_group, plugin, code, \
    detail, attempts, replays";

/// Ids named in the error about an ambiguous one.
const MAX_NAMED: usize = 5;

/// What an id belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdOf {
    /// A dead letter.
    DeadLetter,
    /// A failure.
    Failure,
    /// A replay.
    Replay,
}

impl IdOf {
    fn table(self) -> &'static str {
        match self {
            Self::DeadLetter => "letters",
            Self::Failure => "failure_groups",
            Self::Replay => "jobs",
        }
    }
}

impl Desk {
    /// Stores dead letters in one transaction. Existing ones are left unchanged. Returns the ids of the new ones.
    ///
    /// # Errors
    /// The store is unavailable; nothing was stored.
    pub async fn ingest(&self, dead_letters: &[DeadLetter]) -> sqlx::Result<HashSet<String>> {
        let origins = self.origins(dead_letters).await?;
        let mut transaction = self.begin().await?;
        let new = ingest(&mut transaction, dead_letters, &origins).await?;
        transaction.commit().await?;
        Ok(new)
    }

    /// The dead letter with this id or unique prefix of an id.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn dead_letter(&self, id: &str) -> sqlx::Result<Option<DeadLetter>> {
        let clause = WhereClause::from_filter(&Filter { ids: vec![id.to_owned()], ..Filter::default() });
        let sql = format!("SELECT {COLUMNS} FROM letters {} LIMIT 2", clause.sql());
        let mut rows = sql::query(sql, &clause).fetch_all(&self.pool).await?;
        let (Some(row), None) = (rows.pop(), rows.pop()) else { return Ok(None) };
        let mut dead_letter = dead_letter(&row)?;
        dead_letter.outcome = self.outcomes(&[&dead_letter.id]).await?.remove(&dead_letter.id);
        dead_letter.edited_as = sqlx::query_scalar(
            "SELECT id FROM letters WHERE edited_from = $1 ORDER BY taken DESC, id LIMIT 1",
        )
        .bind(&dead_letter.id)
        .fetch_optional(&self.pool)
        .await?;
        Ok(Some(dead_letter))
    }

    /// The ids that begin with `prefix`, some of them if there are many.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn ids_beginning_with(&self, of: IdOf, prefix: &str) -> sqlx::Result<Vec<String>> {
        let mut clause = WhereClause::default();
        let condition = clause.has_prefix("id", &prefix.to_ascii_lowercase());
        clause.add(condition);
        let sql = format!("SELECT id FROM {} {} ORDER BY id LIMIT {MAX_NAMED}", of.table(), clause.sql());
        sql::scalar(sql, &clause).fetch_all(&self.pool).await
    }

    /// A page of the matching dead letters, newest first, without their payloads.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn dead_letters(
        &self,
        filter: &Filter,
        selector: &PageSelector,
        limit: usize,
    ) -> sqlx::Result<Page<DeadLetterSummary>> {
        let (sql, clause) = select(SUMMARY_COLUMNS, filter, selector, limit);
        let mut rows = sql::fetch(&self.pool, sql, &clause, summary).await?;
        let ids: Vec<&str> = rows.iter().map(|summary| &summary.id[..]).collect();
        let mut outcomes = self.outcomes(&ids).await?;
        rows.iter_mut().for_each(|summary| summary.outcome = outcomes.remove(&summary.id));
        Ok(Page::from_rows(rows, selector, limit, |summary| Cursor {
            time_ms: summary.failed_ms,
            id: summary.id.clone(),
        }))
    }

    /// A page of the matching dead letters, newest first, with their payloads.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn full_dead_letters(
        &self,
        filter: &Filter,
        selector: &PageSelector,
        limit: usize,
    ) -> sqlx::Result<Page<DeadLetter>> {
        let (sql, clause) = select(COLUMNS, filter, selector, limit);
        let rows = sql::fetch(&self.pool, sql, &clause, dead_letter).await?;
        Ok(Page::from_rows(rows, selector, limit, |dead_letter| Cursor {
            time_ms: dead_letter.failed_ms,
            id: dead_letter.id.clone(),
        }))
    }

    /// The dead letters with these ids, by id.
    pub async fn dead_letters_by_id(&self, ids: &[&str]) -> sqlx::Result<HashMap<String, DeadLetter>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM letters WHERE id IN (SELECT value ->> 0 FROM {})",
            self.store.rows("$1")
        );
        let sql = sqlx::query(AssertSqlSafe(sql)).bind(sql::rows(ids.iter().map(|id| [id])));
        let rows = sql.fetch_all(&self.pool).await?;
        let by_id = |row| dead_letter(row).map(|dead_letter| (dead_letter.id.clone(), dead_letter));
        rows.iter().map(by_id).collect()
    }

    /// The ids of the matching dead letters, oldest first, at most `limit` of them.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn ids(&self, filter: &Filter, limit: usize) -> sqlx::Result<Vec<String>> {
        let clause = WhereClause::from_filter(filter);
        let sql = format!("SELECT id FROM letters {} ORDER BY failed, id LIMIT {limit}", clause.sql());
        sql::scalar(sql, &clause).fetch_all(&self.pool).await
    }

    /// The number of matching dead letters.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn count(&self, filter: &Filter) -> sqlx::Result<u64> {
        self.count_where(&WhereClause::from_filter(filter)).await
    }

    pub(crate) async fn count_where(&self, clause: &WhereClause) -> sqlx::Result<u64> {
        let sql = format!("SELECT COUNT(*) FROM letters {}", clause.sql());
        let count: i64 = sql::scalar(sql, clause).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }
}

/// Stores dead letters and updates their failures. `origins` are those whose replays led to these. Returns the ids of
/// the new ones.
pub(crate) async fn ingest(
    connection: &mut AnyConnection,
    dead_letters: &[DeadLetter],
    origins: &HashMap<String, String>,
) -> sqlx::Result<HashSet<String>> {
    // In the order of ids, so that two desks cannot deadlock; and each id once.
    let mut by_id: BTreeMap<&str, Cow<'_, DeadLetter>> =
        dead_letters.iter().map(|one| (&one.id[..], Cow::Borrowed(one))).collect();
    let crowded = failures::crowded(connection, dead_letters).await?;
    for dead_letter in by_id.values_mut() {
        if let Some(origin) = origins.get(&dead_letter.id) {
            dead_letter.to_mut().failed_again_of = Some(origin.clone());
        }
        if let Some(failure) = crowded.get(&dead_letter.failure) {
            dead_letter.to_mut().failure.clone_from(failure);
        }
    }
    let dead_letters: Vec<&DeadLetter> = by_id.values().map(|one| &**one).collect();
    let mut new = HashSet::new();
    for chunk in dead_letters.chunks(INSERTED) {
        new.extend(insert(connection, chunk).await?);
    }
    let added = dead_letters.into_iter().filter(|dead_letter| new.contains(&dead_letter.id));
    failures::add(connection, added).await?;
    Ok(new)
}

fn select(columns: &str, filter: &Filter, selector: &PageSelector, limit: usize) -> (String, WhereClause) {
    let mut clause = WhereClause::from_filter(filter);
    let order = clause.page(selector, "failed", "id");
    let limit = limit.saturating_add(1);
    (format!("SELECT {columns} FROM letters {} {order} LIMIT {limit}", clause.sql()), clause)
}

/// Inserts dead letters; returns the ids of those that did not exist.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    dead_letters: &[&DeadLetter],
) -> sqlx::Result<Vec<String>> {
    if dead_letters.is_empty() {
        return Ok(Vec::new());
    }
    let rows = store::placeholders(1, dead_letters.len(), COLUMN_COUNT);
    let sql =
        format!("INSERT INTO letters ({COLUMNS}) VALUES {rows} ON CONFLICT (id) DO NOTHING RETURNING id");
    let mut query = sqlx::query_scalar(AssertSqlSafe(sql));
    for dead_letter in dead_letters {
        query = bind(query, dead_letter)?;
    }
    query.fetch_all(connection).await
}

type Insert<'q> = QueryScalar<'q, Any, String, AnyArguments>;

fn bind<'q>(query: Insert<'q>, dead_letter: &'q DeadLetter) -> sqlx::Result<Insert<'q>> {
    let location = dead_letter.location.as_ref();
    let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.0.clone());
    Ok(query
        .bind(&dead_letter.id)
        .bind(location.map(|location| location.topic.clone()))
        .bind(location.map(|location| i64::from(location.partition)))
        .bind(location.map(|location| location.offset))
        .bind(dead_letter.failed_ms)
        .bind(dead_letter.first_failed_ms)
        .bind(dead_letter.ingested_ms)
        .bind(&dead_letter.message)
        .bind(&dead_letter.source.topic)
        .bind(i64::from(dead_letter.source.partition))
        .bind(dead_letter.source.offset)
        .bind(dead_letter.source_timestamp_ms)
        .bind(&dead_letter.consumer_group)
        .bind(&dead_letter.failure)
        .bind(&dead_letter.plugin)
        .bind(&dead_letter.digest)
        .bind(&dead_letter.code)
        .bind(&dead_letter.detail)
        .bind(&dead_letter.exception)
        .bind(&dead_letter.backtrace)
        .bind(i64::from(dead_letter.attempts))
        .bind(i64::from(dead_letter.replays))
        .bind(bytes(&dead_letter.key))
        .bind(bytes(&dead_letter.value))
        .bind(sql::to_json(&dead_letter.headers)?)
        .bind(dead_letter.value_cut.map(u64::cast_signed))
        .bind(searchable_text(dead_letter))
        .bind(dead_letter.state.as_str())
        .bind(dead_letter.state_since_ms)
        .bind(dead_letter.audit_entry.clone())
        .bind(dead_letter.edited_from.clone())
        .bind(dead_letter.failed_again_of.clone()))
}

fn summary(row: &AnyRow) -> sqlx::Result<DeadLetterSummary> {
    Ok(DeadLetterSummary {
        id: row.try_get("id")?,
        state: state(row)?,
        failed_ms: row.try_get("failed")?,
        source: row.try_get("source")?,
        message: row.try_get("message")?,
        consumer_group: row.try_get("consumer_group")?,
        failure: row.try_get("failure_group")?,
        plugin: row.try_get("plugin")?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        attempts: sql::narrow(row, "attempts")?,
        replays: sql::narrow(row, "replays")?,
        outcome: None,
    })
}

fn dead_letter(row: &AnyRow) -> sqlx::Result<DeadLetter> {
    let bytes = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<Vec<u8>>, _>(column)?.map(Bytes));
    let headers: String = row.try_get("record_headers")?;
    Ok(DeadLetter {
        id: row.try_get("id")?,
        state: state(row)?,
        state_since_ms: row.try_get("state_since")?,
        audit_entry: row.try_get("action")?,
        location: location(row)?,
        failed_ms: row.try_get("failed")?,
        first_failed_ms: row.try_get("first_failed")?,
        ingested_ms: row.try_get("taken")?,
        message: row.try_get("message")?,
        source: Location {
            topic: row.try_get("source")?,
            partition: sql::narrow(row, "source_partition")?,
            offset: row.try_get("source_offset")?,
        },
        source_timestamp_ms: row.try_get("source_timestamp")?,
        consumer_group: row.try_get("consumer_group")?,
        failure: row.try_get("failure_group")?,
        plugin: row.try_get("plugin")?,
        digest: row.try_get("digest")?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        exception: row.try_get("exception")?,
        backtrace: row.try_get("backtrace")?,
        attempts: sql::narrow(row, "attempts")?,
        replays: sql::narrow(row, "replays")?,
        key: bytes("record_key")?,
        value: bytes("record_value")?,
        headers: serde_json::from_str(&headers)
            .map_err(|error| sql::decode_error("record_headers", error))?,
        value_cut: row.try_get::<Option<i64>, _>("value_cut")?.map(i64::unsigned_abs),
        edited_from: row.try_get("edited_from")?,
        edited_as: None,
        failed_again_of: row.try_get("again_of")?,
        outcome: None,
    })
}

fn location(row: &AnyRow) -> sqlx::Result<Option<Location>> {
    let topic: Option<String> = row.try_get("topic")?;
    let Some(topic) = topic else { return Ok(None) };
    let partition = sql::narrow(row, "topic_partition")?;
    Ok(Some(Location { topic, partition, offset: row.try_get("topic_offset")? }))
}

fn state(row: &AnyRow) -> sqlx::Result<DeadLetterState> {
    let name: String = row.try_get("state")?;
    DeadLetterState::from_name(&name)
        .ok_or_else(|| sql::decode_error("state", format!("unknown state {name}")))
}
