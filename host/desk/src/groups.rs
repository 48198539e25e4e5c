//! Failures of one code, plugin and digest, taken together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};
use utoipa::ToSchema;

use crate::Desk;
use crate::filter::{self, Where};
use crate::letter::Letter;
use crate::page::{At, Cursor, Page};

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
    pub async fn groups(
        &self,
        only_open: bool,
        now_ms: i64,
        at: &At,
        limit: usize,
    ) -> sqlx::Result<Page<Group>> {
        let mut with = Where::default();
        let recent = with.next(now_ms - RECENT_MS);
        if only_open {
            with.must(
                "EXISTS (SELECT 1 FROM letters l WHERE l.failure_group = g.id AND l.state = 'open')"
                    .to_owned(),
            );
        }
        let order = with.at(at, "g.last_seen", "g.id");
        let sql = format!("{} {} {order} LIMIT {}", select(&recent), with.sql(), limit.saturating_add(1));
        let rows = filter::rows(sql, &with).fetch_all(&self.pool).await?;
        Ok(Page::of(rows, at, limit, |group: &Group| Cursor {
            moment: group.last_seen_ms,
            id: group.id.clone(),
        }))
    }

    /// How many of a group's letters became ones in each hour since then, by the hour's number since the Unix
    /// epoch; hours without letters are left out.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn hours(&self, group: &str, since_ms: i64) -> sqlx::Result<BTreeMap<i64, u64>> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT hour, COUNT(*) FROM \
             (SELECT failed / 3600000 AS hour FROM letters WHERE failure_group = $1 \
              AND state IN ('open', 'replayed', 'discarded') AND failed >= $2) hours GROUP BY hour",
        )
        .bind(group)
        .bind(since_ms)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(hour, letters)| (hour, letters.unsigned_abs())).collect())
    }

    /// The group with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn group(&self, id: &str, now_ms: i64) -> sqlx::Result<Option<Group>> {
        let mut with = Where::default();
        let recent = with.next(now_ms - RECENT_MS);
        let condition = with.begins("g.id", &id.to_ascii_lowercase());
        with.must(condition);
        let sql = format!("{} {} LIMIT 2", select(&recent), with.sql());
        let mut groups: Vec<Group> = filter::rows(sql, &with).fetch_all(&self.pool).await?;
        Ok(if groups.len() == 1 { groups.pop() } else { None })
    }
}

/// Groups with the numbers of their letters. Each is counted by an index alone, and only for the groups of the
/// page; a group that has no letters any more has none.
pub(super) fn select(recent: &str) -> String {
    let of = |what: &str, condition: &str| {
        format!("(SELECT {what} FROM letters l WHERE l.failure_group = g.id AND {condition})")
    };
    let state = |state: &str| of("COUNT(*)", &format!("l.state = '{state}'"));
    format!(
        "SELECT g.id, g.code, g.plugin, g.digest, g.first_seen, g.last_seen, g.detail, g.note, g.state, \
         {} AS open, {} AS replayed, {} AS discarded, {} AS recent, {} AS oldest_open FROM failure_groups g",
        state("open"),
        state("replayed"),
        state("discarded"),
        of("COUNT(*)", &format!("l.state IN ('open', 'replayed', 'discarded') AND l.failed >= {recent}")),
        of("MIN(l.failed)", "l.state = 'open'"),
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
        let count = |column| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)?.unsigned_abs());
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
