//! Replays as jobs: what is to be sent back, how fast, and how far that has come. `desk::replay` does the
//! work.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};
use utoipa::ToSchema;

use crate::actions::{By, To, write_as};
use crate::filter::{self, Filter, Where};
use crate::letter::State;
use crate::letters::small;
use crate::page::{At, Cursor, Page};
use crate::{Desk, new_id, random_id};

/// How many ids one statement names.
const IDS: usize = 1000;

/// Where letters are sent back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The topic their message was first published to: every group that reads it gets them.
    #[default]
    Source,
    /// The first retry topic of the group they failed in: this group alone gets them.
    Retry,
}

impl Target {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Retry => "retry",
        }
    }
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Letters are sent.
    Running,
    /// Somebody paused it.
    Paused,
    /// Too many of a step failed; it can be resumed.
    Stopped,
    /// Somebody ended it; what was not sent is as it was.
    Cancelled,
    /// Everything was sent and has its outcome.
    Done,
}

impl JobState {
    const ALL: [Self; 5] = [Self::Running, Self::Paused, Self::Stopped, Self::Cancelled, Self::Done];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }
}

/// How letters are sent back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Where to.
    pub target: Target,
    /// Letters a second, more than 0; None without a limit.
    pub rate: Option<f64>,
    /// How many letters the first steps have; the last size goes on. Empty: all in one step.
    pub ramp: Vec<u32>,
    /// The share of failures, in per cent of a step, above which the job stops; 0 to 100.
    pub limit_percent: u8,
    /// How often a message may have been replayed before; a letter that was replayed more often is left out.
    pub most_replays: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self { target: Target::Source, rate: None, ramp: Vec::new(), limit_percent: 50, most_replays: 10 }
    }
}

impl Plan {
    /// The steps of a careful replay.
    pub const RAMP: [u32; 7] = [1, 2, 5, 20, 100, 500, 2000];

    /// # Errors
    /// What is not possible.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self { rate: Some(rate), .. } if !(*rate > 0.0 && *rate <= 1e6) => {
                Err("rate: more than 0 and at most 1,000,000 letters a second".to_owned())
            }
            Self { ramp, .. } if ramp.contains(&0) || ramp.len() > 100 => {
                Err("ramp: at most 100 sizes, each 1 or more".to_owned())
            }
            Self { limit_percent: 101.., .. } => Err("limit_percent: 0 to 100".to_owned()),
            _ => Ok(()),
        }
    }

    /// How many letters the step with this number has, from 0.
    pub fn step(&self, number: u64) -> u64 {
        let index = usize::try_from(number).unwrap_or(usize::MAX).min(self.ramp.len().saturating_sub(1));
        self.ramp.get(index).map_or(u64::MAX, |size| u64::from(*size))
    }
}

/// A replay. Moments are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// 32 hexadecimal digits.
    pub id: String,
    /// When it was made.
    pub created_ms: i64,
    /// How it stands.
    pub state: JobState,
    /// Since when.
    pub state_since_ms: i64,
    /// Why it was stopped, or what it waits for; or empty.
    pub why: String,
    /// Who made it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Which letters were asked for.
    pub filter: Filter,
    /// How they are sent.
    pub plan: Plan,
    /// How many letters it has.
    pub letters: u64,
    /// How many of them belong to steps that have ended.
    pub stepped: u64,
    /// How many steps have ended.
    pub steps: u64,
    /// How many were not sent yet.
    pub waiting: u64,
    /// Sent, without an outcome yet.
    pub sent: u64,
    /// Finished on their first try.
    pub done: u64,
    /// Failed on their first try.
    pub failed: u64,
    /// Finished, nobody knows how.
    pub unknown: u64,
    /// Not sent: no longer open when their turn came, or there is nowhere to send them.
    pub gone: u64,
}

/// Why a job could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is none with this id.
    #[error("no job has this id")]
    Unknown,
    /// It stands otherwise.
    #[error("the job is {}", .0.as_str())]
    Is(JobState),
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Store(#[from] sqlx::Error),
}

/// The columns of a job, with what its letters are counted to.
const SELECT: &str = "SELECT j.*, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'waiting') AS waiting, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'sent') AS sent, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'done') AS done, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'failed') AS failed, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'unknown') AS unknown, \
    (SELECT COUNT(*) FROM job_letters l WHERE l.job = j.id AND l.state = 'gone') AS gone \
    FROM jobs j";

