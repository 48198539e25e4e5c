//! `/dead-letters`

use axum::Json;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use desk::{Desk, Edited, IdOf};
use desk_api::{
    AuditEntry, ChangeRequest, DeadLetter, DeadLetterCount, DeadLetterSummary, EditRequest, Filter, Page,
    is_id_prefix,
};
use problem::Problem;

use super::query::{Paging, Query};
use super::request::{JsonBody, PathId, User, check_filter, require_reason};
use super::{interrupted, store_unavailable};
use crate::{DeskState, ids};

/// Lists dead letters without their payloads, newest first.
#[utoipa::path(get, path = "/dead-letters", tag = "dead letters", operation_id = "list_dead_letters",
    params(Filter, Paging), responses((status = OK, body = Page<DeadLetterSummary>)))]
pub async fn list(
    state: DeskState,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<DeadLetterSummary>>, Problem> {
    let (filter, selector, limit) = Query::filter_and_page(query.as_deref())?;
    state.desk.dead_letters(&filter, &selector, limit).await.map(Json).map_err(store_unavailable)
}

/// Counts dead letters.
#[utoipa::path(get, path = "/dead-letters/count", tag = "dead letters", operation_id = "count_dead_letters",
    params(Filter), responses((status = OK, body = DeadLetterCount)))]
pub async fn count(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<DeadLetterCount>, Problem> {
    let filter = Query::filter_only(query.as_deref())?;
    let dead_letters = state.desk.count(&filter).await.map_err(store_unavailable)?;
    Ok(Json(DeadLetterCount { dead_letters }))
}

/// Returns a dead letter with its payload.
#[utoipa::path(get, path = "/dead-letters/{id}", tag = "dead letters", operation_id = "show_dead_letter",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    responses((status = OK, body = DeadLetter)))]
pub async fn show(
    state: DeskState,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<DeadLetter>, Problem> {
    Query::read(query.as_deref(), &[])?;
    find(&state.desk, &id).await.map(Json)
}

/// Lists the audit log of a dead letter, newest entries first.
#[utoipa::path(get, path = "/dead-letters/{id}/audit-log", tag = "dead letters",
    operation_id = "list_audit_log_of_dead_letter",
    params(("id" = String, Path, description = "The id, or a unique prefix of it"), Paging),
    responses((status = OK, body = Page<AuditEntry>)))]
pub async fn audit_log(
    DeskState { desk, .. }: DeskState,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let (selector, limit) = Query::page(query.as_deref())?;
    let dead_letter = find(&desk, &id).await?;
    desk.audit_log(Some(&dead_letter.id), &selector, limit).await.map(Json).map_err(store_unavailable)
}

/// Discards open dead letters.
#[utoipa::path(post, path = "/dead-letters/discard", tag = "dead letters", operation_id = "discard_dead_letters",
    request_body = ChangeRequest, responses((status = OK, body = DeadLetterCount)))]
pub async fn discard(
    state: DeskState,
    user: User,
    JsonBody(request): JsonBody<ChangeRequest>,
) -> Result<Json<DeadLetterCount>, Problem> {
    check_filter(&request.filter, request.all)?;
    let actor = user.actor(require_reason(&request.reason)?)?;
    let filter = ids::complete(&state.desk, &request.filter).await?;
    let dead_letters = state.desk.discard(&filter, actor).await.map_err(interrupted)?;
    Ok(Json(DeadLetterCount { dead_letters }))
}

/// Reopens discarded dead letters, and those of the given ids that were replaced by an edited copy.
#[utoipa::path(post, path = "/dead-letters/restore", tag = "dead letters", operation_id = "restore_dead_letters",
    request_body = ChangeRequest, responses((status = OK, body = DeadLetterCount)))]
pub async fn restore(
    state: DeskState,
    user: User,
    JsonBody(request): JsonBody<ChangeRequest>,
) -> Result<Json<DeadLetterCount>, Problem> {
    check_filter(&request.filter, request.all)?;
    let actor = user.actor(&request.reason)?;
    let filter = ids::complete(&state.desk, &request.filter).await?;
    let dead_letters = state.desk.restore(&filter, actor).await.map_err(interrupted)?;
    Ok(Json(DeadLetterCount { dead_letters }))
}

/// Stores an edited copy of a dead letter. The copy is open and is a message of its own. It takes the place of the
/// original, whose state is then `edited`.
#[utoipa::path(post, path = "/dead-letters/{id}/edit", tag = "dead letters", operation_id = "edit_dead_letter",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    request_body = EditRequest, responses((status = CREATED, body = DeadLetter)))]
pub async fn edit(
    DeskState { desk, .. }: DeskState,
    PathId(id): PathId,
    user: User,
    JsonBody(request): JsonBody<EditRequest>,
) -> Result<(StatusCode, Json<DeadLetter>), Problem> {
    let original = find(&desk, &id).await?;
    let edited = Edited {
        key: request.key.unwrap_or_else(|| original.key.clone()),
        value: request.value.unwrap_or_else(|| original.value.clone()),
        headers: request.headers.unwrap_or_else(|| original.headers.clone()),
    };
    let actor = user.actor(&request.reason)?;
    let copy = desk.edit(&original, edited, actor).await.map_err(store_unavailable)?;
    Ok((StatusCode::CREATED, Json(copy)))
}

async fn find(desk: &Desk, id: &str) -> Result<DeadLetter, Problem> {
    let dead_letter = match is_id_prefix(id) {
        true => desk.dead_letter(id).await.map_err(store_unavailable)?,
        false => None,
    };
    match dead_letter {
        Some(dead_letter) => Ok(dead_letter),
        None => Err(ids::refused(desk, IdOf::DeadLetter, id).await),
    }
}
