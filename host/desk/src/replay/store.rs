//! Replays in the store.

use std::collections::BTreeMap;

use base::clock;
use desk_api::{
    Cursor, DeadLetterState, Filter, Page, PageSelector, Replay, ReplayPlan, ReplayState, ReplayTarget,
};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use store::Store;

use crate::Desk;
use crate::audit::{Actor, Subject, write};
use crate::sql::{self, WhereClause};

/// Ids per statement.
const MAX_IDS: usize = 1000;
/// Replays in progress that are listed with a failure.
const MAX_ACTIVE: usize = 5;

/// The reason why a replay could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The id is unknown.
    #[error("no replay has this id")]
    Unknown,
    /// The change is not possible in this state.
    #[error("the replay is {}", .0.as_str())]
    InState(ReplayState),
    /// The store is unavailable.
    #[error("the store is unavailable: {0}")]
    Store(#[from] sqlx::Error),
}

/// The columns of a replay, and the numbers of its dead letters by state.
const SELECT: &str = "SELECT j.*, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'waiting') AS waiting, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'sent') AS sent, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'done') AS done, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'failed') AS failed, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'unknown') AS unknown, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'gone') AS gone \
    FROM jobs j";

/// The condition of replays that were created completely.
const CREATED: &str = "j.state NOT IN ('preparing', 'abandoned')";

impl Desk {
    /// The replay with this id or unique prefix of an id.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn replay(&self, id: &str) -> sqlx::Result<Option<Replay>> {
        let mut clause = WhereClause::default();
        let condition = clause.has_prefix("j.id", &id.to_ascii_lowercase());
        let sql = format!("{SELECT} WHERE {condition} AND {CREATED} LIMIT 2");
        let mut replays = sql::fetch(&self.pool, sql, &clause, replay).await?;
        Ok(if replays.len() == 1 { replays.pop() } else { None })
    }

    /// This time, if any replay may still send dead letters then.
    pub(super) async fn active_at(&self, now_ms: i64) -> sqlx::Result<Option<i64>> {
        let sql = format!(
            "SELECT COUNT(*) FROM jobs WHERE state IN ({MAY_SEND}) OR COALESCE(worker_until, 0) >= {now_ms}"
        );
        let active: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await?;
        Ok((active > 0).then_some(now_ms))
    }

    /// A page of the replays, newest first.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn replays(&self, selector: &PageSelector, limit: usize) -> sqlx::Result<Page<Replay>> {
        let mut clause = WhereClause::default();
        clause.add(CREATED);
        let order = clause.page(selector, "j.created", "j.id");
        let sql = format!("{SELECT} {} {order} LIMIT {}", clause.sql(), limit.saturating_add(1));
        let rows = sql::fetch(&self.pool, sql, &clause, replay).await?;
        Ok(Page::from_rows(rows, selector, limit, |replay| Cursor {
            time_ms: replay.created_ms,
            id: replay.id.clone(),
        }))
    }

    /// The replays in progress, newest first: all of them, or those that send dead letters of this failure.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn active_replays(&self, failure: Option<&str>) -> sqlx::Result<Vec<Replay>> {
        let mut clause = WhereClause::default();
        clause.add("j.state IN ('running', 'paused', 'stopped')");
        if let Some(failure) = failure {
            let failure = clause.bind(failure);
            let sends = format!(
                "EXISTS (SELECT 1 FROM job_letters l CROSS JOIN letters v \
                 WHERE l.job = j.id AND v.id = l.letter AND v.failure_group = {failure})"
            );
            clause.add(if self.store.has_hash_joins() {
                sends
            } else {
                // One of them may be small where the other one is large, and SQLite keeps the order of a CROSS JOIN.
                format!(
                    "CASE WHEN j.letters < (SELECT COUNT(*) FROM letters WHERE failure_group = {failure}) THEN {sends} \
                     ELSE EXISTS (SELECT 1 FROM letters v CROSS JOIN job_letters l \
                     WHERE v.failure_group = {failure} AND l.letter = v.id AND l.job = j.id) END"
                )
            });
        }
        let sql = format!("{SELECT} {} ORDER BY j.created DESC, j.id DESC LIMIT {MAX_ACTIVE}", clause.sql());
        sql::fetch(&self.pool, sql, &clause, replay).await
    }

    /// Pauses a running replay.
    ///
    /// # Errors
    /// The replay does not exist, or is not running.
    pub async fn pause_replay(&self, id: &str, actor: Actor<'_>) -> Result<Replay, ReplayError> {
        self.change_replay(id, &[ReplayState::Running], ReplayState::Paused, "pause", actor).await
    }

    /// Resumes a paused or stopped replay.
    ///
    /// # Errors
    /// The replay does not exist, or is in another state.
    pub async fn resume_replay(&self, id: &str, actor: Actor<'_>) -> Result<Replay, ReplayError> {
        let from = [ReplayState::Paused, ReplayState::Stopped];
        self.change_replay(id, &from, ReplayState::Running, "resume", actor).await
    }

    /// Cancels a replay. Dead letters that were not sent stay open.
    ///
    /// # Errors
    /// The replay does not exist, or has ended.
    pub async fn cancel_replay(&self, id: &str, actor: Actor<'_>) -> Result<Replay, ReplayError> {
        let from = [ReplayState::Running, ReplayState::Paused, ReplayState::Stopped];
        self.change_replay(id, &from, ReplayState::Cancelled, "cancel", actor).await
    }

    async fn change_replay(
        &self,
        id: &str,
        from: &[ReplayState],
        to: ReplayState,
        action: &str,
        actor: Actor<'_>,
    ) -> Result<Replay, ReplayError> {
        let replay = self.replay(id).await?.ok_or(ReplayError::Unknown)?;
        let mut clause = WhereClause::default();
        let (state, since) = (clause.bind(to.as_str()), clause.bind(actor.now_ms));
        clause.equals("id", replay.id.as_str());
        let from: Vec<String> = from.iter().map(|state| clause.bind(state.as_str())).collect();
        clause.add(format!("state IN ({})", from.join(", ")));
        let sql =
            format!("UPDATE jobs SET state = {state}, state_since = {since}, why = '' {}", clause.sql());
        let mut transaction = self.begin().await?;
        if sql::query(sql, &clause).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Err(ReplayError::InState(replay.state));
        }
        let subject = Subject { replay: Some(&replay.id), ..Subject::default() };
        write(&mut transaction, action, actor, subject).await?;
        transaction.commit().await?;
        self.replay(&replay.id).await?.ok_or(ReplayError::Unknown)
    }
}

