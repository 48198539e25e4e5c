//! `/letters/export`: letters as JSON Lines, however many there are.

use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use desk::Filter;
use http_body_util::channel::{Channel, Sender};
use problem::Problem;
use tokio::sync::mpsc::Receiver;

use super::away;
use super::query::Query;
use super::request::{Open, Who};

/// Whole letters, newest first, one a line.
#[utoipa::path(get, path = "/letters/export", tag = "letters", operation_id = "export_letters", params(Filter),
    responses((status = OK, description = "JSON Lines: a Letter a line", body = String,
        content_type = "application/jsonl")))]
pub async fn export(Open(office): Open, who: Who, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let filter = Query::filter_alone(query.as_deref())?;
    let letters = office.desk.export(&filter, who.because("")?).await.map_err(away)?;
    let (lines, body) = Channel::<Bytes, sqlx::Error>::new(1);
    tokio::spawn(send(letters, lines));
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(([kind], Body::new(body)).into_response())
}

async fn send(mut letters: Receiver<sqlx::Result<String>>, mut lines: Sender<Bytes, sqlx::Error>) {
    while let Some(line) = letters.recv().await {
        match line {
            Ok(line) => {
                if lines.send_data(line.into()).await.is_err() {
                    // The client has gone.
                    return;
                }
            }
            // The answer breaks off, so that it is not taken for the whole.
            Err(error) => {
                tracing::warn!("an export broke off: the desk's store does not answer: {error}");
                return lines.abort(error);
            }
        }
    }
}
