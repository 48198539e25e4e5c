//! Failures of one code, plugin and digest, taken together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};
use utoipa::ToSchema;

use super::Desk;
use super::filter::{self, Where};
use super::letter::Letter;

/// Over how long growth is counted, in milliseconds.
pub const RECENT_MS: i64 = 3_600_000;

/// Whether somebody looks after a group still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupState {
    /// It fails, or did.
    Open,
    /// Its cause is said to be mended. One that fails again is open again.
    Closed,
}

impl GroupState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// A group of failures. Moments are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The failures' code.
    pub code: String,
    /// The plugin, name@version.
    pub plugin: String,
    /// The plugin's digest.
    pub digest: String,
    /// When the first letter became one.
    pub first_seen_ms: i64,
    /// When the last one did.
    pub last_seen_ms: i64,
    /// The last failure's own words.
    pub detail: String,
    /// What people wrote about it.
    pub note: String,
    /// Whether somebody looks after it still.
    pub state: GroupState,
    /// Its letters that are open.
    pub open: u64,
    /// Its letters that were replayed.
    pub replayed: u64,
    /// Its letters that were discarded.
    pub discarded: u64,
    /// Its letters of the last hour.
    pub recent: u64,
    /// When the oldest open one became a letter.
    pub oldest_open_ms: Option<i64>,
}

impl Desk {
    /// Groups that have letters, or only those with open ones; the one that failed last comes first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn groups(&self, only_open: bool, now_ms: i64, limit: usize) -> sqlx::Result<Vec<Group>> {
        let mut with = Where::default();
        let recent = with.next(now_ms - RECENT_MS);
        let which =
            if only_open { "HAVING SUM(CASE WHEN l.state = 'open' THEN 1 ELSE 0 END) > 0" } else { "" };
        let sql = select(&recent, "", which, limit);
        filter::rows(sql, &with).fetch_all(&self.pool).await
    }

    /// The group with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn group(&self, id: &str, now_ms: i64) -> sqlx::Result<Option<Group>> {
        let mut with = Where::default();
        let recent = with.next(now_ms - RECENT_MS);
        let condition = with.begins("g.id", &id.to_ascii_lowercase());
        let mut groups: Vec<Group> =
            filter::rows(select(&recent, &format!("WHERE {condition}"), "", 2), &with)
                .fetch_all(&self.pool)
                .await?;
        Ok(if groups.len() == 1 { groups.pop() } else { None })
    }
}

/// A group that has no letters any more is shown too, with none.
fn select(recent: &str, condition: &str, having: &str, limit: usize) -> String {
    let count = |condition: &str| format!("CAST(SUM(CASE WHEN {condition} THEN 1 ELSE 0 END) AS BIGINT)");
    format!(
        "SELECT g.id, g.code, g.plugin, g.digest, g.first_seen, g.last_seen, g.detail, g.note, g.state, \
         {} AS open, {} AS replayed, {} AS discarded, {} AS recent, \
         MIN(CASE WHEN l.state = 'open' THEN l.failed END) AS oldest_open \
         FROM failure_groups g LEFT JOIN letters l ON l.failure_group = g.id {condition} \
         GROUP BY g.id, g.code, g.plugin, g.digest, g.first_seen, g.last_seen, g.detail, g.note, g.state \
         {having} ORDER BY g.last_seen DESC, g.id LIMIT {limit}",
        count("l.state = 'open'"),
        count("l.state = 'replayed'"),
        count("l.state = 'discarded'"),
        count(&format!("l.failed >= {recent}")),
    )
}

/// What new letters say of their group.
struct News<'a> {
    first: i64,
    last: &'a Letter,
}

/// Brings the groups of new letters up to date; a closed one is open again.
pub(super) async fn count_in<'a>(
    connection: &mut AnyConnection,
    letters: impl Iterator<Item = &'a Letter>,
) -> sqlx::Result<()> {
    let mut groups: BTreeMap<&str, News<'_>> = BTreeMap::new();
    for letter in letters {
        let news =
            groups.entry(&letter.failure_group).or_insert(News { first: letter.failed_ms, last: letter });
        news.first = news.first.min(letter.failed_ms);
        if letter.failed_ms >= news.last.failed_ms {
            news.last = letter;
        }
    }
    for (id, News { first, last }) in groups {
        sqlx::query(
            "INSERT INTO failure_groups (id, code, plugin, digest, first_seen, last_seen, detail, note, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, '', 'open') ON CONFLICT (id) DO UPDATE SET \
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
        .bind(first)
        .bind(last.failed_ms)
        .bind(&last.detail)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

impl<'r> FromRow<'r, AnyRow> for Group {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        // Nothing was summed up where there is no letter.
        let count =
            |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.unwrap_or(0).unsigned_abs());
        let state: String = row.try_get("state")?;
        let is_closed = state == GroupState::Closed.as_str();
        Ok(Self {
            id: row.try_get("id")?,
            code: row.try_get("code")?,
            plugin: row.try_get("plugin")?,
            digest: row.try_get("digest")?,
            first_seen_ms: row.try_get("first_seen")?,
            last_seen_ms: row.try_get("last_seen")?,
            detail: row.try_get("detail")?,
            note: row.try_get("note")?,
            state: if is_closed { GroupState::Closed } else { GroupState::Open },
            open: count("open")?,
            replayed: count("replayed")?,
            discarded: count("discarded")?,
            recent: count("recent")?,
            oldest_open_ms: row.try_get("oldest_open")?,
        })
    }
}