impl Desk {
    /// Makes a job of the open letters among these that can be sent, oldest first; their ids are frozen by
    /// that. None where there are none. What is left out [`replay::Replayer::check`](super::replay::Replayer::check) tells.
    ///
    /// # Errors
    /// The store does not answer; then there is no job.
    pub async fn start_job(&self, filter: &Filter, plan: &Plan, by: By<'_>) -> sqlx::Result<Option<Job>> {
        self.start_job_with(filter, None, plan, by).await
    }

    /// Likewise, of those with these ids alone, in their order.
    ///
    /// # Errors
    /// The store does not answer; then there is no job.
    pub async fn start_job_with(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &Plan,
        by: By<'_>,
    ) -> sqlx::Result<Option<Job>> {
        if filter.state.is_some_and(|state| state != State::Open) {
            return Ok(None);
        }
        let id = random_id();
        let mut transaction = self.begin().await?;
        // One at a time: no letter is in two jobs that may still send it.
        sqlx::query("UPDATE stores SET id = id").execute(&mut *transaction).await?;
        let mut letters = 0;
        for some in pieces(ids) {
            letters += freeze(&mut transaction, &id, letters, filter, some, plan).await?;
        }
        if letters == 0 {
            return Ok(None);
        }
        let ramp: Vec<String> = plan.ramp.iter().map(ToString::to_string).collect();
        let text = serde_json::to_string(filter).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(
            "INSERT INTO jobs (id, created, state, state_since, why, who, reason, filter, target, rate, ramp, \
             limit_percent, most_replays, letters, stepped, steps) \
             VALUES ($1, $2, 'running', $2, '', $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0)",
        )
        .bind(&id)
        .bind(by.now_ms)
        .bind(super::letter::readable(by.who))
        .bind(super::letter::readable(by.reason))
        .bind(text)
        .bind(plan.target.as_str())
        .bind(plan.rate)
        .bind(ramp.join(","))
        .bind(i64::from(plan.limit_percent))
        .bind(i64::from(plan.most_replays))
        .bind(letters.cast_signed())
        .execute(&mut *transaction)
        .await?;
        let to = To { job: Some(&id), filter: Some(filter), letters, ..To::default() };
        write_as(&mut transaction, &new_id(), "replay", by, to).await?;
        transaction.commit().await?;
        self.job(&id).await
    }

    /// The job with this id, or the only one whose id begins so.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn job(&self, id: &str) -> sqlx::Result<Option<Job>> {
        let mut with = Where::default();
        let condition = with.begins("j.id", &id.to_ascii_lowercase());
        let sql = format!("{SELECT} WHERE {condition} LIMIT 2");
        let mut jobs: Vec<Job> = filter::rows(sql, &with).fetch_all(&self.pool).await?;
        Ok(if jobs.len() == 1 { jobs.pop() } else { None })
    }

    /// Some of the jobs, newest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn jobs(&self, at: &At, limit: usize) -> sqlx::Result<Page<Job>> {
        let mut with = Where::default();
        let order = with.at(at, "j.created", "j.id");
        let sql = format!("{SELECT} {} {order} LIMIT {}", with.sql(), limit.saturating_add(1));
        let rows = filter::rows(sql, &with).fetch_all(&self.pool).await?;
        Ok(Page::of(rows, at, limit, |job: &Job| Cursor { moment: job.created_ms, id: job.id.clone() }))
    }

    /// Sends nothing more of a running job until it is resumed.
    ///
    /// # Errors
    /// There is no such job, or it does not run.
    pub async fn pause_job(&self, id: &str, by: By<'_>) -> Result<Job, JobError> {
        self.turn_job(id, &[JobState::Running], JobState::Paused, "pause", by).await
    }

    /// Goes on with a job that was paused or stopped.
    ///
    /// # Errors
    /// There is no such job, or it stands otherwise.
    pub async fn resume_job(&self, id: &str, by: By<'_>) -> Result<Job, JobError> {
        self.turn_job(id, &[JobState::Paused, JobState::Stopped], JobState::Running, "resume", by).await
    }

    /// Ends a job: what was not sent stays open.
    ///
    /// # Errors
    /// There is no such job, or it has ended.
    pub async fn cancel_job(&self, id: &str, by: By<'_>) -> Result<Job, JobError> {
        let from = [JobState::Running, JobState::Paused, JobState::Stopped];
        self.turn_job(id, &from, JobState::Cancelled, "cancel", by).await
    }

    async fn turn_job(
        &self,
        id: &str,
        from: &[JobState],
        to: JobState,
        what: &str,
        by: By<'_>,
    ) -> Result<Job, JobError> {
        let job = self.job(id).await?.ok_or(JobError::Unknown)?;
        let mut with = Where::default();
        let (state, since) = (with.next(to.as_str()), with.next(by.now_ms));
        with.is("id", job.id.as_str());
        let from: Vec<String> = from.iter().map(|state| with.next(state.as_str())).collect();
        with.must(format!("state IN ({})", from.join(", ")));
        let sql = format!("UPDATE jobs SET state = {state}, state_since = {since}, why = '' {}", with.sql());
        let mut transaction = self.begin().await?;
        if filter::query(sql, &with).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Err(JobError::Is(job.state));
        }
        let done_to = To { job: Some(&job.id), ..To::default() };
        write_as(&mut transaction, &new_id(), what, by, done_to).await?;
        transaction.commit().await?;
        self.job(&job.id).await?.ok_or(JobError::Unknown)
    }
}

