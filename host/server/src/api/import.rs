//! `/dead-letters/import`

use axum::Json;
use axum::body::Body;
use desk::transfer::ImportError;
use desk_api::{ImportResult, MAX_IMPORT_BYTES};
use problem::Problem;
use tokio::sync::Semaphore;

use super::interrupted;
use super::query::bad_request;
use super::request::{User, read_body};
use crate::DeskState;

/// One import at a time: each is in memory as a whole, because an error in its last line must change nothing.
static PERMIT: Semaphore = Semaphore::const_new(1);

/// Imports dead letters from JSON Lines. If a line is invalid, none is imported.
#[utoipa::path(post, path = "/dead-letters/import", tag = "dead letters", operation_id = "import_dead_letters",
    request_body(content = String, description = "JSON Lines: a DeadLetter per line",
        content_type = "application/jsonl"),
    responses((status = OK, body = ImportResult)))]
pub async fn import(state: DeskState, user: User, mut body: Body) -> Result<Json<ImportResult>, Problem> {
    let _permit = PERMIT.acquire().await;
    let lines = read_body(&mut body, MAX_IMPORT_BYTES, "an import; split the file between lines").await?;
    state.desk.import(&lines, user.actor("")?).await.map(Json).map_err(|error| match error {
        ImportError::Line { .. } => bad_request(format!("{error}; nothing was imported")),
        ImportError::Store(error) => interrupted(error),
    })
}
