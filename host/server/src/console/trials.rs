//! `/try` and `/trials`: a build is given letters before it is deployed.

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Form, Multipart, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk::trial::{Trial, TrialState, Tried};
use desk::{Filter, State};
use sandbox::capture::Captured;
use serde::Deserialize;

use super::form::{self, Asked};
use super::page::{self, Open, Shell, Trouble};
use super::session::Session;
use super::shown;
use crate::{Office, api};

/// How many letters of each kind are shown whole.
const EXAMPLES: usize = 3;

#[derive(Template)]
#[template(path = "console/try.html")]
struct Try {
    shell: Shell,
    which: String,
    letters: u64,
    wrong: String,
}

/// The form.
pub async fn form(Open(office): Open, shell: Shell, asked: Asked) -> Result<Response, Trouble> {
    let filter = asked.filter(&shell)?;
    ask(&office, shell, &filter, String::new()).await
}

async fn ask(office: &Office, shell: Shell, filter: &Filter, wrong: String) -> Result<Response, Trouble> {
    let filter = Filter { state: None, ..filter.clone() };
    let open = Filter { state: Some(State::Open), ..filter.clone() };
    let letters = office.desk.count(&open).await.map_err(|error| shell.away(error))?;
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = Try { which: form::written(&filter), shell, letters, wrong: shown::block(wrong.as_bytes()) };
    Ok((status, page::answer(&page)).into_response())
}

/// Gives letters to the build that was sent.
pub async fn start(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    mut sent: Multipart,
) -> Result<Response, Trouble> {
    let broken =
        |error: axum::extract::multipart::MultipartError| shell.trouble(error.status(), &error.body_text());
    let (mut which, mut build, mut is_ours) = (String::new(), Bytes::new(), false);
    while let Some(field) = sent.next_field().await.map_err(broken)? {
        match field.name() {
            Some("csrf") => is_ours = session.sent(&field.text().await.map_err(broken)?),
            Some("which") => which = field.text().await.map_err(broken)?,
            // The form's own field comes before its file.
            Some("build") if is_ours => build = field.bytes().await.map_err(broken)?,
            _ => {}
        }
    }
    if !is_ours {
        return Err(shell.trouble(StatusCode::FORBIDDEN, shell.words.form_expired));
    }
    let filter = form::which(&which, &shell)?;
    let begun = office.trials.start(build, &filter, shell.because("")?).await;
    match begun {
        Ok(trial) => Ok(Redirect::to(&format!("/trials/{}", trial.id)).into_response()),
        Err(error) => {
            let wrong = api::refused(error).detail().to_owned();
            ask(&office, shell, &filter, wrong).await
        }
    }
}

#[derive(Template)]
#[template(path = "console/trials.html")]
struct List {
    shell: Shell,
    trials: Vec<Trial>,
}

/// The last few.
pub async fn list(Open(office): Open, shell: Shell) -> Response {
    page::answer(&List { trials: office.trials.list(), shell })
}

#[derive(Template)]
#[template(path = "console/trial.html")]
struct One {
    shell: Shell,
    trial: Trial,
    fails: u64,
    examples: Vec<Example>,
}

/// A letter, and what the build would have done with it.
struct Example {
    tried: Tried,
    effects: Vec<String>,
}

/// One trial.
pub async fn show(Open(office): Open, shell: Shell, Path(id): Path<String>) -> Result<Response, Trouble> {
    let trial = office.trials.get(&id).ok_or_else(|| shell.nothing())?;
    let some = |passes| office.trials.tried(&trial.id, Some(passes), 0, EXAMPLES).unwrap_or_default();
    let examples = some(false).into_iter().chain(some(true)).map(|tried| {
        let lines = |effect: &Captured| shown::block(effect.lines().join("\n").as_bytes());
        Example { effects: tried.effects.iter().map(lines).collect(), tried }
    });
    let fails = trial.tried - trial.pass - trial.skipped;
    Ok(page::answer(&One { examples: examples.collect(), fails, trial, shell }))
}

impl Shell {
    /// What a trial's state is called.
    pub fn trial_state(&self, state: &TrialState) -> &'static str {
        match state {
            TrialState::Running => self.words.running,
            TrialState::Done => self.words.ended,
            TrialState::Cancelled => self.words.cancelled,
            TrialState::Failed => self.words.trial_failed,
        }
    }
}

/// The form that ends one.
#[derive(Deserialize)]
pub struct End {
    csrf: String,
}

/// Ends a trial.
pub async fn cancel(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Form(end): Form<End>,
) -> Result<Response, Trouble> {
    shell.check(&session, &end.csrf)?;
    let trial = office.trials.cancel(&id).ok_or_else(|| shell.nothing())?;
    Ok(Redirect::to(&format!("/trials/{}", trial.id)).into_response())
}
