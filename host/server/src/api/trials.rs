//! `/trials`

use axum::Json;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use desk_api::{BASE_PATH, Filter, MAX_BUILD_BYTES, Page, Trial, TrialResult, TrialVerdict, WASM};
use problem::Problem;
use trials::TrialError;

use super::query::{Query, bad_request};
use super::request::{PathId, User, has_media_type, read_body};
use super::{one_line, store_unavailable, unknown_trial};
use crate::{DeskState, ids};

/// Lists the last trials of this process, newest first.
#[utoipa::path(get, path = "/trials", tag = "trials", operation_id = "list_trials",
    responses((status = OK, body = Page<Trial>)))]
pub async fn list(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<Page<Trial>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(state.trials.list())))
}

/// Tries a plugin build on dead letters, in the sandbox. Nothing is sent, and no dead letter changes.
#[utoipa::path(post, path = "/trials", tag = "trials", operation_id = "start_trial", params(Filter),
    request_body(content = Vec<u8>, description = "The build: a component", content_type = "application/wasm"),
    responses((status = CREATED, body = Trial)))]
pub async fn start(
    state: DeskState,
    user: User,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    mut body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Trial>), Problem> {
    let filter = Query::filter_only(query.as_deref())?;
    if !has_media_type(&headers, WASM) {
        let detail = format!("the body must be a component: Content-Type: {WASM}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let filter = ids::complete(&state.desk, &filter).await?;
    let actor = user.actor("")?;
    let build = read_body(&mut body, MAX_BUILD_BYTES, "a build").await?;
    let trial = state.trials.start(build.into(), &filter, actor).await.map_err(refused)?;
    let location = (header::LOCATION, format!("{BASE_PATH}/trials/{}", trial.id));
    Ok((StatusCode::CREATED, [location], Json(trial)))
}

/// Returns a trial.
#[utoipa::path(get, path = "/trials/{id}", tag = "trials", operation_id = "show_trial",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    responses((status = OK, body = Trial)))]
pub async fn show(
    state: DeskState,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<Trial>, Problem> {
    Query::read(query.as_deref(), &[])?;
    state.trials.get(&id).map(Json).ok_or_else(|| unknown_trial(&id))
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters that `Query` reads")]
struct ResultFilter {
    /// `passed`, `undecided` or `failed`. Without it, all are returned.
    verdict: Option<TrialVerdict>,
    /// Number of results to skip.
    from: Option<usize>,
    /// Maximum number of results, 1 to 500. The default is 50.
    limit: Option<usize>,
}

/// Lists the results of a trial, oldest dead letters first.
#[utoipa::path(get, path = "/trials/{id}/dead-letters", tag = "trials", operation_id = "list_trial_results",
    params(("id" = String, Path, description = "The id, or a unique prefix of it"), ResultFilter),
    responses((status = OK, body = Page<TrialResult>)))]
pub async fn results(
    state: DeskState,
    PathId(id): PathId,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<TrialResult>>, Problem> {
    let query = Query::read(query.as_deref(), &[&["verdict", "from", "limit"]])?;
    let (verdict, limit) =
        (query.one_of("verdict", TrialVerdict::ALL, TrialVerdict::as_str)?, query.limit()?);
    let from = query.number::<usize>("from")?.unwrap_or(0);
    let results = state.trials.results(&id, verdict, from, limit).ok_or_else(|| unknown_trial(&id))?;
    Ok(Json(Page::single(results)))
}

/// Cancels a trial.
#[utoipa::path(post, path = "/trials/{id}/cancel", tag = "trials", operation_id = "cancel_trial",
    params(("id" = String, Path, description = "The id, or a unique prefix of it")),
    responses((status = OK, body = Trial)))]
pub async fn cancel(state: DeskState, PathId(id): PathId) -> Result<Json<Trial>, Problem> {
    state.trials.cancel(&id).map(Json).ok_or_else(|| unknown_trial(&id))
}

/// The answer for a trial that did not start.
pub fn refused(error: TrialError) -> Problem {
    let conflict = |detail: String| Problem::new(StatusCode::CONFLICT, detail);
    match error {
        TrialError::Refused(error) => bad_request(one_line(&error)),
        TrialError::Busy(id) => conflict(format!("trial {id} is running; wait for it, or cancel it")),
        TrialError::Empty => conflict("no dead letters match".to_owned()),
        TrialError::Store(error) => store_unavailable(error),
    }
}
