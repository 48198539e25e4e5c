//! `/pause` and `/resume`: a plugin.

use askama::Template;
use axum::Extension;
use axum::extract::Form;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::form::QueryParams;
use super::page::{self, ErrorPage, PageContext};
use super::session::Session;
use server::{DeskState, api};

#[derive(Template)]
#[template(path = "console/pause.html")]
struct PausePage {
    ctx: PageContext,
    /// Pause, or resume.
    is_pause: bool,
    plugin: String,
    error: &'static str,
}

/// The form that pauses.
pub async fn pause_form(
    state: DeskState,
    ctx: PageContext,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    form(&state, ctx, query.get("plugin").unwrap_or_default(), true, "")
}

/// The form that resumes.
pub async fn resume_form(
    state: DeskState,
    ctx: PageContext,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    form(&state, ctx, query.get("plugin").unwrap_or_default(), false, "")
}

fn form(
    state: &DeskState,
    ctx: PageContext,
    plugin: &str,
    is_pause: bool,
    error: &'static str,
) -> Result<Response, ErrorPage> {
    if state.pauses.gate(plugin).is_none() {
        return Err(ctx.not_found());
    }
    Ok(page::render(&PausePage { ctx, is_pause, plugin: plugin.to_owned(), error }))
}

/// The fields of both forms.
#[derive(Deserialize)]
pub struct PauseForm {
    csrf: String,
    plugin: String,
    #[serde(default)]
    reason: String,
}

/// Pauses a plugin.
pub async fn pause(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Form(PauseForm { csrf, plugin, reason }): Form<PauseForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &csrf)?;
    if reason.trim().is_empty() {
        let error = ctx.texts.reason_required;
        return form(&state, ctx, &plugin, true, error);
    }
    let paused = state.pauses.pause(&plugin, ctx.actor(&reason)?).await;
    paused.map_err(|error| ctx.problem(api::pause_refused(&plugin, error)))?;
    Ok(Redirect::to("/#plugins").into_response())
}

/// Resumes a plugin.
pub async fn resume(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Form(PauseForm { csrf, plugin, reason }): Form<PauseForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &csrf)?;
    let resumed = state.pauses.resume(&plugin, ctx.actor(&reason)?).await;
    resumed.map_err(|error| ctx.problem(api::pause_refused(&plugin, error)))?;
    Ok(Redirect::to("/#plugins").into_response())
}
