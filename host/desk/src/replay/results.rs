//! What became of the dead letters of replays.

use std::collections::HashMap;

use consumer::reports::ReplayTag;
use desk_api::{DeadLetter, ReplayItem, ReplayItemState};
use kafka::headers::REPLAY;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use crate::sql::{self, WhereClause};
use crate::{Desk, record};

/// The columns of an item, and the dead letter that its message became when it failed again.
const SELECT: &str = "SELECT l.*, (SELECT n.id FROM letters n WHERE n.again_of = l.letter \
    ORDER BY n.failed DESC, n.id LIMIT 1) AS failed_as FROM job_letters l";

impl Desk {
    /// Dead letters of a replay after the position `after`, in order; restricted to a state if given.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn replay_items(
        &self,
        replay: &str,
        state: Option<ReplayItemState>,
        after: i64,
        limit: usize,
    ) -> sqlx::Result<Vec<ReplayItem>> {
        let mut clause = WhereClause::default();
        clause.equals("l.job", replay);
        if let Some(state) = state {
            clause.equals("l.state", stored(state));
        }
        let after = clause.bind(after);
        clause.add(format!("l.position > {after}"));
        let sql = format!("{SELECT} {} ORDER BY l.position LIMIT {limit}", clause.sql());
        sql::fetch(&self.pool, sql, &clause, item).await
    }

    /// What became of these dead letters in the last replay that sent or skipped them, by id. Dead letters that were
    /// in none are left out.
    pub(crate) async fn outcomes(&self, ids: &[&str]) -> sqlx::Result<HashMap<String, ReplayItem>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "{SELECT} JOIN jobs j ON j.id = l.job WHERE l.letter {} AND j.state NOT IN ('preparing', 'abandoned') \
             AND (l.state <> 'waiting' OR j.state IN ('running', 'paused', 'stopped')) ORDER BY j.created, j.id",
            self.store.is_first_of(sql::TEXT, "$1")
        );
        let sql = sqlx::query(AssertSqlSafe(sql)).bind(sql::rows(ids.iter().map(|id| [id])));
        let mut outcomes: HashMap<String, ReplayItem> = HashMap::new();
        for row in &sql.fetch_all(&self.pool).await? {
            let item = item(row)?;
            // What was sent says more than that a later replay left it out.
            if item.state != ReplayItemState::Skipped || !outcomes.contains_key(&item.dead_letter) {
                outcomes.insert(item.dead_letter.clone(), item);
            }
        }
        Ok(outcomes)
    }

    /// The dead letters whose replays led to these ones, by the ids of these. A record may have a forged header: the
    /// message must be the same.
    pub(crate) async fn origins(&self, dead_letters: &[DeadLetter]) -> sqlx::Result<HashMap<String, String>> {
        let tag = |dead_letter: &DeadLetter| {
            let mut headers = record::headers(dead_letter);
            let (_, value) = headers.find(|(name, _)| *name == REPLAY)?;
            let ReplayTag { replay, position } = ReplayTag::read(value?)?;
            Some((dead_letter.id.clone(), replay, position, dead_letter.message.clone()))
        };
        let tags: Vec<_> = dead_letters.iter().filter_map(tag).collect();
        if tags.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT value ->> 0, l.letter FROM {} JOIN job_letters l ON l.job = value ->> 1 \
             AND l.position = CAST(value ->> 2 AS BIGINT) JOIN letters v ON v.id = l.letter \
             AND v.message = value ->> 3",
            self.store.rows("$1")
        );
        let sql = sqlx::query_as(AssertSqlSafe(sql)).bind(sql::rows(tags.into_iter()));
        Ok(sql.fetch_all(&self.pool).await?.into_iter().collect())
    }
}

/// The name of a state in the store.
fn stored(state: ReplayItemState) -> &'static str {
    match state {
        ReplayItemState::Handled => "done",
        ReplayItemState::Skipped => super::items::SKIPPED,
        other => other.as_str(),
    }
}

fn item(row: &AnyRow) -> sqlx::Result<ReplayItem> {
    let partition: Option<i64> = row.try_get("topic_partition")?;
    let state: String = row.try_get("state")?;
    let state = ReplayItemState::ALL.into_iter().find(|known| stored(*known) == state);
    Ok(ReplayItem {
        replay: row.try_get("job")?,
        position: row.try_get("position")?,
        dead_letter: row.try_get("letter")?,
        state: state.ok_or_else(|| sql::decode_error("state", "unknown state"))?,
        failed_as: row.try_get("failed_as")?,
        skip_reason: row.try_get("why")?,
        sent_ms: row.try_get("sent")?,
        ended_ms: row.try_get("ended")?,
        topic: row.try_get("topic")?,
        partition: partition.and_then(|partition| i32::try_from(partition).ok()),
        offset: row.try_get("topic_offset")?,
    })
}
