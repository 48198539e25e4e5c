//! `/letters/import`: letters from JSON Lines, all of them or none.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use producer::Problem;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::away;
use super::query::bad;
use super::request::{ARRIVAL, Open, Who, late};
use crate::desk::transfer::{ImportError, Imported};

/// The largest body, in bytes. It is held in memory: what is wrong in its last line must change nothing.
const LARGEST: usize = 256 << 20;
/// For how long, and how many bytes, a body is read whose answer is known already.
const DRAIN: (Duration, usize) = (Duration::from_secs(5), 64 << 20);
/// One after the other, for what they hold.
static TURN: Semaphore = Semaphore::const_new(1);

/// Takes whole letters in, one a line.
#[utoipa::path(post, path = "/letters/import", tag = "letters", operation_id = "import_letters",
    request_body(content = String, description = "JSON Lines: a Letter a line", content_type = "application/jsonl"),
    responses((status = OK, body = Imported)))]
pub async fn import(Open(office): Open, who: Who, mut body: Body) -> Result<Json<Imported>, Problem> {
    let _turn = TURN.acquire().await;
    let lines = match read(&mut body).await {
        Ok(lines) => lines,
        Err(problem) => {
            let _ = timeout(DRAIN.0, drain(&mut body)).await;
            return Err(problem);
        }
    };
    office.desk.import(&lines, who.because("")?).await.map(Json).map_err(|error| match error {
        ImportError::Line { .. } => bad(format!("{error}; nothing was taken in")),
        ImportError::Store(error) => away(error),
    })
}

async fn read(body: &mut Body) -> Result<Vec<u8>, Problem> {
    let mut lines = Vec::new();
    while let Some(frame) = timeout(ARRIVAL, body.frame()).await.map_err(|_| late())? {
        let frame = frame.map_err(|_| bad("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if lines.len() + data.len() > LARGEST {
            let detail =
                format!("an import has {} MiB at most: split the file between its lines", LARGEST >> 20);
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        lines.extend_from_slice(&data);
    }
    Ok(lines)
}

/// Who is still sending reads the answer only then.
async fn drain(body: &mut Body) {
    let mut left = DRAIN.1;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |data| data.len())) else { return };
        left = rest;
    }
}
