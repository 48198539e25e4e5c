//! The HTTP API for dead letters and plugins, described by `/api/v1/openapi.json`. The console uses the same functions.

mod alerts;
mod audit_log;
mod dead_letters;
mod document;
mod export;
mod failures;
mod health;
mod held_keys;
mod import;
mod overview;
mod partitions;
mod plugins;
mod query;
mod replays;
mod request;
mod trials;
mod waiting;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use desk_api::BASE_PATH;
use problem::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::held_keys::refused as release_refused;
pub use self::overview::overview;
pub use self::partitions::partitions;
pub use self::plugins::{details, intake, refused as pause_refused};
pub use self::query::Query;
pub use self::replays::one_line;
pub use self::trials::refused as trial_refused;
pub use self::waiting::{decide as decide_about_waiting, list as list_waiting};
use crate::Status;
use crate::guard::{AccessPolicy, guard};

/// The API. Answers 503 until `status` has a desk.
pub fn router(status: Status, policy: AccessPolicy) -> Router {
    let (router, document) = routes().split_for_parts();
    let router = router
        .merge(document::router(document))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(policy, guard))
        .with_state(status);
    Router::new().nest(BASE_PATH, router)
}

fn routes() -> OpenApiRouter<Status> {
    document::begin()
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::count))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(dead_letters::restore))
        .routes(routes!(export::export))
        .routes(routes!(import::import))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::audit_log))
        .routes(routes!(dead_letters::edit))
        .routes(routes!(failures::list))
        .routes(routes!(failures::show, failures::update))
        .routes(routes!(replays::list, replays::start))
        .routes(routes!(replays::preview))
        .routes(routes!(replays::show))
        .routes(routes!(replays::items))
        .routes(routes!(replays::pause))
        .routes(routes!(replays::resume))
        .routes(routes!(replays::cancel))
        .routes(routes!(trials::list, trials::start))
        .routes(routes!(trials::show))
        .routes(routes!(trials::results))
        .routes(routes!(trials::cancel))
        .routes(routes!(alerts::test))
        .routes(routes!(audit_log::list))
        .routes(routes!(overview::show))
        .routes(routes!(partitions::list))
        .routes(routes!(held_keys::list))
        .routes(routes!(held_keys::release))
        .routes(routes!(waiting::list_route))
        .routes(routes!(waiting::run_now))
        .routes(routes!(waiting::postpone))
        .routes(routes!(waiting::give_up))
        .routes(routes!(health::show))
        .routes(routes!(health::history))
        .routes(routes!(health::topics))
        .routes(routes!(health::groups))
        .routes(routes!(health::settings))
        .routes(routes!(plugins::list))
        .routes(routes!(plugins::show))
        .routes(routes!(plugins::pause))
        .routes(routes!(plugins::resume))
}

/// 503: the store is unavailable. The cause is logged, not sent.
pub fn store_unavailable(error: sqlx::Error) -> Problem {
    tracing::warn!("the desk's store is unavailable: {error}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the desk's store is unavailable; see the host's log")
}

/// 503 for an action on many dead letters: the store became unavailable in the middle.
fn interrupted(error: sqlx::Error) -> Problem {
    tracing::warn!("the desk's store is unavailable: {error}");
    let detail = "the desk's store is unavailable; the audit log has the number of dead letters changed until then, \
        and the same request changes the rest";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// 404: a trial is unknown.
fn unknown_trial(id: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("no trial has the id {id:?}; the host keeps the last ones"))
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("{} does not exist; {BASE_PATH}/openapi.json lists all paths", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail =
        format!("{} does not support {method}; {BASE_PATH}/openapi.json lists all methods", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
