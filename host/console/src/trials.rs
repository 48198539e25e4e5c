//! `/try` and `/trials`

use askama::Template;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::{Multipart, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk_api::{DeadLetterState, Filter, Trial, TrialResult, TrialState, TrialVerdict};
use sandbox::capture;
use serde_json::Value;

use super::form::{self, QueryParams, Refusal, Submitted, query_string};
use super::format;
use super::page::{self, ErrorPage, PageContext};
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
    refused: Option<Refusal>,
}

/// The form that starts a trial.
pub async fn form(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    if let Some(back) = query.nothing_ticked() {
        return Ok(back);
    }
    let filter = query.filter(&ctx)?;
    start_page(&state, ctx, &filter, None).await
}

async fn start_page(
    state: &DeskState,
    ctx: PageContext,
    filter: &Filter,
    refused: Option<Refusal>,
) -> Result<Response, ErrorPage> {
    let filter = Filter { state: None, ..filter.clone() };
    let open = Filter { state: Some(DeadLetterState::Open), ..filter.clone() };
    let dead_letters = state.desk.count(&open).await.map_err(|error| ctx.store_unavailable(error))?;
    let page = StartPage { ctx, query: query_string(&filter), dead_letters, refused };
    Ok(page::render_form(&page, page.refused.as_ref()))
}

/// Starts a trial of the uploaded build.
pub async fn start(state: DeskState, ctx: PageContext, mut upload: Multipart) -> Result<Response, ErrorPage> {
    let failed = |error: MultipartError| ctx.error(error.status(), &error.body_text());
    let (mut query, mut build, mut has_csrf) = (String::new(), Bytes::new(), false);
    while let Some(field) = upload.next_field().await.map_err(failed)? {
        match field.name() {
            Some("csrf") => has_csrf = ctx.session.is_csrf(&field.text().await.map_err(failed)?),
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
        Err(error) => start_page(&state, ctx, &filter, Some(api::trial_refused(error).into())).await,
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

/// Cancels a trial.
pub async fn cancel(
    state: DeskState,
    Path(id): Path<String>,
    Submitted { ctx, form: () }: Submitted<()>,
) -> Result<Response, ErrorPage> {
    let trial = state.trials.cancel(&id).ok_or_else(|| ctx.not_found())?;
    Ok(Redirect::to(&format!("/trials/{}", trial.id)).into_response())
}
