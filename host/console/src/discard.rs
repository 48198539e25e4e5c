//! `/discard` and `/restore`: the same form, for one and the other.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use desk_api::{DeadLetterState, Filter};
use serde::Deserialize;

use super::form::{self, QueryParams, Refusal, Submitted, Undoes, query_string};
use super::page::{self, ErrorPage, PageContext};
use server::DeskState;

#[derive(Template)]
#[template(path = "console/discard.html")]
struct ConfirmPage {
    ctx: PageContext,
    is_discard: bool,
    dead_letters: u64,
    /// Whether the number has to be entered.
    asks_for_number: bool,
    form: ConfirmForm,
    refused: Option<Refusal>,
}

/// The fields of the form.
#[derive(Default, Deserialize)]
pub struct ConfirmForm {
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

/// The form.
pub async fn form(
    state: DeskState,
    ctx: PageContext,
    Undoes(restores): Undoes,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    if let Some(back) = query.nothing_ticked() {
        return Ok(back);
    }
    let filter = Filter { state: None, ..query.filter(&ctx)? };
    let form =
        ConfirmForm { query: query_string(&filter), back: query.back(&filter), ..ConfirmForm::default() };
    let dead_letters = affected(&state, &ctx, &filter, restores).await?;
    Ok(show(ctx, restores, &filter, dead_letters, form, None))
}

fn show(
    ctx: PageContext,
    restores: bool,
    filter: &Filter,
    dead_letters: u64,
    form: ConfirmForm,
    refused: Option<Refusal>,
) -> Response {
    let asks_for_number = form::asks_for_number(filter) && dead_letters > 1;
    let page = ConfirmPage { ctx, is_discard: !restores, dead_letters, asks_for_number, form, refused };
    page::render_form(&page, page.refused.as_ref())
}

/// The number of dead letters that would change.
async fn affected(
    state: &DeskState,
    ctx: &PageContext,
    filter: &Filter,
    restores: bool,
) -> Result<u64, ErrorPage> {
    let count = async |from| {
        let affected = Filter { state: Some(from), ..filter.clone() };
        state.desk.count(&affected).await.map_err(|error| ctx.store_unavailable(error))
    };
    match restores {
        false => count(DeadLetterState::Open).await,
        true if filter.ids.is_empty() => count(DeadLetterState::Discarded).await,
        true => Ok(count(DeadLetterState::Discarded).await? + count(DeadLetterState::Edited).await?),
    }
}

/// Discards or restores dead letters, and leads to their list.
pub async fn submit(
    state: DeskState,
    Undoes(restores): Undoes,
    Submitted { ctx, form }: Submitted<ConfirmForm>,
) -> Result<Response, ErrorPage> {
    let filter = Filter { state: None, ..form::parse_filter(&form.query, &ctx)? };
    let dead_letters = affected(&state, &ctx, &filter, restores).await?;
    let refused = match !restores && form.reason.trim().is_empty() {
        true => Some(Refusal::input(ctx.texts.reason_required)),
        false => form::wrong_number(&filter, &form.number, dead_letters, &ctx),
    };
    if refused.is_some() {
        return Ok(show(ctx, restores, &filter, dead_letters, form, refused));
    }
    let actor = ctx.actor(&form.reason)?;
    let (changed, to) = match restores {
        false => (state.desk.discard(&filter, actor).await, DeadLetterState::Discarded),
        true => (state.desk.restore(&filter, actor).await, DeadLetterState::Open),
    };
    changed.map_err(|error| ctx.store_unavailable(error))?;
    let changed = query_string(&Filter { state: Some(to), ..filter });
    Ok(Redirect::to(&format!("/dead-letters?{changed}")).into_response())
}
