//! `/failures`

use axum::Json;
use axum::extract::RawQuery;
use base::clock;
use desk::{Desk, IdOf};
use desk_api::{Failure, FailureUpdate, MAX_NOTE_CHARS, Page, is_id_prefix};
use problem::Problem;

use super::query::{PAGE_PARAMETERS, Paging, Query, bad_request};
use super::request::{JsonBody, PathId, User};
use super::store_unavailable;
use crate::{DeskState, ids};

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters that `Query` reads")]
struct FailureFilter {
    /// Only failures with open dead letters.
    open: Option<bool>,
}

/// Lists failures: dead letters with the same code, plugin, digest and cause. The most recent failure comes first.
#[utoipa::path(get, path = "/failures", tag = "failures", operation_id = "list_failures",
    params(FailureFilter, Paging), responses((status = OK, body = Page<Failure>)))]
pub async fn list(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<Page<Failure>>, Problem> {
    let query = Query::read(query.as_deref(), &[&["open"], &PAGE_PARAMETERS])?;
    let (only_open, selector, limit) = (query.flag("open")?, query.selector()?, query.limit()?);
    let failures = state.desk.failures(only_open, clock::now_ms(), &selector, limit).await;
    failures.map(Json).map_err(store_unavailable)
}

/// Returns a failure.
#[utoipa::path(get, path = "/failures/{id}", tag = "failures", operation_id = "show_failure",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    responses((status = OK, body = Failure)))]
pub async fn show(
    state: DeskState,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<Failure>, Problem> {
    Query::read(query.as_deref(), &[])?;
    find(&state.desk, &id).await.map(Json)
}

/// Changes a failure's note, closes or reopens it.
#[utoipa::path(patch, path = "/failures/{id}", tag = "failures", operation_id = "update_failure",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    request_body = FailureUpdate, responses((status = OK, body = Failure)))]
pub async fn update(
    DeskState { desk, .. }: DeskState,
    PathId(id): PathId,
    user: User,
    JsonBody(update): JsonBody<FailureUpdate>,
) -> Result<Json<Failure>, Problem> {
    let FailureUpdate { note, state, reason } = update;
    if note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE_CHARS || note.contains('\0')) {
        return Err(bad_request(format!("note: at most {MAX_NOTE_CHARS} characters, without NUL")));
    }
    let failure = find(&desk, &id).await?;
    let actor = user.actor(&reason)?;
    let found = desk.update_failure(&failure.id, note.as_deref(), state, actor).await;
    if !found.map_err(store_unavailable)? {
        return Err(ids::refused(&desk, IdOf::Failure, &id).await);
    }
    find(&desk, &failure.id).await.map(Json)
}

async fn find(desk: &Desk, id: &str) -> Result<Failure, Problem> {
    let failure = match is_id_prefix(id) {
        true => desk.failure(id, clock::now_ms()).await.map_err(store_unavailable)?,
        false => None,
    };
    match failure {
        Some(failure) => Ok(failure),
        None => Err(ids::refused(desk, IdOf::Failure, id).await),
    }
}
