//! SQL conditions over dead letters and other rows.

use desk_api::{Cursor, Filter, PageSelector, is_id_prefix};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{Any, Arguments as _, AssertSqlSafe, Row as _};
use store::Store;

use crate::record::without_nul;

/// How many conditions are joined by one `OR`: SQLite limits the depth of expressions.
const MAX_OR: usize = 32;
/// Length from which on a searched text may also be the beginning of an id.
const MIN_SEARCHED_ID: usize = 4;
/// The words of a row of `letters`.
const WORDS_OF_IT: &str = "letter_words w WHERE w.failed = letters.failed AND w.id = letters.id";

/// A conjunction of conditions and the values of their placeholders, in order.
#[derive(Debug, Default)]
pub(crate) struct WhereClause {
    conditions: Vec<String>,
    values: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        // PostgreSQL accepts no NUL, and the store holds none.
        Self::Text(without_nul(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// The first element of one of the rows of [`rows`].
pub(crate) const TEXT: &str = "value ->> 0";
pub(crate) const NUMBER: &str = "CAST(value ->> 0 AS BIGINT)";

/// Rows as the JSON that [`store::Store::rows`] reads.
pub(crate) fn rows<T: serde::Serialize>(rows: impl Iterator<Item = T>) -> String {
    // Texts and numbers can always be written.
    serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap_or_default()
}

impl WhereClause {
    /// The conditions of a filter.
    pub fn from_filter(filter: &Filter) -> Self {
        let mut clause = Self::default();
        clause.filter(filter);
        clause
    }

    /// A search for a text among the rows of `letter_words`.
    pub fn from_text(text: &str) -> Self {
        let mut clause = Self::default();
        let words = clause.has_words(text);
        clause.add_or_id(words, text);
        clause
    }

    /// Adds the conditions of a filter.
    pub fn filter(&mut self, filter: &Filter) {
        self.ids(&filter.ids);
        if let Some(state) = filter.state {
            self.equals("state", state.as_str());
        }
        if let Some(topic) = &filter.topic {
            let (source, dead) = (self.bind(topic.as_str()), self.bind(topic.as_str()));
            self.add(format!("(source = {source} OR topic = {dead})"));
        }
        if let Some(code) = &filter.code {
            self.code(code);
        }
        if let Some(plugin) = &filter.plugin {
            let label = self.bind(plugin.as_str());
            let name = self.bind(format!("{}@%", escape_like(plugin)).as_str());
            self.add(format!("(plugin = {label} OR plugin LIKE {name} ESCAPE '!')"));
        }
        if let Some(failure) = &filter.failure {
            let condition = self.has_prefix("failure_group", &failure.to_ascii_lowercase());
            self.add(condition);
        }
        if let Some(message) = &filter.message {
            self.equals("message", message.as_str());
        }
        if let Some(since) = filter.since_ms {
            let since = self.bind(since);
            self.add(format!("failed >= {since}"));
        }
        if let Some(until) = filter.until_ms {
            let until = self.bind(until);
            self.add(format!("failed < {until}"));
        }
        if let Some(text) = &filter.text {
            let words = self.has_words(text);
            self.add_or_id(format!("EXISTS (SELECT 1 FROM {WORDS_OF_IT} AND {words})"), text);
        }
    }

    /// Adds a search for a text, for a list that soon has enough. PostgreSQL would join all rows of both tables for the
    /// condition of [`Self::filter`], as it takes the two columns for independent and so expects next to no result.
    pub fn text_of_each(&mut self, text: &str) {
        let words = self.has_words(text);
        self.add_or_id(format!("(SELECT {words} FROM {WORDS_OF_IT})"), text);
    }

    fn has_words(&mut self, text: &str) -> String {
        let words = self.bind(format!("%{}%", escape_like(&text.to_lowercase())).as_str());
        format!("words LIKE {words} ESCAPE '!'")
    }

    /// Adds a condition for the words, or that the id begins with the text if that is possible.
    fn add_or_id(&mut self, words: String, text: &str) {
        if is_id_prefix(text) && text.len() >= MIN_SEARCHED_ID {
            let id = self.has_prefix("id", &text.to_ascii_lowercase());
            self.add(format!("({words} OR {id})"));
        } else {
            self.add(words);
        }
    }

    fn code(&mut self, code: &str) {
        if !code.contains('*') {
            return self.equals("code", code);
        }
        let pattern = self.bind(escape_like(code).replace('*', "%").as_str());
        self.add(format!("code LIKE {pattern} ESCAPE '!'"));
    }

    fn ids(&mut self, ids: &[String]) {
        if ids.is_empty() {
            return;
        }
        let prefixes: Vec<String> =
            ids.iter().map(|id| self.has_prefix("id", &id.to_ascii_lowercase())).collect();
        let chunks: Vec<String> =
            prefixes.chunks(MAX_OR).map(|chunk| format!("({})", chunk.join(" OR "))).collect();
        self.add(format!("({})", chunks.join(" OR ")));
    }

    /// Adds a condition.
    pub fn add(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// Adds `column = value`.
    pub fn equals(&mut self, column: &str, value: impl Into<Value>) {
        let value = self.bind(value);
        self.add(format!("{column} = {value}"));
    }

    /// Adds the start of the page; returns the `ORDER BY` of its rows.
    pub fn page(&mut self, selector: &PageSelector, time: &str, id: &str) -> String {
        if let PageSelector::After(cursor) | PageSelector::Before(cursor) = selector {
            let Cursor { time_ms, id: last_id } = cursor;
            let compare = if selector.is_backwards() { '>' } else { '<' };
            let (time_value, id_value) = (self.bind(*time_ms), self.bind(last_id.as_str()));
            self.add(format!("({time}, {id}) {compare} ({time_value}, {id_value})"));
        }
        let order = if selector.is_backwards() { "ASC" } else { "DESC" };
        format!("ORDER BY {time} {order}, {id} {order}")
    }

    /// Binds a value; returns its placeholder.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// `WHERE …`, or an empty text without conditions.
    pub fn sql(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }

    /// The condition that an id begins with `prefix`, in a form that can use an index.
    pub fn has_prefix(&mut self, column: &str, prefix: &str) -> String {
        // Anything else must not be taken for an empty prefix.
        if !prefix.is_empty() && !is_id_prefix(prefix) {
            return "1 = 0".to_owned();
        }
        // `g` sorts after every hexadecimal digit.
        let (from, to) = (self.bind(prefix), self.bind(format!("{prefix}g").as_str()));
        format!("({column} >= {from} AND {column} < {to})")
    }

    fn arguments(&self) -> AnyArguments {
        let mut arguments = AnyArguments::default();
        for value in &self.values {
            // Texts and numbers can always be encoded.
            let _ = match value {
                Value::Text(text) => arguments.add(text.clone()),
                Value::Number(number) => arguments.add(*number),
            };
        }
        arguments
    }
}

/// Escapes a text for a LIKE pattern with `ESCAPE '!'`.
fn escape_like(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// A statement with the values of its clause.
pub(crate) fn query<'q>(sql: String, clause: &WhereClause) -> Query<'q, Any, AnyArguments> {
    sqlx::query_with(AssertSqlSafe(sql), clause.arguments())
}

/// A query for rows of several values.
pub(crate) fn query_as<'q, T>(sql: String, clause: &WhereClause) -> QueryAs<'q, Any, T, AnyArguments>
where
    T: for<'r> sqlx::FromRow<'r, AnyRow>,
{
    sqlx::query_as_with(AssertSqlSafe(sql), clause.arguments())
}

/// A query for single values.
pub(crate) fn scalar<'q, T>(sql: String, clause: &WhereClause) -> QueryScalar<'q, Any, T, AnyArguments>
where
    (T,): for<'r> sqlx::FromRow<'r, AnyRow>,
{
    sqlx::query_scalar_with(AssertSqlSafe(sql), clause.arguments())
}

/// Reads all rows of a query. The types of the API are foreign, so they cannot implement `FromRow` here.
pub(crate) async fn fetch<T>(
    executor: impl sqlx::Executor<'_, Database = Any>,
    sql: String,
    clause: &WhereClause,
    read: impl Fn(&AnyRow) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    query(sql, clause).fetch_all(executor).await?.iter().map(read).collect()
}

/// A count, which is never negative.
pub(crate) fn count(row: &AnyRow, column: &str) -> sqlx::Result<u64> {
    row.try_get::<i64, _>(column).map(i64::unsigned_abs)
}

/// A number that was stored as a smaller type.
pub(crate) fn narrow<T: TryFrom<i64>>(row: &AnyRow, column: &str) -> sqlx::Result<T> {
    let number: i64 = row.try_get(column)?;
    T::try_from(number).map_err(|_| decode_error(column, format!("{number} is out of range")))
}

/// The error for a column with an invalid value.
pub(crate) fn decode_error(
    column: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() }
}

/// `id IN …`, with the ids bound.
pub(crate) fn has_id(clause: &mut WhereClause, store: &Store, ids: &[String]) {
    let ids = clause.bind(rows(ids.iter().map(|id| [id])).as_str());
    clause.add(format!("id {}", store.is_first_of(TEXT, &ids)));
}

/// A value as JSON text.
pub(crate) fn to_json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
