//! The document that describes the API, and its routes.

use std::collections::BTreeSet;

use axum::body::Body;
use serde_json::{Value, json};
use server::guard::AccessPolicy;
use server::{Status, api};

use crate::console_client::Browser;
use crate::fixture::{Api, ask, dead_letters};

const ROUTES: [&str; 44] = [
    "get /audit-log",
    "get /dead-letters",
    "get /dead-letters/count",
    "get /dead-letters/export",
    "get /dead-letters/{id}",
    "get /dead-letters/{id}/audit-log",
    "get /failures",
    "get /failures/{id}",
    "get /groups",
    "get /health",
    "get /held-keys",
    "get /history",
    "get /overview",
    "get /partitions",
    "get /plugins",
    "get /plugins/{name}",
    "get /replays",
    "get /replays/{id}",
    "get /replays/{id}/dead-letters",
    "get /settings",
    "get /topics",
    "get /trials",
    "get /trials/{id}",
    "get /trials/{id}/dead-letters",
    "get /waiting",
    "patch /failures/{id}",
    "post /alerts/test",
    "post /dead-letters/discard",
    "post /dead-letters/import",
    "post /dead-letters/restore",
    "post /dead-letters/{id}/edit",
    "post /plugins/{name}/pause",
    "post /plugins/{name}/release",
    "post /plugins/{name}/resume",
    "post /replays",
    "post /replays/preview",
    "post /replays/{id}/cancel",
    "post /replays/{id}/pause",
    "post /replays/{id}/resume",
    "post /trials",
    "post /trials/{id}/cancel",
    "post /waiting/give-up",
    "post /waiting/postpone",
    "post /waiting/run-now",
];

#[tokio::test]
async fn every_route_is_described_and_answered() {
    let api = Api::with(&[]).await;
    let document = api.found("/openapi.json").await;
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("an item").keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(described.iter().map(String::as_str).collect::<Vec<_>>(), ROUTES);
    assert_eq!(document["servers"][0]["url"], "/api/v1");
    for route in &described {
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let operation = &document["paths"][path][method];
        assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{route}");
        assert!(
            operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
            "{route}"
        );
        let asked = path.replace("{id}", "00");
        let headers = [("content-type", "application/json")];
        let answer = api.ask(&method.to_uppercase(), &asked, &headers, "{}").await;
        assert!(
            !answer.text().contains("does not exist") && answer.status != 405,
            "{route}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn every_reference_of_the_document_resolves() {
    let api = Api::with(&[]).await;
    let document = api.found("/openapi.json").await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("one within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let filter = document
        .pointer("/paths/~1dead-letters/get/parameters")
        .and_then(Value::as_array)
        .expect("parameters");
    let names: BTreeSet<_> = filter.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    for name in ["ids", "state", "since_ms", "text", "limit", "after", "before", "last"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object).expect("schemas");
    assert!(schemas.contains_key("DeadLetter") && schemas.contains_key("Replay"), "{:?}", schemas.keys());
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            into.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}

#[tokio::test]
async fn unknown_paths_and_ids_are_problems() {
    let api = Api::with(&dead_letters(1)).await;
    api.get("/nothing").await.is_problem(404, "/api/v1/openapi.json");
    api.get("").await.is_problem(404, "does not exist");
    api.ask("DELETE", "/dead-letters", &[], Body::empty()).await.is_problem(405, "DELETE");
    api.get("/dead-letters/00").await.is_problem(404, "no dead letter");
    api.get("/failures/00").await.is_problem(404, "no failure");
    api.get("/replays/00").await.is_problem(404, "no replay");
}

#[tokio::test]
async fn before_the_start_of_the_host_the_desk_is_unavailable() {
    let router = api::router(Status::default(), AccessPolicy::new(None));
    let answer = ask(&router, "GET", "/dead-letters", &[], Body::empty()).await;
    answer.is_problem(503, "starting");
    assert_eq!(answer.headers["retry-after"], "1");
    // The document needs no desk.
    assert_eq!(ask(&router, "GET", "/openapi.json", &[], Body::empty()).await.status, 200);
}

#[tokio::test]
async fn the_overview_lists_the_plugins() {
    let api = Api::with(&dead_letters(3)).await;
    let overview = api.found("/overview").await;
    assert_eq!(overview["open_dead_letters"], 3);
    assert_eq!(overview["plugins"][0]["plugin"], "email@0.1.0");
    for count in ["done", "failed", "dead_letters", "retry_waiting", "lag"] {
        assert!(overview["plugins"][0][count].is_u64(), "{count}: {overview}");
    }
    let destination = &overview["destinations"][0];
    assert_eq!(destination["destination"], "smtp://mail.example:25");
    assert_eq!(destination["outage_reason"], "connection <b>refused</b>");
    assert!(destination["outage_since_ms"].is_u64() && destination["learned_limit"].is_null(), "{overview}");
    assert_eq!((&destination["in_use"], &destination["limit"]), (&json!(0), &json!(1)));
    let page = Browser::new(&api, "en").page("/").await;
    assert!(
        page.contains("smtp://mail.example:25") && page.contains("connection &#60;b&#62;refused"),
        "{page}"
    );
}
