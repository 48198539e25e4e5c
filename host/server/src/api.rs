//! The desk's HTTP API. `/api/v1/openapi.json` describes it; the command line and the console stand on the
//! same functions.

mod actions;
mod alerts;
mod document;
mod export;
mod groups;
mod import;
mod jobs;
mod letters;
mod overview;
mod query;
mod request;
mod trials;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
pub use desk::transfer::Imported;
use problem::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::alerts::Tested;
pub use self::jobs::Started;
pub use self::letters::{Count, Turned};
pub use self::overview::{Overview, PluginOverview, look};
pub use self::query::{MOST, Query, pairs};
pub use self::request::HOST_USER;
pub use self::trials::WASM;
pub use self::trials::refused;
use crate::Status;
use crate::guard::{Access, guard};

/// Where the API lies.
pub const BASE: &str = "/api/v1";

/// The API for those whom `access` lets in; 503 until `status` has a desk.
pub fn router(status: Status, access: Access) -> Router {
    let (router, document) = described().split_for_parts();
    let router = router
        .merge(document::router(document))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(access, guard))
        .with_state(status);
    Router::new().nest(BASE, router)
}

fn described() -> OpenApiRouter<Status> {
    document::begin()
        .routes(routes!(letters::list))
        .routes(routes!(letters::count))
        .routes(routes!(letters::discard))
        .routes(routes!(letters::restore))
        .routes(routes!(export::export))
        .routes(routes!(import::import))
        .routes(routes!(letters::show))
        .routes(routes!(letters::actions))
        .routes(routes!(letters::edit))
        .routes(routes!(groups::list))
        .routes(routes!(groups::show, groups::mark))
        .routes(routes!(jobs::list, jobs::start))
        .routes(routes!(jobs::preview))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::pause))
        .routes(routes!(jobs::resume))
        .routes(routes!(jobs::cancel))
        .routes(routes!(trials::list, trials::start))
        .routes(routes!(trials::show))
        .routes(routes!(trials::letters))
        .routes(routes!(trials::cancel))
        .routes(routes!(alerts::test))
        .routes(routes!(actions::list))
        .routes(routes!(overview::show))
}

/// The store does not answer: 503, and the reason for the log alone.
pub(crate) fn away(error: sqlx::Error) -> Problem {
    tracing::warn!("the desk's store does not answer: {error}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the desk's store does not answer; the host's log says why")
}

/// 404 for an id that is none, or that several begin with.
fn unknown(what: &str, id: &str) -> Problem {
    let detail = format!("no {what} has the id {id:?}, or several begin so");
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("{} is not here: {BASE}/openapi.json lists what is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}: {BASE}/openapi.json says what it takes", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