/// Makes letters those of a job, behind the `before` that it has; returns how many they are.
async fn freeze(
    connection: &mut AnyConnection,
    job: &str,
    before: u64,
    filter: &Filter,
    ids: Option<&[String]>,
    plan: &Plan,
) -> sqlx::Result<u64> {
    let mut with = Where::default();
    let job = with.next(job);
    sendable(&mut with, filter, ids, plan);
    let sql = format!(
        "INSERT INTO job_letters (job, position, letter, state) \
         SELECT {job}, {before} + ROW_NUMBER() OVER (ORDER BY failed, id), id, 'waiting' FROM letters {}",
        with.sql()
    );
    Ok(filter::query(sql, &with).execute(connection).await?.rows_affected())
}

/// Letters whose value was cut out.
pub(super) const CUT: &str = "value_cut IS NOT NULL";
/// Letters that do not say where they come from.
pub(super) const STRAY: &str = "topic IS NOT NULL AND topic = source";
/// Letters that a job has which may still send them.
pub(super) const TAKEN: &str = "EXISTS (SELECT 1 FROM job_letters taken JOIN jobs ON jobs.id = taken.job \
    WHERE taken.letter = letters.id AND taken.state = 'waiting' \
    AND jobs.state IN ('running', 'paused', 'stopped'))";

/// Ids in pieces that a statement takes; all letters are one.
pub(super) fn pieces(ids: Option<&[String]>) -> Vec<Option<&[String]>> {
    ids.map_or_else(|| vec![None], |ids| ids.chunks(IDS).map(Some).collect())
}

/// The condition of letters that a job takes: of those with these ids alone, where there are some.
pub(super) fn sendable(with: &mut Where, filter: &Filter, ids: Option<&[String]>, plan: &Plan) {
    if let Some(ids) = ids {
        let ids: Vec<String> = ids.iter().map(|id| with.next(id.as_str())).collect();
        with.must(format!("id IN ({})", ids.join(", ")));
    }
    with.and(&Filter { state: Some(State::Open), ..filter.clone() });
    let most = with.next(i64::from(plan.most_replays));
    with.must(format!("replays < {most} AND NOT ({CUT}) AND NOT ({STRAY}) AND NOT {TAKEN}"));
}

impl<'r> FromRow<'r, AnyRow> for Job {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let count = |column| small::<i64>(row, column).map(i64::unsigned_abs);
        let state: String = row.try_get("state")?;
        let filter: String = row.try_get("filter")?;
        let (target, ramp): (String, String) = (row.try_get("target")?, row.try_get("ramp")?);
        Ok(Self {
            id: row.try_get("id")?,
            created_ms: row.try_get("created")?,
            state: JobState::ALL
                .into_iter()
                .find(|known| known.as_str() == state)
                .ok_or_else(|| sqlx::Error::Decode(format!("{state} is no state of a job").into()))?,
            state_since_ms: row.try_get("state_since")?,
            why: row.try_get("why")?,
            who: row.try_get("who")?,
            reason: row.try_get("reason")?,
            filter: serde_json::from_str(&filter).map_err(|error| sqlx::Error::Decode(error.into()))?,
            plan: Plan {
                target: if target == Target::Retry.as_str() { Target::Retry } else { Target::Source },
                rate: row.try_get("rate")?,
                ramp: ramp.split(',').filter_map(|size| size.parse().ok()).collect(),
                limit_percent: small(row, "limit_percent")?,
                most_replays: small(row, "most_replays")?,
            },
            letters: count("letters")?,
            stepped: count("stepped")?,
            steps: count("steps")?,
            waiting: count("waiting")?,
            sent: count("sent")?,
            done: count("done")?,
            failed: count("failed")?,
            unknown: count("unknown")?,
            gone: count("gone")?,
        })
    }
}