/// The states of replays that may still send dead letters.
const MAY_SEND: &str = "'preparing', 'running', 'paused', 'stopped'";
/// The condition of dead letters whose value was cut.
pub(super) const VALUE_CUT: &str = "value_cut IS NOT NULL";
/// The condition of dead letters that do not name their original topic.
pub(super) const NO_SOURCE: &str = "topic IS NOT NULL AND topic = source";
/// The condition of dead letters in a replay that may still send them. That includes a cancelled replay while its
/// worker has claimed them: until the worker has recorded what it sent, or its lease has expired.
pub(super) fn in_other_replay(now_ms: i64) -> String {
    format!("EXISTS (SELECT 1 {})", other_replays(now_ms))
}

/// `COALESCE` keeps both databases from using the index on the state: they would read all waiting dead letters for each.
fn other_replays(now_ms: i64) -> String {
    format!(
        "FROM job_letters taken JOIN jobs ON jobs.id = taken.job \
         WHERE taken.letter = letters.id AND COALESCE(taken.state, '') = 'waiting' \
         AND (jobs.state IN ({MAY_SEND}) \
         OR ((taken.position <= jobs.claimed OR taken.claim = jobs.worker) AND jobs.worker_until >= {now_ms}))"
    )
}

/// Ids in chunks for one statement each; a single chunk without a restriction.
fn id_chunks(ids: Option<&[String]>) -> Vec<Option<&[String]>> {
    ids.map_or_else(|| vec![None], |ids| ids.chunks(MAX_IDS).map(Some).collect())
}

/// Dead letters of one topic and consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The original topic of the messages.
    pub topic: String,
    /// The consumer group in which they failed; empty if the records do not name one.
    pub group: String,
    /// Number of dead letters.
    pub dead_letters: u64,
}

impl Source {
    /// Numbers of dead letters by topic and group.
    pub(super) fn all(numbers: BTreeMap<(String, String), u64>) -> Vec<Self> {
        let source = |((topic, group), dead_letters)| Self { topic, group, dead_letters };
        numbers.into_iter().map(source).collect()
    }
}

/// The conditions of dead letters that a replay would send.
pub(super) struct Sendable {
    /// The conditions, for a statement each.
    pub clauses: Vec<WhereClause>,
    /// Whether ids select them.
    pub by_id: bool,
}

