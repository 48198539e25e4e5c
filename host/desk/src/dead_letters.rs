//! Dead letters in the store.

mod rows;

use std::collections::{HashMap, HashSet};

use base::bytes::Bytes;
use desk_api::{
    Cursor, DeadLetter, DeadLetterState, DeadLetterSummary, Filter, Location, Page, PageSelector,
};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

pub(crate) use self::rows::{delete, ingest, insert};
use crate::Desk;
use crate::sql::{self, WhereClause};

/// The columns of a dead letter without its record, in the order in which they are bound.
const COLUMNS: &str = "id, topic, topic_partition, topic_offset, failed, first_failed, taken, message, source, \
    source_partition, source_offset, source_timestamp, consumer_group, failure_group, plugin, digest, code, \
    detail, exception, attempts, replays, value_cut, state, state_since, action, edited_from, again_of";
/// The columns of its record, after the id.
const RECORD_COLUMNS: &str = "backtrace, record_key, record_value, record_headers";
/// Whole dead letters, as `SELECT` reads them.
const WHOLE: &str = "letters JOIN letter_records USING (id)";
/// The columns of a [`DeadLetterSummary`].
const SUMMARY_COLUMNS: &str = "id, state, failed, source, message, consumer_group, failure_group, plugin, code, \
    detail, attempts, replays";

/// Dead letters with a text that are few enough to be named by their ids.
const MAX_RARE: usize = 1000;
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
        let new = ingest(&self.store, &mut transaction, dead_letters, &origins).await?;
        transaction.commit().await?;
        Ok(new)
    }

    /// The dead letter with this id or unique prefix of an id.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn dead_letter(&self, id: &str) -> sqlx::Result<Option<DeadLetter>> {
        let clause = WhereClause::from_filter(&Filter { ids: vec![id.to_owned()], ..Filter::default() });
        let sql = format!("SELECT {COLUMNS}, {RECORD_COLUMNS} FROM {WHOLE} {} LIMIT 2", clause.sql());
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
        let rare = self.rare(filter).await?;
        self.page(self.listed(filter, rare.as_deref()), selector, limit).await
    }

    /// The number of the matching dead letters, and a page of them as [`Self::dead_letters`] has it. A text is searched for
    /// once, if few have it.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn counted_dead_letters(
        &self,
        filter: &Filter,
        selector: &PageSelector,
        limit: usize,
    ) -> sqlx::Result<(u64, Page<DeadLetterSummary>)> {
        let rare = self.rare(filter).await?;
        let count = self.counted(filter, rare.as_deref()).await?;
        Ok((count, self.page(self.listed(filter, rare.as_deref()), selector, limit).await?))
    }

    async fn page(
        &self,
        clause: WhereClause,
        selector: &PageSelector,
        limit: usize,
    ) -> sqlx::Result<Page<DeadLetterSummary>> {
        let (sql, clause) = select(SUMMARY_COLUMNS, "letters", clause, selector, limit);
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
        let columns = format!("{COLUMNS}, {RECORD_COLUMNS}");
        let (sql, clause) = select(&columns, WHOLE, WhereClause::from_filter(filter), selector, limit);
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
            "SELECT {COLUMNS}, {RECORD_COLUMNS} FROM {WHOLE} WHERE id IN (SELECT value ->> 0 FROM {})",
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
        let rare = if only_text(filter).is_some() { None } else { self.rare(filter).await? };
        self.counted(filter, rare.as_deref()).await
    }

    async fn counted(&self, filter: &Filter, rare: Option<&[String]>) -> sqlx::Result<u64> {
        let (table, clause) = match (only_text(filter), rare) {
            (_, Some(_)) => ("letters", self.listed(filter, rare)),
            // Nothing but the words has to be read.
            (Some(text), None) => ("letter_words", WhereClause::from_text(text)),
            (None, None) => ("letters", WhereClause::from_filter(filter)),
        };
        let sql = format!("SELECT COUNT(*) FROM {table} {}", clause.sql());
        let counts: Vec<i64> = self.scan(sql, &clause).await?;
        Ok(counts.into_iter().map(i64::unsigned_abs).sum())
    }

    /// The conditions of a list. Few dead letters with the text are named by their ids.
    fn listed(&self, filter: &Filter, rare: Option<&[String]>) -> WhereClause {
        let Some(text) = &filter.text else { return WhereClause::from_filter(filter) };
        let mut clause = WhereClause::from_filter(&Filter { text: None, ..filter.clone() });
        match rare {
            Some(ids) => sql::has_id(&mut clause, &self.store, ids),
            None => clause.text_of_each(text),
        }
        clause
    }

    /// The ids of the dead letters with the text of a filter, if they are few. One pass through the words alone finds
    /// them, where a list would go through all dead letters.
    async fn rare(&self, filter: &Filter) -> sqlx::Result<Option<Vec<String>>> {
        let Some(text) = &filter.text else { return Ok(None) };
        let clause = WhereClause::from_text(text);
        let sql = format!("SELECT id FROM letter_words {} LIMIT {}", clause.sql(), MAX_RARE + 1);
        let ids = self.scan(sql, &clause).await?;
        Ok(Some(ids).filter(|ids| ids.len() <= MAX_RARE))
    }

    /// The values that a query finds, which may read all dead letters.
    async fn scan<T>(&self, sql: String, clause: &WhereClause) -> sqlx::Result<Vec<T>>
    where
        (T,): for<'r> sqlx::FromRow<'r, AnyRow>,
        T: Send + Unpin,
    {
        let Some(setting) = self.store.setting_of_scans() else {
            return sql::scalar(sql, clause).fetch_all(&self.pool).await;
        };
        let mut transaction = self.pool.begin().await?;
        transaction.execute(setting).await?;
        let found = sql::scalar(sql, clause).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(found)
    }
}

/// The text of a filter that has nothing else.
fn only_text(filter: &Filter) -> Option<&str> {
    let is_only = Filter { text: None, ..filter.clone() } == Filter::default();
    filter.text.as_deref().filter(|_| is_only)
}

fn select(
    columns: &str,
    from: &str,
    mut clause: WhereClause,
    selector: &PageSelector,
    limit: usize,
) -> (String, WhereClause) {
    let order = clause.page(selector, "failed", "id");
    let limit = limit.saturating_add(1);
    (format!("SELECT {columns} FROM {from} {} {order} LIMIT {limit}", clause.sql()), clause)
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
