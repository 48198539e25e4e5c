//! The rows of dead letters: what is listed and counted, their records, and the words that a search looks in.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use base::bytes::Bytes;
use desk_api::DeadLetter;
use sqlx::any::AnyArguments;
use sqlx::query::QueryScalar;
use sqlx::{Any, AnyConnection, AssertSqlSafe};
use store::Store;

use super::{COLUMNS, RECORD_COLUMNS};
use crate::failures;
use crate::record::searchable_text;
use crate::sql::{self, WhereClause};

/// Dead letters per statement.
const INSERTED: usize = 16;
/// The number of columns of a dead letter, of its record with the id, and of its words.
const COLUMN_COUNT: usize = 27;
const RECORD_COLUMN_COUNT: usize = 5;
const WORDS_COLUMN_COUNT: usize = 3;

/// Stores dead letters and updates their failures. `origins` are those whose replays led to these. Returns the ids of
/// the new ones.
pub(crate) async fn ingest(
    store: &Store,
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
        new.extend(insert(store, connection, chunk).await?);
    }
    let added = dead_letters.into_iter().filter(|dead_letter| new.contains(&dead_letter.id));
    failures::add(connection, added).await?;
    Ok(new)
}

/// Inserts dead letters; returns the ids of those that did not exist.
pub(crate) async fn insert(
    store: &Store,
    connection: &mut AnyConnection,
    dead_letters: &[&DeadLetter],
) -> sqlx::Result<Vec<String>> {
    if dead_letters.is_empty() {
        return Ok(Vec::new());
    }
    let rows = store.placeholders(1, dead_letters.len(), COLUMN_COUNT);
    let sql =
        format!("INSERT INTO letters ({COLUMNS}) VALUES {rows} ON CONFLICT (id) DO NOTHING RETURNING id");
    let mut query = sqlx::query_scalar(AssertSqlSafe(sql));
    for dead_letter in dead_letters {
        query = bind(query, dead_letter);
    }
    let new: Vec<String> = query.fetch_all(&mut *connection).await?;
    let added: Vec<&DeadLetter> =
        dead_letters.iter().copied().filter(|dead_letter| new.contains(&dead_letter.id)).collect();
    if !added.is_empty() {
        insert_records(store, connection, &added).await?;
    }
    Ok(new)
}

/// Inserts the records of new dead letters, and the words that a search looks in.
async fn insert_records(
    store: &Store,
    connection: &mut AnyConnection,
    added: &[&DeadLetter],
) -> sqlx::Result<()> {
    let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.0.clone());
    let rows = store.placeholders(1, added.len(), RECORD_COLUMN_COUNT);
    let sql = format!("INSERT INTO letter_records (id, {RECORD_COLUMNS}) VALUES {rows}");
    let mut records = sqlx::query(AssertSqlSafe(sql));
    let rows = store.placeholders(1, added.len(), WORDS_COLUMN_COUNT);
    let sql = format!("INSERT INTO letter_words (failed, id, words) VALUES {rows}");
    let mut words = sqlx::query(AssertSqlSafe(sql));
    for dead_letter in added {
        records = records
            .bind(&dead_letter.id)
            .bind(&dead_letter.backtrace)
            .bind(bytes(&dead_letter.key))
            .bind(bytes(&dead_letter.value))
            .bind(sql::to_json(&dead_letter.headers)?);
        words = words.bind(dead_letter.failed_ms).bind(&dead_letter.id).bind(searchable_text(dead_letter));
    }
    records.execute(&mut *connection).await?;
    words.execute(connection).await?;
    Ok(())
}

/// Deletes these dead letters, except those for which the condition does not hold. Returns their number.
pub(crate) async fn delete(
    connection: &mut AnyConnection,
    store: &Store,
    ids: &[String],
    condition: &str,
) -> sqlx::Result<u64> {
    let mut clause = WhereClause::default();
    sql::has_id(&mut clause, store, ids);
    let sql = format!("DELETE FROM letters {} AND {condition} RETURNING failed, id", clause.sql());
    let deleted: Vec<(i64, String)> = sql::query_as(sql, &clause).fetch_all(&mut *connection).await?;
    let times = || deleted.iter().map(|(failed, _)| *failed);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(0) };
    let (rows, among) = (sql::rows(deleted.iter().map(|(_, id)| [id])), store.is_first_of(sql::TEXT, "$1"));
    let records = format!("DELETE FROM letter_records WHERE id {among}");
    sqlx::query(AssertSqlSafe(records)).bind(&rows).execute(&mut *connection).await?;
    let words = format!("DELETE FROM letter_words WHERE failed >= $2 AND failed <= $3 AND id {among}");
    let words = sqlx::query(AssertSqlSafe(words)).bind(&rows).bind(first).bind(last);
    words.execute(connection).await?;
    Ok(deleted.len() as u64)
}

type Insert<'q> = QueryScalar<'q, Any, String, AnyArguments>;

fn bind<'q>(query: Insert<'q>, dead_letter: &'q DeadLetter) -> Insert<'q> {
    let location = dead_letter.location.as_ref();
    query
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
        .bind(i64::from(dead_letter.attempts))
        .bind(i64::from(dead_letter.replays))
        .bind(dead_letter.value_cut.map(u64::cast_signed))
        .bind(dead_letter.state.as_str())
        .bind(dead_letter.state_since_ms)
        .bind(dead_letter.audit_entry.clone())
        .bind(dead_letter.edited_from.clone())
        .bind(dead_letter.failed_again_of.clone())
}
