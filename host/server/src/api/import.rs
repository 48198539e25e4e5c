//! `/letters/import`: letters from JSON Lines, all of them or none.

use axum::Json;
use axum::body::Body;
use desk::transfer::{ImportError, Imported};
use problem::Problem;
use tokio::sync::Semaphore;

use super::away;
use super::query::bad;
use super::request::{Open, Who, whole};

/// The largest body, in bytes. It is held in memory: what is wrong in its last line must change nothing.
const LARGEST: usize = 256 << 20;
/// One after the other, for what they hold.
static TURN: Semaphore = Semaphore::const_new(1);

/// Takes whole letters in, one a line.
#[utoipa::path(post, path = "/letters/import", tag = "letters", operation_id = "import_letters",
    request_body(content = String, description = "JSON Lines: a Letter a line", content_type = "application/jsonl"),
    responses((status = OK, body = Imported)))]
pub async fn import(Open(office): Open, who: Who, mut body: Body) -> Result<Json<Imported>, Problem> {
    let _turn = TURN.acquire().await;
    let lines = whole(&mut body, LARGEST, "an import: split the file between its lines").await?;
    office.desk.import(&lines, who.because("")?).await.map(Json).map_err(|error| match error {
        ImportError::Line { .. } => bad(format!("{error}; nothing was taken in")),
        ImportError::Store(error) => away(error),
    })
}
