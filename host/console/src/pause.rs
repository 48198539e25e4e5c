//! `/pause` and `/resume`: a plugin.

use std::convert::Infallible;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::Console;
use super::form::{QueryParams, Refusal, Submitted};
use super::page::{self, ErrorPage, PageContext};
use server::{DeskState, api};

/// What the form does, by the path of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Pause,
    Resume,
}

impl FromRequestParts<Console> for Change {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Infallible> {
        Ok(if parts.uri.path() == "/pause" { Self::Pause } else { Self::Resume })
    }
}

#[derive(Template)]
#[template(path = "console/pause.html")]
struct PausePage {
    ctx: PageContext,
    is_pause: bool,
    form: PauseForm,
    refused: Option<Refusal>,
}

/// The fields of the form.
#[derive(Default, Deserialize)]
pub struct PauseForm {
    plugin: String,
    #[serde(default)]
    reason: String,
}

/// The form.
pub async fn form(
    state: DeskState,
    ctx: PageContext,
    change: Change,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    let plugin = query.get("plugin").unwrap_or_default().to_owned();
    if state.pauses.gate(&plugin).is_none() {
        return Err(ctx.not_found());
    }
    Ok(show(ctx, change, PauseForm { plugin, ..PauseForm::default() }, None))
}

fn show(ctx: PageContext, change: Change, form: PauseForm, refused: Option<Refusal>) -> Response {
    let page = PausePage { ctx, is_pause: change == Change::Pause, form, refused };
    page::render_form(&page, page.refused.as_ref())
}

/// Pauses or resumes a plugin.
pub async fn submit(
    state: DeskState,
    change: Change,
    Submitted { ctx, form }: Submitted<PauseForm>,
) -> Result<Response, ErrorPage> {
    if change == Change::Pause && form.reason.trim().is_empty() {
        let refused = Refusal::input(ctx.texts.reason_required);
        return Ok(show(ctx, change, form, Some(refused)));
    }
    let actor = ctx.actor(&form.reason)?;
    let changed = match change {
        Change::Pause => state.pauses.pause(&form.plugin, actor).await,
        Change::Resume => state.pauses.resume(&form.plugin, actor).await,
    };
    changed.map_err(|error| ctx.problem(api::pause_refused(&form.plugin, error)))?;
    Ok(Redirect::to("/#plugins").into_response())
}
