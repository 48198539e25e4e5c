//! Letters in the store: taking them in, and reading them.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};
use utoipa::ToSchema;

use crate::filter::{self, Filter, Where};
use crate::letter::{Letter, Place, State};
use crate::page::{At, Cursor, Page};
use crate::{Desk, groups};

/// How many letters one statement writes: SQLite takes 32,766 values.
const ROWS: usize = 200;
/// The columns of a letter, in the order of [`values`].
const COLUMNS: &str = "id, topic, topic_partition, topic_offset, failed, first_failed, taken, message, source, \
    source_partition, source_offset, source_timestamp, consumer_group, failure_group, plugin, digest, code, \
    detail, exception, backtrace, attempts, replays, record_key, record_value, record_headers, value_cut, \
    words, state, state_since, action, edited_from";
const WIDTH: usize = 31;
/// Those of a [`Summary`].
const SUMMARY: &str = "id, state, failed, source, message, consumer_group, failure_group, plugin, code, \
    detail, attempts, replays";

/// A letter in a list. Moments are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// 32 hexadecimal digits.
    pub id: String,
    /// What has become of it.
    pub state: State,
    /// When it became a dead letter.
    pub failed_ms: i64,
    /// The topic its message was first published to.
    pub source: String,
    /// The message's id.
    pub message: String,
    /// The consumer group it failed in.
    pub consumer_group: String,
    /// The group of its failure.
    pub failure_group: String,
    /// The plugin, name@version.
    pub plugin: String,
    /// The failure's code.
    pub code: String,
    /// The failure's detail.
    pub detail: String,
    /// Deliveries that failed.
    pub attempts: u32,
    /// How often the message had been replayed before.
    pub replays: u32,
}

impl Desk {
    /// Writes letters that have come in, in one transaction. One that is there already stays as it is.
    /// Returns the ids of those that are new.
    ///
    /// # Errors
    /// The store did not take them: none of them is there.
    pub async fn take_in(&self, letters: &[Letter]) -> sqlx::Result<HashSet<String>> {
        let mut transaction = self.begin().await?;
        let new = take(&mut transaction, letters).await?;
        transaction.commit().await?;
        Ok(new)
    }

    /// The letter with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn letter(&self, id: &str) -> sqlx::Result<Option<Letter>> {
        let with = Where::of(&Filter { ids: vec![id.to_owned()], ..Filter::default() });
        let sql = format!("SELECT {COLUMNS} FROM letters {} LIMIT 2", with.sql());
        let mut rows = filter::query(sql, &with).fetch_all(&self.pool).await?;
        match (rows.pop(), rows.pop()) {
            (Some(row), None) => letter(&row).map(Some),
            _ => Ok(None),
        }
    }

    /// Some of the letters, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn letters(&self, filter: &Filter, at: &At, limit: usize) -> sqlx::Result<Page<Summary>> {
        let (sql, with) = select(SUMMARY, filter, at, limit);
        let rows = filter::rows(sql, &with).fetch_all(&self.pool).await?;
        Ok(Page::of(rows, at, limit, |summary: &Summary| Cursor {
            moment: summary.failed_ms,
            id: summary.id.clone(),
        }))
    }

    /// Some of the letters, whole, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn whole_letters(&self, filter: &Filter, at: &At, limit: usize) -> sqlx::Result<Page<Letter>> {
        let (sql, with) = select(COLUMNS, filter, at, limit);
        let rows = filter::query(sql, &with).fetch_all(&self.pool).await?;
        let letters = rows.iter().map(letter).collect::<sqlx::Result<Vec<_>>>()?;
        Ok(Page::of(letters, at, limit, |letter| Cursor { moment: letter.failed_ms, id: letter.id.clone() }))
    }

    /// The letters with these ids, by id.
    pub(super) async fn letters_with(&self, ids: &[&str]) -> sqlx::Result<HashMap<String, Letter>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!("SELECT {COLUMNS} FROM letters WHERE id IN {}", store::tuples(1, ids.len()));
        let sql =
            ids.iter().fold(sqlx::query(sqlx::AssertSqlSafe(sql)), |sql, id| sql.bind((*id).to_owned()));
        let rows = sql.fetch_all(&self.pool).await?;
        rows.iter().map(|row| letter(row).map(|letter| (letter.id.clone(), letter))).collect()
    }

    /// How many letters there are.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn count(&self, filter: &Filter) -> sqlx::Result<u64> {
        let with = Where::of(filter);
        let sql = format!("SELECT COUNT(*) FROM letters {}", with.sql());
        let count: i64 = filter::scalar(sql, &with).fetch_one(&self.pool).await?;
        Ok(count.unsigned_abs())
    }
}

/// Writes letters and brings their groups up to date; returns the ids of those that are new.
pub(super) async fn take(
    connection: &mut AnyConnection,
    letters: &[Letter],
) -> sqlx::Result<HashSet<String>> {
    // In one order, so that two desks do not wait for each other.
    let letters: BTreeMap<&str, &Letter> = letters.iter().map(|letter| (&letter.id[..], letter)).collect();
    let letters: Vec<&Letter> = letters.into_values().collect();
    let mut new = HashSet::new();
    for some in letters.chunks(ROWS) {
        new.extend(insert(connection, some).await?);
    }
    groups::count_in(connection, letters.into_iter().filter(|letter| new.contains(&letter.id))).await?;
    Ok(new)
}

