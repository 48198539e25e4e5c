//! The HTTP API.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use messages::{EmailSendMessage, Invalid, SmsSendMessage};
use problem::Problem;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::publisher::{Publisher, Receipt};
use crate::settings::{EMAIL_TOPIC, SMS_TOPIC};
use crate::{body, id, media, refusal};

/// A kind of message: its topic, the encoding of a request body as a record value, the response text.
struct Kind {
    topic: &'static str,
    encode: fn(&[u8]) -> Result<Vec<u8>, Invalid>,
    accepted: &'static str,
}

static EMAIL: Kind = Kind {
    topic: EMAIL_TOPIC,
    encode: |json| EmailSendMessage::from_json(json).map(|message| message.to_json()),
    accepted: "이메일 발송 요청 완료",
};

static SMS: Kind = Kind {
    topic: SMS_TOPIC,
    encode: |json| SmsSendMessage::from_json(json).map(|message| message.to_json()),
    accepted: "SMS 발송 요청 완료",
};

/// The life of a request: check headers, read the body, validate, publish, respond.
async fn accept(api: &Api, kind: &'static Kind, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    media::check_body(&head.headers)?;
    let id = id::of_request(&head.headers)?;
    let body = body::read(&head.headers, body, &api.large_bodies).await?;
    let value = (kind.encode)(without_mark(&body)).map_err(refusal::invalid)?;
    let receipt = api.publisher.publish(kind.topic, &id, &value).await?;
    Ok(if media::prefers_json(&head.headers) { json(kind, &id, receipt) } else { text(kind) })
}

/// The body without a byte order mark, which some clients write before UTF-8 text.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

struct Api {
    publisher: Publisher,
    large_bodies: Semaphore,
}

/// The API on top of `publisher`: the two POST routes, `/livez` and `/readyz`. Any other request gets a
/// problem document.
pub fn router(publisher: Publisher) -> Router {
    let api = Arc::new(Api { publisher, large_bodies: body::large_bodies() });
    Router::new()
        .route("/api/emails/send", post(send_email))
        .route("/api/sms/send", post(send_sms))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(api)
}

async fn send_email(State(api): State<Arc<Api>>, request: Request) -> Response {
    accept(&api, &EMAIL, request).await.unwrap_or_else(Problem::into_response)
}

async fn send_sms(State(api): State<Arc<Api>>, request: Request) -> Response {
    accept(&api, &SMS, request).await.unwrap_or_else(Problem::into_response)
}

fn text(kind: &'static Kind) -> Response {
    let plain = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    ([plain], Bytes::from_static(kind.accepted.as_bytes())).into_response()
}

#[derive(Serialize)]
struct Accepted<'a> {
    id: &'a str,
    topic: &'a str,
    partition: i32,
    offset: i64,
}

fn json(kind: &'static Kind, id: &str, Receipt { partition, offset }: Receipt) -> Response {
    axum::Json(Accepted { id, topic: kind.topic, partition, offset }).into_response()
}

async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.publisher.health().is_ready() {
        "ready\n".into_response()
    } else {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Kafka is unreachable").into_response()
    }
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("{} does not exist; POST to /api/emails/send or /api/sms/send", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed(uri: Uri) -> Problem {
    let allowed = if uri.path().starts_with("/api/") { "POST" } else { "GET" };
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} accepts {allowed} only", uri.path()))
}
