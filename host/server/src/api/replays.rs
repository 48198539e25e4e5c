//! `/replays`

use axum::Json;
use axum::extract::RawQuery;
use axum::http::{HeaderName, StatusCode, header};
use base::error::UserError;
use desk::replay::ReplayError;
use desk_api::{
    BASE_PATH, Page, Replay, ReplayChange, ReplayPreview, ReplayRequest, StartedReplay, is_id_prefix,
};
use problem::Problem;

use super::query::{Paging, Query, bad_request};
use super::request::{JsonBody, PathId, User, check_filter};
use super::{store_unavailable, unknown_id};
use crate::DeskState;

/// Lists replays, newest first.
#[utoipa::path(get, path = "/replays", tag = "replays", operation_id = "list_replays", params(Paging),
    responses((status = OK, body = Page<Replay>)))]
pub async fn list(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<Page<Replay>>, Problem> {
    let (selector, limit) = Query::page(query.as_deref())?;
    state.desk.replays(&selector, limit).await.map(Json).map_err(store_unavailable)
}

/// Returns a replay.
#[utoipa::path(get, path = "/replays/{id}", tag = "replays", operation_id = "show_replay",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    responses((status = OK, body = Replay)))]
pub async fn show(
    state: DeskState,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<Replay>, Problem> {
    Query::read(query.as_deref(), &[])?;
    let replay = state.desk.replay(checked(&id)?).await.map_err(store_unavailable)?;
    replay.map(Json).ok_or_else(|| unknown_id("replay", &id))
}

/// Previews a replay without starting it.
#[utoipa::path(post, path = "/replays/preview", tag = "replays", operation_id = "preview_replay",
    request_body = ReplayRequest, responses((status = OK, body = ReplayPreview)))]
pub async fn preview(
    state: DeskState,
    JsonBody(request): JsonBody<ReplayRequest>,
) -> Result<Json<ReplayPreview>, Problem> {
    check(&request)?;
    let ids = trial_ids(&state, &request)?;
    previewed(&state, &request, ids.as_deref()).await.map(Json)
}

/// Starts a replay: freezes the ids of the matching dead letters and begins to send them.
#[utoipa::path(post, path = "/replays", tag = "replays", operation_id = "start_replay",
    request_body = ReplayRequest, responses((status = CREATED, body = StartedReplay)))]
pub async fn start(
    state: DeskState,
    user: User,
    JsonBody(request): JsonBody<ReplayRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<StartedReplay>), Problem> {
    check(&request)?;
    let actor = user.actor(&request.reason)?;
    let ids = trial_ids(&state, &request)?;
    let warnings = previewed(&state, &request, ids.as_deref()).await?.warnings;
    let replay = state.desk.start_replay(&request.filter, ids.as_deref(), &request.plan, actor).await;
    let replay = replay.map_err(store_unavailable)?.ok_or_else(|| {
        let detail = "no matching dead letter can be sent: none is open, or all were replayed too often";
        Problem::new(StatusCode::CONFLICT, detail)
    })?;
    state.replayer.wake();
    let location = (header::LOCATION, format!("{BASE_PATH}/replays/{}", replay.id));
    Ok((StatusCode::CREATED, [location], Json(StartedReplay { replay, warnings })))
}

/// Pauses a running replay.
#[utoipa::path(post, path = "/replays/{id}/pause", tag = "replays", operation_id = "pause_replay",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    request_body = ReplayChange, responses((status = OK, body = Replay)))]
pub async fn pause(
    state: DeskState,
    PathId(id): PathId,
    user: User,
    JsonBody(change): JsonBody<ReplayChange>,
) -> Result<Json<Replay>, Problem> {
    let actor = user.actor(&change.reason)?;
    changed(&state, &id, state.desk.pause_replay(checked(&id)?, actor).await)
}

/// Resumes a paused or stopped replay.
#[utoipa::path(post, path = "/replays/{id}/resume", tag = "replays", operation_id = "resume_replay",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    request_body = ReplayChange, responses((status = OK, body = Replay)))]
pub async fn resume(
    state: DeskState,
    PathId(id): PathId,
    user: User,
    JsonBody(change): JsonBody<ReplayChange>,
) -> Result<Json<Replay>, Problem> {
    let actor = user.actor(&change.reason)?;
    changed(&state, &id, state.desk.resume_replay(checked(&id)?, actor).await)
}

/// Cancels a replay. Dead letters that were not sent stay open.
#[utoipa::path(post, path = "/replays/{id}/cancel", tag = "replays", operation_id = "cancel_replay",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    request_body = ReplayChange, responses((status = OK, body = Replay)))]
pub async fn cancel(
    state: DeskState,
    PathId(id): PathId,
    user: User,
    JsonBody(change): JsonBody<ReplayChange>,
) -> Result<Json<Replay>, Problem> {
    let actor = user.actor(&change.reason)?;
    changed(&state, &id, state.desk.cancel_replay(checked(&id)?, actor).await)
}

fn checked(id: &str) -> Result<&str, Problem> {
    if is_id_prefix(id) { Ok(id) } else { Err(unknown_id("replay", id)) }
}

fn changed(
    state: &DeskState,
    id: &str,
    replay: Result<Replay, ReplayError>,
) -> Result<Json<Replay>, Problem> {
    state.replayer.wake();
    replay.map(Json).map_err(|error| match error {
        ReplayError::Unknown => unknown_id("replay", id),
        ReplayError::InState(state) => {
            Problem::new(StatusCode::CONFLICT, format!("the replay is already {}", state.as_str()))
        }
        ReplayError::Store(error) => store_unavailable(error),
    })
}

fn check(request: &ReplayRequest) -> Result<(), Problem> {
    check_filter(&request.filter, request.all || request.trial.is_some())?;
    request.plan.check().map_err(|error| bad_request(format!("plan: {error}")))
}

/// The ids of the dead letters that passed the request's trial, if it names one.
fn trial_ids(state: &DeskState, request: &ReplayRequest) -> Result<Option<Vec<String>>, Problem> {
    let ids = |trial: &String| state.trials.passed(trial).ok_or_else(|| unknown_id("trial", trial));
    request.trial.as_ref().map(ids).transpose()
}

async fn previewed(
    state: &DeskState,
    request: &ReplayRequest,
    ids: Option<&[String]>,
) -> Result<ReplayPreview, Problem> {
    let preview = state.replayer.preview(&request.filter, ids, &request.plan).await;
    preview.map_err(|error: UserError| match error.code() {
        2 => bad_request(error.to_string()),
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    })
}