impl Desk {
    /// The dead letters that a replay with this filter and plan would send, restricted to `ids` if given.
    pub(super) async fn sendable(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &ReplayPlan,
    ) -> sqlx::Result<Sendable> {
        let mut all = Sendable { clauses: Vec::new(), by_id: ids.is_some() };
        if filter.state.is_some_and(|state| state != DeadLetterState::Open) {
            return Ok(all);
        }
        let active_ms = self.active_at(clock::now_ms()).await?;
        for chunk in id_chunks(ids) {
            let mut clause = WhereClause::default();
            sendable(&mut clause, &self.store, filter, chunk, plan, active_ms);
            all.clauses.push(clause);
        }
        Ok(all)
    }

    /// Topics and groups of these dead letters.
    pub(super) async fn sources(&self, sendable: &Sendable) -> sqlx::Result<Vec<Source>> {
        let mut all = BTreeMap::new();
        for clause in &sendable.clauses {
            let sql = format!(
                "SELECT source, consumer_group, COUNT(*) AS count FROM letters {} GROUP BY source, consumer_group",
                clause.sql()
            );
            let counted = |row: &AnyRow| Ok(((row.try_get(0)?, row.try_get(1)?), sql::count(row, "count")?));
            for (source, count) in sql::fetch(&self.pool, sql, clause, counted).await? {
                *all.entry(source).or_default() += count;
            }
        }
        Ok(Source::all(all))
    }
}

/// Adds the conditions of dead letters that a replay sends. `active_ms` is the time if other replays may still send any, as
/// [`Desk::active_at`] has it: the condition takes a while for each dead letter.
pub(super) fn sendable(
    clause: &mut WhereClause,
    store: &Store,
    filter: &Filter,
    ids: Option<&[String]>,
    plan: &ReplayPlan,
    active_ms: Option<i64>,
) {
    clause.filter(&Filter { state: None, ..filter.clone() });
    let open = clause.bind(DeadLetterState::Open.as_str());
    match ids {
        Some(ids) => {
            sql::has_id(clause, store, ids);
            // Not with an index on the state.
            clause.add(format!("COALESCE(state, '') = {open}"));
            // PostgreSQL would make a join of EXISTS, and read the items of all replays for a few ids.
            if let Some(now_ms) = active_ms {
                clause.add(format!("(SELECT COUNT(*) {}) = 0", other_replays(now_ms)));
            }
        }
        None => {
            clause.add(format!("state = {open}"));
            if let Some(now_ms) = active_ms {
                clause.add(format!("NOT {}", in_other_replay(now_ms)));
            }
        }
    }
    let max = clause.bind(i64::from(plan.max_replays));
    clause.add(format!("replays < {max} AND NOT ({VALUE_CUT}) AND NOT ({NO_SOURCE})"));
}

fn replay(row: &AnyRow) -> sqlx::Result<Replay> {
    let state: String = row.try_get("state")?;
    let state = ReplayState::ALL.into_iter().find(|known| known.as_str() == state);
    let filter: String = row.try_get("filter")?;
    Ok(Replay {
        id: row.try_get("id")?,
        created_ms: row.try_get("created")?,
        state: state.ok_or_else(|| sql::decode_error("state", "unknown state"))?,
        state_since_ms: row.try_get("state_since")?,
        state_reason: row.try_get("why")?,
        actor: row.try_get("who")?,
        reason: row.try_get("reason")?,
        filter: serde_json::from_str(&filter).map_err(|error| sql::decode_error("filter", error))?,
        plan: plan(row)?,
        dead_letters: sql::count(row, "letters")?,
        stepped: sql::count(row, "stepped")?,
        steps: sql::count(row, "steps")?,
        waiting: sql::count(row, "waiting")?,
        sent: sql::count(row, "sent")?,
        done: sql::count(row, "done")?,
        failed: sql::count(row, "failed")?,
        unknown: sql::count(row, "unknown")?,
        skipped: sql::count(row, "gone")?,
    })
}

fn plan(row: &AnyRow) -> sqlx::Result<ReplayPlan> {
    let (target, ramp): (String, String) = (row.try_get("target")?, row.try_get("ramp")?);
    let is_retry = target == ReplayTarget::Retry.as_str();
    Ok(ReplayPlan {
        target: if is_retry { ReplayTarget::Retry } else { ReplayTarget::Source },
        rate: row.try_get("rate")?,
        ramp: ramp.split(',').filter_map(|size| size.parse().ok()).collect(),
        limit_percent: sql::narrow(row, "limit_percent")?,
        max_replays: sql::narrow(row, "most_replays")?,
    })
}
