//! Which letters: what people ask for, as SQL.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyArguments;
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{Any, Arguments as _};
use utoipa::{IntoParams, ToSchema};

use crate::letter::State;
use crate::page::{At, Cursor};

/// The most ids that a filter may name.
pub const MOST_IDS: usize = 1000;

/// Which letters. What is left out is any; of several, all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// These ids, or what they begin with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[param(style = Form, explode = false)]
    pub ids: Vec<String>,
    /// What has become of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The source topic or the dead-letter topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The failure's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The plugin's name@version, or its name alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The failure's group, or what its id begins with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The message's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Dead since this moment, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Dead before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// With this text in key, detail, message id or the first 4 KiB of the value; small and capital letters
    /// are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Filter {
    /// # Errors
    /// What cannot be meant.
    pub fn check(&self) -> Result<(), String> {
        if self.ids.len() > MOST_IDS {
            return Err(format!("ids: at most {MOST_IDS}"));
        }
        if let Some(id) = self.ids.iter().find(|id| !is_id(id)) {
            return Err(format!(
                "ids: {id:?} is no id, nor what one begins with: 1 to 32 hexadecimal digits"
            ));
        }
        match &self.group {
            Some(group) if !is_id(group) => Err(format!(
                "group: {group:?} is no id, nor what one begins with: 1 to 32 hexadecimal digits"
            )),
            _ => Ok(()),
        }
    }

    /// Whether it asks for all letters, or for all of a state.
    pub fn is_any(&self) -> bool {
        Self { state: None, ..self.clone() } == Self::default()
    }
}

/// Whether this can be an id, or what one begins with.
pub fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A condition with its values, in the order of their placeholders.
#[derive(Debug, Default)]
pub(super) struct Where {
    conditions: Vec<String>,
    values: Vec<Bound>,
}

#[derive(Debug, Clone)]
pub(super) enum Bound {
    Text(String),
    Number(i64),
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        // PostgreSQL takes no NUL, and none is in the store.
        Self::Text(super::letter::readable(text))
    }
}

impl From<i64> for Bound {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Where {
    /// What this filter asks for.
    pub fn of(filter: &Filter) -> Self {
        let mut all = Self::default();
        all.and(filter);
        all
    }

    /// What this filter asks for, beside what stands here.
    pub fn and(&mut self, filter: &Filter) {
        let all = self;
        if !filter.ids.is_empty() {
            let prefixes: Vec<String> =
                filter.ids.iter().map(|id| all.begins("id", &id.to_ascii_lowercase())).collect();
            // A thousand in a row would be nested too deep for SQLite.
            let some: Vec<String> =
                prefixes.chunks(32).map(|some| format!("({})", some.join(" OR "))).collect();
            all.conditions.push(format!("({})", some.join(" OR ")));
        }
        if let Some(state) = filter.state {
            all.is("state", state.as_str());
        }
        if let Some(topic) = &filter.topic {
            let (source, dead) = (all.next(topic.as_str()), all.next(topic.as_str()));
            all.conditions.push(format!("(source = {source} OR topic = {dead})"));
        }
        if let Some(code) = &filter.code {
            all.is("code", code.as_str());
        }
        if let Some(plugin) = &filter.plugin {
            let whole = all.next(plugin.as_str());
            let name = all.next(format!("{}@%", escaped(plugin)).as_str());
            all.conditions.push(format!("(plugin = {whole} OR plugin LIKE {name} ESCAPE '!')"));
        }
        if let Some(group) = &filter.group {
            let condition = all.begins("failure_group", &group.to_ascii_lowercase());
            all.conditions.push(condition);
        }
        if let Some(message) = &filter.message {
            all.is("message", message.as_str());
        }
        if let Some(since) = filter.since_ms {
            let since = all.next(since);
            all.conditions.push(format!("failed >= {since}"));
        }
        if let Some(until) = filter.until_ms {
            let until = all.next(until);
            all.conditions.push(format!("failed < {until}"));
        }
        if let Some(text) = &filter.text {
            let text = all.next(format!("%{}%", escaped(&text.to_lowercase())).as_str());
            all.conditions.push(format!("words LIKE {text} ESCAPE '!'"));
        }
    }

    /// Adds a condition.
    pub fn must(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    /// Adds `column = value`.
    pub fn is(&mut self, column: &str, value: impl Into<Bound>) {
        let value = self.next(value);
        self.conditions.push(format!("{column} = {value}"));
    }

    /// Adds where the page begins; returns the order of its rows.
    pub fn at(&mut self, at: &At, moment: &str, id: &str) -> String {
        if let At::After(Cursor { moment: when, id: which })
        | At::Before(Cursor { moment: when, id: which }) = at
        {
            let compare = if at.is_backwards() { '>' } else { '<' };
            let (when, which) = (self.next(*when), self.next(which.as_str()));
            self.conditions.push(format!("({moment}, {id}) {compare} ({when}, {which})"));
        }
        let order = if at.is_backwards() { "ASC" } else { "DESC" };
        format!("ORDER BY {moment} {order}, {id} {order}")
    }

    /// The placeholder of the next value.
    pub fn next(&mut self, value: impl Into<Bound>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// `WHERE …`, or nothing.
    pub fn sql(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }

    /// The values for their placeholders.
    pub fn arguments(&self) -> AnyArguments {
        let mut arguments = AnyArguments::default();
        for value in &self.values {
            // Texts and numbers can always be encoded.
            let _ = match value {
                Bound::Text(text) => arguments.add(text.clone()),
                Bound::Number(number) => arguments.add(*number),
            };
        }
        arguments
    }

    /// The condition that an id begins with `prefix`, in a form that uses an index.
    pub fn begins(&mut self, column: &str, prefix: &str) -> String {
        // What is left of something else could be what many begin with.
        if !prefix.is_empty() && !is_id(prefix) {
            return "1 = 0".to_owned();
        }
        // Hexadecimal digits alone: `g` comes after all that begin with the prefix.
        let (from, to) = (self.next(prefix), self.next(format!("{prefix}g").as_str()));
        format!("({column} >= {from} AND {column} < {to})")
    }
}

/// A text in a LIKE pattern.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// Statements of one kind each, with their values.
pub(super) fn query<'q>(sql: String, with: &Where) -> Query<'q, Any, AnyArguments> {
    sqlx::query_with(sqlx::AssertSqlSafe(sql), with.arguments())
}

/// Likewise, for a single value.
pub(super) fn scalar<'q, T>(sql: String, with: &Where) -> QueryScalar<'q, Any, T, AnyArguments>
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::any::AnyRow>,
{
    sqlx::query_scalar_with(sqlx::AssertSqlSafe(sql), with.arguments())
}

/// Likewise, for rows as values.
pub(super) fn rows<'q, T>(sql: String, with: &Where) -> QueryAs<'q, Any, T, AnyArguments>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::any::AnyRow>,
{
    sqlx::query_as_with(sqlx::AssertSqlSafe(sql), with.arguments())
}
