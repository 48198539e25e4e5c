//! `/discard` and `/restore`

use askama::Template;
use axum::Extension;
use axum::extract::Form;
use axum::response::{IntoResponse, Redirect, Response};
use desk_api::{DeadLetterState, Filter};
use serde::Deserialize;

use super::form::{self, QueryParams, query_string};
use super::page::{self, ErrorPage, PageContext};
use super::session::Session;
use crate::DeskState;

#[derive(Template)]
#[template(path = "console/discard.html")]
struct ConfirmPage {
    ctx: PageContext,
    /// Discard, or restore.
    is_discard: bool,
    dead_letters: u64,
    /// The filter as a query string.
    query: String,
    is_unrestricted: bool,
    error: &'static str,
}

/// The form that discards.
pub async fn discard_form(
    state: DeskState,
    ctx: PageContext,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    let filter = query.filter(&ctx)?;
    confirm(&state, ctx, &filter, true, "").await
}

/// The form that restores.
pub async fn restore_form(
    state: DeskState,
    ctx: PageContext,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    let filter = query.filter(&ctx)?;
    confirm(&state, ctx, &filter, false, "").await
}

async fn confirm(
    state: &DeskState,
    ctx: PageContext,
    filter: &Filter,
    is_discard: bool,
    error: &'static str,
) -> Result<Response, ErrorPage> {
    let from = if is_discard { DeadLetterState::Open } else { DeadLetterState::Discarded };
    let filter = Filter { state: None, ..filter.clone() };
    let affected = Filter { state: Some(from), ..filter.clone() };
    let dead_letters = state.desk.count(&affected).await.map_err(|error| ctx.store_unavailable(error))?;
    let (query, is_unrestricted) = (query_string(&filter), filter.is_unrestricted());
    Ok(page::render(&ConfirmPage { ctx, is_discard, dead_letters, query, is_unrestricted, error }))
}

/// The fields of both forms.
#[derive(Deserialize)]
pub struct ConfirmForm {
    csrf: String,
    query: String,
    #[serde(default)]
    reason: String,
}

/// Discards dead letters.
pub async fn discard(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &form.csrf)?;
    let filter = form::parse_filter(&form.query, &ctx)?;
    if form.reason.trim().is_empty() {
        let error = ctx.texts.reason_required;
        return confirm(&state, ctx, &filter, true, error).await;
    }
    let discarded = state.desk.discard(&filter, ctx.actor(&form.reason)?).await;
    discarded.map_err(|error| ctx.store_unavailable(error))?;
    Ok(to_list(&filter, DeadLetterState::Discarded))
}

/// Restores dead letters.
pub async fn restore(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &form.csrf)?;
    let filter = form::parse_filter(&form.query, &ctx)?;
    let restored = state.desk.restore(&filter, ctx.actor(&form.reason)?).await;
    restored.map_err(|error| ctx.store_unavailable(error))?;
    Ok(to_list(&filter, DeadLetterState::Open))
}

/// Redirects to the changed dead letters.
fn to_list(filter: &Filter, state: DeadLetterState) -> Response {
    let filter = Filter { state: Some(state), ..filter.clone() };
    Redirect::to(&format!("/dead-letters?{}", query_string(&filter))).into_response()
}
