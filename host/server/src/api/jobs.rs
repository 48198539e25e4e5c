//! `/jobs`: letters are sent back.

use axum::Json;
use axum::extract::RawQuery;
use axum::http::{HeaderName, StatusCode, header};
use desk::filter::is_id;
use desk::jobs::{Job, JobError, Plan};
use desk::replay::Check;
use desk::{Filter, Page};
use problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::{Paging, Query, bad};
use super::request::{Id, Open, Said, Who, some};
use super::{BASE, away, unknown};
use crate::Office;

/// Replays, newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", operation_id = "list_jobs", params(Paging),
    responses((status = OK, body = Page<Job>)))]
pub async fn list(Open(office): Open, RawQuery(query): RawQuery) -> Result<Json<Page<Job>>, Problem> {
    let (at, limit) = Query::page(query.as_deref())?;
    office.desk.jobs(&at, limit).await.map(Json).map_err(away)
}

/// One replay.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", operation_id = "show_job",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    responses((status = OK, body = Job)))]
pub async fn show(Open(office): Open, Id(id): Id, RawQuery(query): RawQuery) -> Result<Json<Job>, Problem> {
    Query::read(query.as_deref(), &[])?;
    let job = if is_id(&id) { office.desk.job(&id).await.map_err(away)? } else { None };
    job.map(Json).ok_or_else(|| unknown("job", &id))
}

/// Which letters are sent back, how, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Which; those of them that are open.
    #[serde(default)]
    filter: Filter,
    /// How.
    #[serde(default)]
    plan: Plan,
    /// Why.
    #[serde(default)]
    reason: String,
    /// Whether an empty filter means every letter.
    #[serde(default)]
    all: bool,
    /// A trial: its letters that pass, those of them that the filter has.
    #[serde(default)]
    trial: Option<String>,
}

impl Replay {
    fn check(&self) -> Result<(), Problem> {
        some(&self.filter, self.all || self.trial.is_some())?;
        self.plan.check().map_err(|why| bad(format!("plan: {why}")))
    }
}

impl Replay {
    /// The letters that a trial leaves, where one is named.
    fn ids(&self, office: &Office) -> Result<Option<Vec<String>>, Problem> {
        let ids = |trial: &String| office.trials.passing(trial).ok_or_else(|| unknown("trial", trial));
        self.trial.as_ref().map(ids).transpose()
    }
}

/// A replay that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Started {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// What should have been thought of before.
    pub warnings: Vec<String>,
}

/// What a replay would do, without doing it.
#[utoipa::path(post, path = "/jobs/preview", tag = "jobs", operation_id = "preview_job",
    request_body = Replay, responses((status = OK, body = Check)))]
pub async fn preview(Open(office): Open, Said(replay): Said<Replay>) -> Result<Json<Check>, Problem> {
    replay.check()?;
    look_ahead(&office, &replay).await.map(Json)
}

/// Sends letters back: freezes which, and begins.
#[utoipa::path(post, path = "/jobs", tag = "jobs", operation_id = "start_job",
    request_body = Replay, responses((status = CREATED, body = Started)))]
pub async fn start(
    Open(office): Open,
    who: Who,
    Said(replay): Said<Replay>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Started>), Problem> {
    replay.check()?;
    let by = who.because(&replay.reason)?;
    let warnings = look_ahead(&office, &replay).await?.warnings;
    let ids = replay.ids(&office)?;
    let job = office.desk.start_job_with(&replay.filter, ids.as_deref(), &replay.plan, by);
    let job = job.await.map_err(away)?;
    let job = job.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "none of these letters can be sent: they are not open, or were replayed too often",
        )
    })?;
    office.replayer.wake();
    let location = (header::LOCATION, format!("{BASE}/jobs/{}", job.id));
    Ok((StatusCode::CREATED, [location], Json(Started { job, warnings })))
}

/// Why a job is changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// Why.
    #[serde(default)]
    reason: String,
}

/// Sends nothing more until the job is resumed.
#[utoipa::path(post, path = "/jobs/{id}/pause", tag = "jobs", operation_id = "pause_job",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    request_body = Why, responses((status = OK, body = Job)))]
pub async fn pause(
    Open(office): Open,
    Id(id): Id,
    who: Who,
    Said(why): Said<Why>,
) -> Result<Json<Job>, Problem> {
    turned(&office, &id, office.desk.pause_job(checked(&id)?, who.because(&why.reason)?).await)
}

/// Goes on with a job that was paused or stopped.
#[utoipa::path(post, path = "/jobs/{id}/resume", tag = "jobs", operation_id = "resume_job",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    request_body = Why, responses((status = OK, body = Job)))]
pub async fn resume(
    Open(office): Open,
    Id(id): Id,
    who: Who,
    Said(why): Said<Why>,
) -> Result<Json<Job>, Problem> {
    turned(&office, &id, office.desk.resume_job(checked(&id)?, who.because(&why.reason)?).await)
}

/// Ends a job: what was not sent stays open.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", operation_id = "cancel_job",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    request_body = Why, responses((status = OK, body = Job)))]
pub async fn cancel(
    Open(office): Open,
    Id(id): Id,
    who: Who,
    Said(why): Said<Why>,
) -> Result<Json<Job>, Problem> {
    turned(&office, &id, office.desk.cancel_job(checked(&id)?, who.because(&why.reason)?).await)
}

fn checked(id: &str) -> Result<&str, Problem> {
    if is_id(id) { Ok(id) } else { Err(unknown("job", id)) }
}

fn turned(office: &Office, id: &str, job: Result<Job, JobError>) -> Result<Json<Job>, Problem> {
    office.replayer.wake();
    job.map(Json).map_err(|error| match error {
        JobError::Unknown => unknown("job", id),
        JobError::Is(state) => {
            Problem::new(StatusCode::CONFLICT, format!("the job is {} already", state.as_str()))
        }
        JobError::Store(error) => away(error),
    })
}

async fn look_ahead(office: &Office, replay: &Replay) -> Result<Check, Problem> {
    let ids = replay.ids(office)?;
    office.replayer.check(&replay.filter, ids.as_deref(), &replay.plan).await.map_err(|failure| match failure
        .code()
    {
        2 => bad(failure.to_string()),
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()),
    })
}
