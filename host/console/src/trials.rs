//! `/try` and `/trials`

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{Form, Multipart, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk_api::{DeadLetterState, Filter, Trial, TrialResult, TrialState, TrialVerdict};
use sandbox::capture;
use serde::Deserialize;
use serde_json::Value;

use super::form::{self, QueryParams, query_string};
use super::format;
use super::page::{self, ErrorPage, PageContext};
use super::session::Session;
use server::{DeskState, api};

/// Results listed per outcome.
const MAX_EXAMPLES: usize = 3;

#[derive(Template)]
#[template(path = "console/start_trial.html")]
struct StartPage {
    ctx: PageContext,
    /// The filter as a query string.
    query: String,
    dead_letters: u64,
    error: String,
}

/// The form that starts a trial.
pub async fn form(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    if let Some(back) = query.nothing_ticked() {
        return Ok(back);
    }
    let filter = query.filter(&ctx)?;
    start_page(&state, ctx, &filter, "").await
}

async fn start_page(
    state: &DeskState,
    ctx: PageContext,
    filter: &Filter,
    error: &str,
) -> Result<Response, ErrorPage> {
    let filter = Filter { state: None, ..filter.clone() };
    let open = Filter { state: Some(DeadLetterState::Open), ..filter.clone() };
    let dead_letters = state.desk.count(&open).await.map_err(|error| ctx.store_unavailable(error))?;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (query, error) = (query_string(&filter), format::block(error.as_bytes()));
    Ok((status, page::render(&StartPage { ctx, query, dead_letters, error })).into_response())
}

/// Starts a trial of the uploaded build.
pub async fn start(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    mut upload: Multipart,
) -> Result<Response, ErrorPage> {
    let failed = |error: MultipartError| ctx.error(error.status(), &error.body_text());
    let (mut query, mut build, mut has_csrf) = (String::new(), Bytes::new(), false);
    while let Some(field) = upload.next_field().await.map_err(failed)? {
        match field.name() {
            Some("csrf") => has_csrf = session.is_csrf(&field.text().await.map_err(failed)?),
            Some("query") => query = field.text().await.map_err(failed)?,
            // The form sends its token before the file.
            Some("build") if has_csrf => build = field.bytes().await.map_err(failed)?,
            _ => {}
        }
    }
    if !has_csrf {
        return Err(ctx.error(StatusCode::FORBIDDEN, ctx.texts.form_expired));
    }
    let filter = form::parse_filter(&query, &ctx)?;
    match state.trials.start(build, &filter, ctx.actor("")?).await {
        Ok(trial) => Ok(Redirect::to(&format!("/trials/{}", trial.id)).into_response()),
        Err(error) => start_page(&state, ctx, &filter, api::trial_refused(error).detail()).await,
    }
}

#[derive(Template)]
#[template(path = "console/trials.html")]
struct ListPage {
    ctx: PageContext,
    trials: Vec<Trial>,
}

/// The last trials.
pub async fn list(state: DeskState, ctx: PageContext) -> Response {
    page::render(&ListPage { trials: state.trials.list(), ctx })
}

#[derive(Template)]
#[template(path = "console/trial.html")]
struct TrialPage {
    ctx: PageContext,
    trial: Trial,
    examples: Vec<Example>,
}

/// The result for a dead letter, with its effects as text.
struct Example {
    result: TrialResult,
    effects: Vec<String>,
}

/// One trial.
pub async fn show(state: DeskState, ctx: PageContext, Path(id): Path<String>) -> Result<Response, ErrorPage> {
    let trial = state.trials.get(&id).ok_or_else(|| ctx.not_found())?;
    let verdicts = [TrialVerdict::Failed, TrialVerdict::Undecided, TrialVerdict::Passed];
    let results =
        |verdict| state.trials.results(&trial.id, Some(verdict), 0, MAX_EXAMPLES).unwrap_or_default();
    let examples = verdicts.into_iter().flat_map(results).map(|result| {
        let effects = result.effects.iter().map(effect).collect();
        Example { result, effects }
    });
    Ok(page::render(&TrialPage { examples: examples.collect(), trial, ctx }))
}

/// A captured effect as text.
fn effect(effect: &Value) -> String {
    format::block(capture::lines(effect).join("\n").as_bytes())
}

impl PageContext {
    /// The name of a trial's state.
    pub fn trial_state(&self, state: &TrialState) -> &'static str {
        match state {
            TrialState::Running => self.texts.running,
            TrialState::Done => self.texts.completed,
            TrialState::Cancelled => self.texts.cancelled,
            TrialState::Failed => self.texts.aborted,
        }
    }
}

/// The form that cancels a trial.
#[derive(Deserialize)]
pub struct CancelForm {
    csrf: String,
}

/// Cancels a trial.
pub async fn cancel(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Form(form): Form<CancelForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &form.csrf)?;
    let trial = state.trials.cancel(&id).ok_or_else(|| ctx.not_found())?;
    Ok(Redirect::to(&format!("/trials/{}", trial.id)).into_response())
}
