//! `/trials`: builds are tried on letters.

use axum::Json;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use desk::trial::{LARGEST, Trial, TrialError, Tried};
use desk::{Filter, Page};
use problem::Problem;

use super::query::{Query, bad};
use super::request::{Id, Open, Who, is_media, whole};
use super::{BASE, away, unknown};

/// The media type of a build.
pub const WASM: &str = "application/wasm";

/// Trials of this process since its start, the last few, newest first.
#[utoipa::path(get, path = "/trials", tag = "trials", operation_id = "list_trials",
    responses((status = OK, body = Page<Trial>)))]
pub async fn list(Open(office): Open, RawQuery(query): RawQuery) -> Result<Json<Page<Trial>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page { items: office.trials.list(), next: None, previous: None }))
}

/// Gives letters to a build of a plugin in the sandbox; nothing is sent, and no letter changes.
#[utoipa::path(post, path = "/trials", tag = "trials", operation_id = "start_trial", params(Filter),
    request_body(content = Vec<u8>, description = "The build: a component", content_type = "application/wasm"),
    responses((status = CREATED, body = Trial)))]
pub async fn start(
    Open(office): Open,
    who: Who,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    mut body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Trial>), Problem> {
    let filter = Query::filter_alone(query.as_deref())?;
    if !is_media(&headers, WASM) {
        let detail = format!("the body must be a component: Content-Type: {WASM}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let by = who.because("")?;
    let build = whole(&mut body, LARGEST, "a build").await?;
    let trial = office.trials.start(build.into(), &filter, by).await.map_err(refused)?;
    let location = (header::LOCATION, format!("{BASE}/trials/{}", trial.id));
    Ok((StatusCode::CREATED, [location], Json(trial)))
}

/// One trial.
#[utoipa::path(get, path = "/trials/{id}", tag = "trials", operation_id = "show_trial",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    responses((status = OK, body = Trial)))]
pub async fn show(Open(office): Open, Id(id): Id, RawQuery(query): RawQuery) -> Result<Json<Trial>, Problem> {
    Query::read(query.as_deref(), &[])?;
    office.trials.get(&id).map(Json).ok_or_else(|| unknown("trial", &id))
}

/// Which of a trial's letters.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Query` reads")]
struct Which {
    /// Those that pass, or those that do not; all that had their turn where it is left out.
    passes: Option<bool>,
    /// The number of the first one, from 0.
    from: Option<usize>,
    /// The most letters, 1 to 500; 50 where it is left out.
    limit: Option<usize>,
}

/// What became of a trial's letters, oldest first.
#[utoipa::path(get, path = "/trials/{id}/letters", tag = "trials", operation_id = "list_letters_of_trial",
    params(("id" = String, Path, description = "Its id, or what it alone begins with"), Which),
    responses((status = OK, body = Page<Tried>)))]
pub async fn letters(
    Open(office): Open,
    Id(id): Id,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Tried>>, Problem> {
    let query = Query::read(query.as_deref(), &[&["passes", "from", "limit"]])?;
    let (passes, limit) = (query.maybe("passes")?, query.limit()?);
    let from = query.number::<usize>("from")?.unwrap_or(0);
    let items = office.trials.tried(&id, passes, from, limit).ok_or_else(|| unknown("trial", &id))?;
    Ok(Json(Page { items, next: None, previous: None }))
}

/// Ends a trial.
#[utoipa::path(post, path = "/trials/{id}/cancel", tag = "trials", operation_id = "cancel_trial",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    responses((status = OK, body = Trial)))]
pub async fn cancel(Open(office): Open, Id(id): Id) -> Result<Json<Trial>, Problem> {
    office.trials.cancel(&id).map(Json).ok_or_else(|| unknown("trial", &id))
}

/// Why a trial did not begin.
pub fn refused(error: TrialError) -> Problem {
    let conflict = |detail: String| Problem::new(StatusCode::CONFLICT, detail);
    match error {
        TrialError::Refused(failure) => bad(failure.to_string()),
        TrialError::Busy(id) => conflict(format!("another trial runs: wait for {id}, or cancel it")),
        TrialError::None => conflict("there are no such letters".to_owned()),
        TrialError::Store(error) => away(error),
    }
}
