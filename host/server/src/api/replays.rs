//! `/replays`

use axum::Json;
use axum::extract::RawQuery;
use axum::http::{HeaderName, StatusCode, header};
use base::error::UserError;
use desk::IdOf;
use desk::replay::ReplayError;
use desk_api::{
    BASE_PATH, Filter, Page, Replay, ReplayChange, ReplayItem, ReplayItemState, ReplayPreview, ReplayRequest,
    StartedReplay, is_id_prefix,
};
use problem::Problem;

use super::query::{Paging, Query, bad_request};
use super::request::{JsonBody, PathId, User, check_filter};
use super::{store_unavailable, unknown_trial};
use crate::{DeskState, ids};

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
    find(&state, &id).await.map(Json)
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters that `Query` reads")]
struct ItemFilter {
    /// `waiting`, `sent`, `handled`, `failed`, `unknown` or `skipped`. Without it, all are returned.
    state: Option<ReplayItemState>,
    /// The position of the last dead letter of the previous page.
    from: Option<i64>,
    /// Maximum number of dead letters, 1 to 500. The default is 50.
    limit: Option<usize>,
}

/// Lists the dead letters of a replay in the order in which they are sent, with what became of them.
#[utoipa::path(get, path = "/replays/{id}/dead-letters", tag = "replays", operation_id = "list_replay_items",
    params(("id" = String, Path, description = "The id, or a unique prefix of it"), ItemFilter),
    responses((status = OK, body = Page<ReplayItem>)))]
pub async fn items(
    state: DeskState,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<ReplayItem>>, Problem> {
    let query = Query::read(query.as_deref(), &[&["state", "from", "limit"]])?;
    let wanted = query.one_of("state", ReplayItemState::ALL, ReplayItemState::as_str)?;
    let (from, limit) = (query.number::<i64>("from")?.unwrap_or(0), query.limit()?);
    let replay = find(&state, &id).await?;
    let items = state.desk.replay_items(&replay.id, wanted, from, limit).await.map_err(store_unavailable)?;
    Ok(Json(Page::single(items)))
}

/// Previews a replay without starting it.
#[utoipa::path(post, path = "/replays/preview", tag = "replays", operation_id = "preview_replay",
    request_body = ReplayRequest, responses((status = OK, body = ReplayPreview)))]
pub async fn preview(
    state: DeskState,
    JsonBody(request): JsonBody<ReplayRequest>,
) -> Result<Json<ReplayPreview>, Problem> {
    let filter = check(&state, &request).await?;
    let ids = trial_ids(&state, &request)?;
    previewed(&state, &filter, &request, ids.as_deref()).await.map(Json)
}

/// Starts a replay: freezes the ids of the matching dead letters and begins to send them.
#[utoipa::path(post, path = "/replays", tag = "replays", operation_id = "start_replay",
    request_body = ReplayRequest, responses((status = CREATED, body = StartedReplay)))]
pub async fn start(
    state: DeskState,
    user: User,
    JsonBody(request): JsonBody<ReplayRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<StartedReplay>), Problem> {
    let filter = check(&state, &request).await?;
    let actor = user.actor(&request.reason)?;
    let ids = trial_ids(&state, &request)?;
    let warnings = previewed(&state, &filter, &request, ids.as_deref()).await?.warnings;
    let replay = state.desk.start_replay(&filter, ids.as_deref(), &request.plan, actor).await;
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
    let replay = find(&state, &id).await?;
    changed(&state, state.desk.pause_replay(&replay.id, actor).await)
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
    let replay = find(&state, &id).await?;
    changed(&state, state.desk.resume_replay(&replay.id, actor).await)
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
    let replay = find(&state, &id).await?;
    changed(&state, state.desk.cancel_replay(&replay.id, actor).await)
}

async fn find(state: &DeskState, id: &str) -> Result<Replay, Problem> {
    let replay = match is_id_prefix(id) {
        true => state.desk.replay(id).await.map_err(store_unavailable)?,
        false => None,
    };
    match replay {
        Some(replay) => Ok(replay),
        None => Err(ids::refused(&state.desk, IdOf::Replay, id).await),
    }
}

fn changed(state: &DeskState, replay: Result<Replay, ReplayError>) -> Result<Json<Replay>, Problem> {
    state.replayer.wake();
    replay.map(Json).map_err(|error| match error {
        ReplayError::Unknown => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        ReplayError::InState(state) => {
            Problem::new(StatusCode::CONFLICT, format!("the replay is already {}", state.as_str()))
        }
        ReplayError::Store(error) => store_unavailable(error),
    })
}

/// Checks a request; returns its filter with complete ids.
async fn check(state: &DeskState, request: &ReplayRequest) -> Result<Filter, Problem> {
    check_filter(&request.filter, request.all || request.trial.is_some())?;
    request.plan.check().map_err(|error| bad_request(format!("plan: {error}")))?;
    ids::complete(&state.desk, &request.filter).await
}

/// The ids of the dead letters that did not fail in the request's trial, if it names one.
fn trial_ids(state: &DeskState, request: &ReplayRequest) -> Result<Option<Vec<String>>, Problem> {
    let ids = |trial: &String| state.trials.not_failed(trial).ok_or_else(|| unknown_trial(trial));
    request.trial.as_ref().map(ids).transpose()
}

async fn previewed(
    state: &DeskState,
    filter: &Filter,
    request: &ReplayRequest,
    ids: Option<&[String]>,
) -> Result<ReplayPreview, Problem> {
    let preview = state.replayer.preview(filter, ids, &request.plan).await;
    preview.map_err(|error: UserError| match error.code() {
        2 => bad_request(one_line(&error)),
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, one_line(&error)),
    })
}

/// An error with its help in one line: clients escape line feeds.
pub fn one_line(error: &UserError) -> String {
    [error.problem()]
        .into_iter()
        .chain(error.fixes().iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("; ")
}
