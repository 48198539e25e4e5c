//! `/waiting`

use axum::Json;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use desk_api::{
    MAX_WAITING_RECORDS, WAITING_PARAMETERS, WaitingAction, WaitingAnswer, WaitingFilter, WaitingList,
    WaitingRequest,
};
use kafka::decisions;
use kafka::errors::short;
use problem::Problem;

use super::query::{Query, bad_request};
use super::request::{JsonBody, User};
use super::store_unavailable;
use crate::DeskState;
pub use crate::waiting::list;
use crate::waiting::{self, DecideError, Request, Selected, Shift};

/// Lists the messages that wait for a retry: their numbers by plugin, code and retry topic, and those that are due first.
#[utoipa::path(get, path = "/waiting", tag = "waiting", operation_id = "list_waiting",
    params(
        ("plugin" = Option<String>, Query, description = "The plugin's name, without its version"),
        ("code" = Option<String>, Query, description = "The code of the latest failure; `*` stands for any characters"),
        ("topic" = Option<String>, Query, description = "The retry topic"),
        ("limit" = Option<usize>, Query, description = "The number of messages, 1 to 500; 50 without it")),
    responses((status = OK, body = WaitingList)))]
pub async fn list_route(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<WaitingList>, Problem> {
    let query = Query::read(query.as_deref(), &[&WAITING_PARAMETERS, &["limit"]])?;
    Ok(Json(list(&state, &query.waiting_filter(), query.limit()?).await))
}

/// Runs messages that wait for a retry now, in the host that reads their partition.
#[utoipa::path(post, path = "/waiting/run-now", tag = "waiting", operation_id = "run_waiting_now",
    request_body = WaitingRequest, responses((status = OK, body = WaitingAnswer)))]
pub async fn run_now(
    state: DeskState,
    user: User,
    JsonBody(request): JsonBody<WaitingRequest>,
) -> Result<Json<WaitingAnswer>, Problem> {
    answer(&state, &user, &request, WaitingAction::RunNow).await
}

/// Postpones messages that wait for a retry: to a time, or by a time.
#[utoipa::path(post, path = "/waiting/postpone", tag = "waiting", operation_id = "postpone_waiting",
    request_body = WaitingRequest, responses((status = OK, body = WaitingAnswer)))]
pub async fn postpone(
    state: DeskState,
    user: User,
    JsonBody(request): JsonBody<WaitingRequest>,
) -> Result<Json<WaitingAnswer>, Problem> {
    answer(&state, &user, &request, WaitingAction::Postpone).await
}

/// Gives messages up that wait for a retry: they become dead letters, without another attempt.
#[utoipa::path(post, path = "/waiting/give-up", tag = "waiting", operation_id = "give_up_waiting",
    request_body = WaitingRequest, responses((status = OK, body = WaitingAnswer)))]
pub async fn give_up(
    state: DeskState,
    user: User,
    JsonBody(request): JsonBody<WaitingRequest>,
) -> Result<Json<WaitingAnswer>, Problem> {
    answer(&state, &user, &request, WaitingAction::GiveUp).await
}

async fn answer(
    state: &DeskState,
    user: &User,
    request: &WaitingRequest,
    action: WaitingAction,
) -> Result<Json<WaitingAnswer>, Problem> {
    let actor = user.actor(request.reason.trim())?;
    decide(state, request, action, actor).await.map(Json)
}

/// Decides about messages.
///
/// # Errors
/// 400: the request is invalid. 409: more messages match. 503: Kafka or the store is unavailable.
pub async fn decide(
    state: &DeskState,
    request: &WaitingRequest,
    action: WaitingAction,
    actor: desk::audit::Actor<'_>,
) -> Result<WaitingAnswer, Problem> {
    let WaitingRequest { records, filter, count, until_ms, by_ms, .. } = request;
    let selected = match (records.as_slice(), count) {
        ([], Some(count)) => Selected::Matching(filter, *count),
        ([], None) => return Err(bad_request("records, or filter and count: one of both")),
        (_, Some(_)) => return Err(bad_request("count: not with records")),
        (_, None) if *filter != WaitingFilter::default() => {
            return Err(bad_request("filter: not with records"));
        }
        (records, None) if records.len() > MAX_WAITING_RECORDS => {
            return Err(bad_request(format!("records: at most {MAX_WAITING_RECORDS}")));
        }
        (records, None) => Selected::Records(records),
    };
    let shift = match (action, *until_ms, *by_ms) {
        (WaitingAction::Postpone, Some(until_ms), None) => Some(Shift::Until(until_ms)),
        (WaitingAction::Postpone, None, Some(by_ms)) => Some(Shift::By(by_ms)),
        (_, None, None) => None,
        (WaitingAction::Postpone, ..) => return Err(bad_request("until_ms, or by_ms: one of both")),
        _ => return Err(bad_request("until_ms and by_ms: only to postpone")),
    };
    let request = Request { action, shift, selected, actor };
    waiting::decide(state, &request).await.map_err(refused)
}

fn refused(error: DecideError) -> Problem {
    let unavailable = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    match error {
        DecideError::Invalid(detail) => bad_request(detail),
        DecideError::TooMany { matching, expected } => {
            let detail = format!("{matching} messages match, more than {expected}; nothing is decided");
            Problem::new(StatusCode::CONFLICT, detail)
        }
        DecideError::Unread(detail) => {
            unavailable(format!("the retry topics cannot be read, and nothing is decided: {detail}"))
        }
        DecideError::Foreign(source) => {
            let topic = decisions::topic_of(&source);
            let detail = format!(
                "nothing is decided: topic {topic} is used otherwise, and would have the decisions about retries of \
                 {source}; see host doctor"
            );
            Problem::new(StatusCode::CONFLICT, detail)
        }
        DecideError::Topic(error) => {
            unavailable(format!("nothing is decided: {}", error.to_string().replace("\n  help: ", "; ")))
        }
        DecideError::Store(error) => store_unavailable(error),
        DecideError::Kafka { decided, code } => unavailable(format!(
            "Kafka took {decided} of the decisions only: {}; repeat the request for the rest",
            short(code)
        )),
    }
}
