//! The document that describes the API, and its routes.

use std::collections::BTreeSet;

use axum::body::Body;
use serde_json::Value;
use server::guard::Access;
use server::{Status, api};

use crate::fixture::{Api, ask, letters};

const ROUTES: [&str; 27] = [
    "get /actions",
    "get /groups",
    "get /groups/{id}",
    "get /jobs",
    "get /jobs/{id}",
    "get /letters",
    "get /letters/count",
    "get /letters/export",
    "get /letters/{id}",
    "get /letters/{id}/actions",
    "get /overview",
    "get /trials",
    "get /trials/{id}",
    "get /trials/{id}/letters",
    "patch /groups/{id}",
    "post /alerts/test",
    "post /jobs",
    "post /jobs/preview",
    "post /jobs/{id}/cancel",
    "post /jobs/{id}/pause",
    "post /jobs/{id}/resume",
    "post /letters/discard",
    "post /letters/import",
    "post /letters/restore",
    "post /letters/{id}/edit",
    "post /trials",
    "post /trials/{id}/cancel",
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
        assert!(!answer.text().contains("is not here") && answer.status != 405, "{route}: {}", answer.text());
    }
}

#[tokio::test]
async fn whatever_the_document_refers_to_is_in_it() {
    let api = Api::with(&[]).await;
    let document = api.found("/openapi.json").await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("one within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let filter =
        document.pointer("/paths/~1letters/get/parameters").and_then(Value::as_array).expect("parameters");
    let names: BTreeSet<_> = filter.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    for name in ["ids", "state", "since_ms", "text", "limit", "after", "before", "last"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object).expect("schemas");
    assert!(schemas.contains_key("Letter") && schemas.contains_key("Job"), "{:?}", schemas.keys());
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
async fn what_is_not_there_is_said_so() {
    let api = Api::with(&letters(1)).await;
    api.get("/nothing").await.is_problem(404, "/api/v1/openapi.json");
    api.get("").await.is_problem(404, "is not here");
    api.ask("DELETE", "/letters", &[], Body::empty()).await.is_problem(405, "DELETE");
    api.get("/letters/00").await.is_problem(404, "no letter");
    api.get("/groups/00").await.is_problem(404, "no group");
    api.get("/jobs/00").await.is_problem(404, "no job");
}

#[tokio::test]
async fn before_the_host_has_started_the_desk_is_not_open() {
    let router = api::router(Status::default(), Access::new(None));
    let answer = ask(&router, "GET", "/letters", &[], Body::empty()).await;
    answer.is_problem(503, "starting");
    assert_eq!(answer.headers["retry-after"], "1");
    // What is described needs no desk.
    assert_eq!(ask(&router, "GET", "/openapi.json", &[], Body::empty()).await.status, 200);
}

#[tokio::test]
async fn the_overview_names_what_runs() {
    let api = Api::with(&letters(3)).await;
    let overview = api.found("/overview").await;
    assert_eq!(overview["open_letters"], 3);
    assert_eq!(overview["plugins"][0]["plugin"], "email@0.1.0");
    for count in ["done", "failed", "dead", "retry_waiting", "lag"] {
        assert!(overview["plugins"][0][count].is_u64(), "{count}: {overview}");
    }
}
