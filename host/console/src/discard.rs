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
use server::DeskState;

#[derive(Template)]
#[template(path = "console/discard.html")]
struct ConfirmPage {
    ctx: PageContext,
    /// Discard, or restore.
    is_discard: bool,
    dead_letters: u64,
    /// Whether the number has to be entered.
    asks_for_number: bool,
    form: ConfirmForm,
    error: String,
}

/// The fields of both forms.
#[derive(Default, Deserialize)]
pub struct ConfirmForm {
    #[serde(default)]
    csrf: String,
    /// The filter as a query string.
    query: String,
    /// The list that the user came from, as a query string.
    #[serde(default)]
    back: String,
    #[serde(default)]
    number: String,
    #[serde(default)]
    reason: String,
}

/// The form that discards.
pub async fn discard_form(
    state: DeskState,
    ctx: PageContext,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    first(&state, ctx, &query, true).await
}

/// The form that restores.
pub async fn restore_form(
    state: DeskState,
    ctx: PageContext,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    first(&state, ctx, &query, false).await
}

async fn first(
    state: &DeskState,
    ctx: PageContext,
    query: &QueryParams,
    is_discard: bool,
) -> Result<Response, ErrorPage> {
    if let Some(back) = query.nothing_ticked() {
        return Ok(back);
    }
    let filter = Filter { state: None, ..query.filter(&ctx)? };
    let form =
        ConfirmForm { query: query_string(&filter), back: query.back(&filter), ..ConfirmForm::default() };
    let dead_letters = affected(state, &ctx, &filter, is_discard).await?;
    let asks_for_number = form::asks_for_number(&filter) && dead_letters > 1;
    let error = String::new();
    Ok(page::render(&ConfirmPage { ctx, is_discard, dead_letters, asks_for_number, form, error }))
}

/// The number of dead letters that would change.
async fn affected(
    state: &DeskState,
    ctx: &PageContext,
    filter: &Filter,
    is_discard: bool,
) -> Result<u64, ErrorPage> {
    let count = async |from| {
        let affected = Filter { state: Some(from), ..filter.clone() };
        state.desk.count(&affected).await.map_err(|error| ctx.store_unavailable(error))
    };
    match is_discard {
        true => count(DeadLetterState::Open).await,
        false if filter.ids.is_empty() => count(DeadLetterState::Discarded).await,
        false => Ok(count(DeadLetterState::Discarded).await? + count(DeadLetterState::Edited).await?),
    }
}

/// Discards dead letters.
pub async fn discard(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, ErrorPage> {
    change(&state, ctx, &session, form, true).await
}

/// Restores dead letters.
pub async fn restore(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Form(form): Form<ConfirmForm>,
) -> Result<Response, ErrorPage> {
    change(&state, ctx, &session, form, false).await
}

async fn change(
    state: &DeskState,
    ctx: PageContext,
    session: &Session,
    form: ConfirmForm,
    is_discard: bool,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(session, &form.csrf)?;
    let filter = Filter { state: None, ..form::parse_filter(&form.query, &ctx)? };
    let dead_letters = affected(state, &ctx, &filter, is_discard).await?;
    let error = match is_discard && form.reason.trim().is_empty() {
        true => Some(ctx.texts.reason_required.to_owned()),
        false => form::wrong_number(&filter, &form.number, dead_letters, &ctx),
    };
    if let Some(error) = error {
        let asks_for_number = form::asks_for_number(&filter) && dead_letters > 1;
        return Ok(page::render(&ConfirmPage {
            ctx,
            is_discard,
            dead_letters,
            asks_for_number,
            form,
            error,
        }));
    }
    let actor = ctx.actor(&form.reason)?;
    let (changed, to) = match is_discard {
        true => (state.desk.discard(&filter, actor).await, DeadLetterState::Discarded),
        false => (state.desk.restore(&filter, actor).await, DeadLetterState::Open),
    };
    changed.map_err(|error| ctx.store_unavailable(error))?;
    Ok(to_list(&filter, to))
}

/// Redirects to the changed dead letters.
fn to_list(filter: &Filter, state: DeadLetterState) -> Response {
    let filter = Filter { state: Some(state), ..filter.clone() };
    Redirect::to(&format!("/dead-letters?{}", query_string(&filter))).into_response()
}
