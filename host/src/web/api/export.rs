//! `/letters/export`: letters as JSON Lines, however many there are.

use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use producer::Problem;

use super::query::Query;
use super::request::Open;
use crate::desk::{At, Desk, Filter};

/// How many letters are held at a time.
const PAGE: usize = 50;
/// How many letters wait for the client to read.
const AHEAD: usize = 16;

/// Whole letters, newest first, one a line.
#[utoipa::path(get, path = "/letters/export", tag = "letters", operation_id = "export_letters", params(Filter),
    responses((status = OK, description = "JSON Lines: a Letter a line", body = String,
        content_type = "application/jsonl")))]
pub async fn export(Open(office): Open, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let filter = Query::filter_alone(query.as_deref())?;
    let (lines, body) = Channel::<Bytes, sqlx::Error>::new(AHEAD);
    tokio::spawn(send(office.desk, filter, lines));
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(([kind], Body::new(body)).into_response())
}

async fn send(desk: Desk, filter: Filter, mut lines: Sender<Bytes, sqlx::Error>) {
    let mut at = At::First;
    loop {
        let page = match desk.whole_letters(&filter, &at, PAGE).await {
            Ok(page) => page,
            // The answer breaks off, so that it is not taken for the whole.
            Err(error) => {
                tracing::warn!("an export broke off: the desk's store does not answer: {error}");
                return lines.abort(error);
            }
        };
        for letter in &page.items {
            let Ok(mut line) = serde_json::to_vec(letter) else { continue };
            line.push(b'\n');
            if lines.send_data(line.into()).await.is_err() {
                return;
            }
        }
        let Some(next) = page.next else { return };
        at = At::After(next);
    }
}
