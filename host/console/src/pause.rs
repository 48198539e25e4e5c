//! `/pause` and `/resume`: a plugin.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::form::{QueryParams, Refusal, Submitted, Undoes};
use super::page::{self, ErrorPage, PageContext};
use server::{DeskState, api};

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
    Undoes(resumes): Undoes,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    let plugin = query.get("plugin").unwrap_or_default().to_owned();
    if state.pauses.gate(&plugin).is_none() {
        return Err(ctx.not_found());
    }
    Ok(show(ctx, resumes, PauseForm { plugin, ..PauseForm::default() }, None))
}

fn show(ctx: PageContext, resumes: bool, form: PauseForm, refused: Option<Refusal>) -> Response {
    let page = PausePage { ctx, is_pause: !resumes, form, refused };
    page::render_form(&page, page.refused.as_ref())
}

/// Pauses or resumes a plugin.
pub async fn submit(
    state: DeskState,
    Undoes(resumes): Undoes,
    Submitted { ctx, form }: Submitted<PauseForm>,
) -> Result<Response, ErrorPage> {
    if !resumes && form.reason.trim().is_empty() {
        let refused = Refusal::input(ctx.texts.reason_required);
        return Ok(show(ctx, resumes, form, Some(refused)));
    }
    let actor = ctx.actor(&form.reason)?;
    let changed = match resumes {
        false => state.pauses.pause(&form.plugin, actor).await,
        true => state.pauses.resume(&form.plugin, actor).await,
    };
    changed.map_err(|error| ctx.problem(api::pause_refused(&form.plugin, error)))?;
    Ok(Redirect::to("/#plugins").into_response())
}