fn select(columns: &str, filter: &Filter, at: &At, limit: usize) -> (String, Where) {
    let mut with = Where::of(filter);
    let order = with.at(at, "failed", "id");
    let limit = limit.saturating_add(1);
    (format!("SELECT {columns} FROM letters {} {order} LIMIT {limit}", with.sql()), with)
}

/// Writes letters; returns the ids of those that were not there.
pub(super) async fn insert(connection: &mut AnyConnection, letters: &[&Letter]) -> sqlx::Result<Vec<String>> {
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    let rows = store::tuples(letters.len(), WIDTH);
    let sql =
        format!("INSERT INTO letters ({COLUMNS}) VALUES {rows} ON CONFLICT (id) DO NOTHING RETURNING id");
    let mut sql = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    for letter in letters {
        let place = letter.place.as_ref();
        let bytes = |bytes: &Option<base::bytes::Bytes>| bytes.as_ref().map(|bytes| bytes.0.clone());
        let headers =
            serde_json::to_string(&letter.headers).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sql = sql
            .bind(&letter.id)
            .bind(place.map(|place| place.topic.clone()))
            .bind(place.map(|place| i64::from(place.partition)))
            .bind(place.map(|place| place.offset))
            .bind(letter.failed_ms)
            .bind(letter.first_failed_ms)
            .bind(letter.taken_ms)
            .bind(&letter.message)
            .bind(&letter.source.topic)
            .bind(i64::from(letter.source.partition))
            .bind(letter.source.offset)
            .bind(letter.source_timestamp_ms)
            .bind(&letter.consumer_group)
            .bind(&letter.failure_group)
            .bind(&letter.plugin)
            .bind(&letter.digest)
            .bind(&letter.code)
            .bind(&letter.detail)
            .bind(&letter.exception)
            .bind(&letter.backtrace)
            .bind(i64::from(letter.attempts))
            .bind(i64::from(letter.replays))
            .bind(bytes(&letter.key))
            .bind(bytes(&letter.value))
            .bind(headers)
            .bind(letter.value_cut.map(u64::cast_signed))
            .bind(letter.words())
            .bind(letter.state.as_str())
            .bind(letter.state_since_ms)
            .bind(letter.action.clone())
            .bind(letter.edited_from.clone());
    }
    sql.fetch_all(connection).await
}

impl<'r> FromRow<'r, AnyRow> for Summary {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            state: state(row)?,
            failed_ms: row.try_get("failed")?,
            source: row.try_get("source")?,
            message: row.try_get("message")?,
            consumer_group: row.try_get("consumer_group")?,
            failure_group: row.try_get("failure_group")?,
            plugin: row.try_get("plugin")?,
            code: row.try_get("code")?,
            detail: row.try_get("detail")?,
            attempts: small(row, "attempts")?,
            replays: small(row, "replays")?,
        })
    }
}

/// A letter out of all of its columns.
fn letter(row: &AnyRow) -> sqlx::Result<Letter> {
    let topic: Option<String> = row.try_get("topic")?;
    let place = match topic {
        Some(topic) => Some(Place {
            topic,
            partition: small(row, "topic_partition")?,
            offset: row.try_get("topic_offset")?,
        }),
        None => None,
    };
    let bytes =
        |column| Ok::<_, sqlx::Error>(row.try_get::<Option<Vec<u8>>, _>(column)?.map(base::bytes::Bytes));
    let headers: String = row.try_get("record_headers")?;
    Ok(Letter {
        id: row.try_get("id")?,
        state: state(row)?,
        state_since_ms: row.try_get("state_since")?,
        action: row.try_get("action")?,
        place,
        failed_ms: row.try_get("failed")?,
        first_failed_ms: row.try_get("first_failed")?,
        taken_ms: row.try_get("taken")?,
        message: row.try_get("message")?,
        source: Place {
            topic: row.try_get("source")?,
            partition: small(row, "source_partition")?,
            offset: row.try_get("source_offset")?,
        },
        source_timestamp_ms: row.try_get("source_timestamp")?,
        consumer_group: row.try_get("consumer_group")?,
        failure_group: row.try_get("failure_group")?,
        plugin: row.try_get("plugin")?,
        digest: row.try_get("digest")?,
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        exception: row.try_get("exception")?,
        backtrace: row.try_get("backtrace")?,
        attempts: small(row, "attempts")?,
        replays: small(row, "replays")?,
        key: bytes("record_key")?,
        value: bytes("record_value")?,
        headers: serde_json::from_str(&headers).map_err(|error| decode("record_headers", error))?,
        value_cut: row.try_get::<Option<i64>, _>("value_cut")?.map(i64::unsigned_abs),
        edited_from: row.try_get("edited_from")?,
    })
}

pub(super) fn state(row: &AnyRow) -> sqlx::Result<State> {
    let name: String = row.try_get("state")?;
    State::named(&name).ok_or_else(|| decode("state", format!("{name} is none")))
}

/// A number that was written as a smaller one.
pub(super) fn small<T: TryFrom<i64>>(row: &AnyRow, column: &'static str) -> sqlx::Result<T> {
    let number: i64 = row.try_get(column)?;
    T::try_from(number).map_err(|_| decode(column, format!("{number} is out of range")))
}

fn decode(column: &'static str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() }
}
