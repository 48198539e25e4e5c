//! `/dead-letters/export`

use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use desk_api::{Filter, JSON_LINES};
use http_body_util::channel::{Channel, Sender};
use problem::Problem;
use tokio::sync::mpsc::Receiver;

use super::query::Query;
use super::request::User;
use super::store_unavailable;
use crate::DeskState;

/// Exports dead letters with their payloads, newest first, as JSON Lines.
#[utoipa::path(get, path = "/dead-letters/export", tag = "dead letters", operation_id = "export_dead_letters",
    params(Filter), responses((status = OK, description = "JSON Lines: a DeadLetter per line", body = String,
        content_type = "application/jsonl")))]
pub async fn export(state: DeskState, user: User, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let filter = Query::filter_only(query.as_deref())?;
    let dead_letters = state.desk.export(&filter, user.actor("")?).await.map_err(store_unavailable)?;
    let (lines, body) = Channel::<Bytes, sqlx::Error>::new(1);
    tokio::spawn(send(dead_letters, lines));
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(JSON_LINES));
    Ok(([content_type], Body::new(body)).into_response())
}

async fn send(mut dead_letters: Receiver<sqlx::Result<String>>, mut lines: Sender<Bytes, sqlx::Error>) {
    while let Some(line) = dead_letters.recv().await {
        match line {
            Ok(line) => {
                if lines.send_data(line.into()).await.is_err() {
                    // The client has disconnected.
                    return;
                }
            }
            // Aborts the body, so that the client does not take it for complete.
            Err(error) => {
                tracing::warn!("an export was aborted: the desk's store is unavailable: {error}");
                return lines.abort(error);
            }
        }
    }
}
