//! `/jobs`: replays, and how one of them goes on.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk::filter::is_id;
use desk::jobs::{Job, JobError, JobState};
use desk::{Filter, State};
use serde::Deserialize;

use super::form::{self, Asked};
use super::page::{self, Links, Open, Shell, Trouble};
use super::session::Session;
use super::words::Words;

const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "console/jobs.html")]
struct List {
    shell: Shell,
    jobs: Vec<Job>,
    links: Links,
}

/// All of them, newest first.
pub async fn list(Open(office): Open, shell: Shell, asked: Asked) -> Result<Response, Trouble> {
    let at = asked.at(&shell)?;
    let jobs = office.desk.jobs(&at, PAGE).await.map_err(|error| shell.away(error))?;
    let links = Links::of("/jobs", "", &jobs);
    Ok(page::answer(&List { shell, jobs: jobs.items, links }))
}

#[derive(Template)]
#[template(path = "console/job.html")]
struct One {
    shell: Shell,
    job: Job,
    /// What of its letters is open still, as in an address.
    open: String,
    parts: Vec<Part>,
}

/// A part of the bar that shows how far it has come.
struct Part {
    class: &'static str,
    name: &'static str,
    letters: u64,
    /// Where it begins and how wide it is, in thousandths.
    x: u64,
    width: u64,
}

/// One replay.
pub async fn show(Open(office): Open, shell: Shell, Path(id): Path<String>) -> Result<Response, Trouble> {
    let job = if is_id(&id) { office.desk.job(&id).await } else { Ok(None) };
    let job = job.map_err(|error| shell.away(error))?.ok_or_else(|| shell.nothing())?;
    let open = form::written(&Filter { state: Some(State::Open), ..job.filter.clone() });
    let parts = parts(&job, shell.words);
    Ok(page::answer(&One { shell, job, open, parts }))
}

fn parts(job: &Job, words: &'static Words) -> Vec<Part> {
    let all = [
        ("done", words.done, job.done),
        ("failed", words.failed, job.failed),
        ("unknown", words.unknown, job.unknown),
        ("gone", words.gone, job.gone),
        ("sent", words.under_way, job.sent),
        ("waiting", words.waiting, job.waiting),
    ];
    let mut before = 0;
    let part = |(class, name, letters): (_, _, u64)| {
        let thousandths = |letters: u64| letters * 1000 / job.letters.max(1);
        let x = thousandths(before);
        before += letters;
        Part { class, name, letters, x, width: thousandths(before) - x }
    };
    all.into_iter().map(part).collect()
}

impl Shell {
    /// What a job's state is called.
    pub fn job_state(&self, state: &JobState) -> &'static str {
        match state {
            JobState::Running => self.words.running,
            JobState::Paused => self.words.paused,
            JobState::Stopped => self.words.stopped,
            JobState::Cancelled => self.words.cancelled,
            JobState::Done => self.words.ended,
        }
    }
}

/// What is to become of a job.
#[derive(Deserialize)]
pub struct Turn {
    csrf: String,
    /// `pause`, `resume` or `cancel`.
    what: String,
}

/// Pauses a job, goes on with it, or ends it.
pub async fn turn(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Form(turn): Form<Turn>,
) -> Result<Response, Trouble> {
    shell.check(&session, &turn.csrf)?;
    if !is_id(&id) {
        return Err(shell.nothing());
    }
    let by = shell.because("")?;
    let job = match &turn.what[..] {
        "pause" => office.desk.pause_job(&id, by).await,
        "resume" => office.desk.resume_job(&id, by).await,
        "cancel" => office.desk.cancel_job(&id, by).await,
        _ => return Err(shell.nothing()),
    };
    office.replayer.wake();
    match job {
        Ok(job) => Ok(Redirect::to(&format!("/jobs/{}", job.id)).into_response()),
        Err(JobError::Unknown) => Err(shell.nothing()),
        Err(error @ JobError::Is(_)) => Err(shell.trouble(StatusCode::CONFLICT, &error.to_string())),
        Err(JobError::Store(error)) => Err(shell.away(error)),
    }
}
