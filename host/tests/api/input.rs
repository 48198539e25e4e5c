//! Invalid requests.

use axum::body::Body;
use serde_json::json;

use crate::fixture::{Api, dead_letters};

#[tokio::test]
async fn invalid_parameters_are_named() {
    let api = Api::with(&dead_letters(1)).await;
    for (query, expected) in [
        ("stat=open", "did you mean \"state\"?"),
        ("sinse_ms=1", "did you mean \"since_ms\"?"),
        ("zzz=1", "known are ids, state"),
        ("state=dead", "open, replayed or discarded"),
        ("limit=0", "1 to 500"),
        ("limit=501", "1 to 500"),
        ("limit=-1", "an integer"),
        ("limit=9999999999999999999999", "an integer"),
        ("since_ms=yesterday", "an integer"),
        ("until_ms=1.5", "an integer"),
        ("last=yes", "true or false"),
        ("after=5", "not a cursor"),
        ("after=5-a'b", "not a cursor"),
        ("after=5-ab&last=true", "only one of them"),
        ("code=a&code=b", "given twice"),
        ("ids=xyz", "not an id"),
        ("ids=", "not an id"),
        ("ids=ab,,cd", "not an id"),
        ("failure=' OR 1=1", "not an id"),
    ] {
        let query = query.replace(' ', "%20").replace('\'', "%27");
        api.get(&format!("/dead-letters?{query}")).await.is_problem(400, expected);
    }
    api.get("/overview?x=1").await.is_problem(400, "this path has no parameters");
    api.get("/failures?open=1").await.is_problem(400, "true or false");
    let ids = vec!["ab"; 1000].join(",");
    assert_eq!(api.get(&format!("/dead-letters?ids={ids}")).await.status, 200);
    let ids = vec!["ab"; 1001].join(",");
    api.get(&format!("/dead-letters?ids={ids}")).await.is_problem(400, "at most 1000");
}

#[tokio::test]
async fn invalid_bodies_are_rejected() {
    let api = Api::with(&dead_letters(2)).await;
    let json = [("content-type", "application/json")];
    for (body, expected) in [
        ("", "the body"),
        ("{", "the body"),
        ("[]", "the body"),
        (r#"{"reason":"x"}"#, "the filter is empty"),
        (r#"{"reason":"x","filter":{"state":"open"}}"#, "the filter is empty"),
        (r#"{"reason":"x","filter":{"ids":["../"]}}"#, "not an id"),
        (r#"{"reason":"x","filter":{"ids":[""]}}"#, "not an id"),
        (r#"{"reason":"x","filter":{"failure":""}}"#, "not an id"),
        (r#"{"reason":"x","filter":{"sql":"1"}}"#, "unknown field"),
        (r#"{"reason":"x","all":true,"more":1}"#, "unknown field"),
        (r#"{"all":true}"#, "reason: required"),
        (r#"{"all":true,"reason":"  "}"#, "reason: required"),
    ] {
        api.ask("POST", "/dead-letters/discard", &json, body).await.is_problem(400, expected);
    }
    let long = json!({ "all": true, "reason": "x".repeat(1001) });
    api.post("/dead-letters/discard", &long).await.is_problem(400, "at most 1000 characters");
    let named = [("content-type", "application/json"), ("host-user", &"x".repeat(65)[..])];
    let body = r#"{"all":true,"reason":"x"}"#;
    api.ask("POST", "/dead-letters/discard", &named, body).await.is_problem(400, "at most 64 characters");
    // A request can exhaust neither the stack nor the memory.
    let deep = format!("{{\"filter\":{}", "[".repeat(200_000));
    api.ask("POST", "/dead-letters/discard", &json, deep).await.is_problem(400, "the body");
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(3 << 20));
    api.ask("POST", "/dead-letters/discard", &json, huge).await.is_problem(413, "2 MiB");
    api.ask("POST", "/dead-letters/import", &[], Body::from(vec![b'x'; 257 << 20]))
        .await
        .is_problem(413, "256 MiB");
    assert_eq!(api.found("/dead-letters/count?state=open").await["dead_letters"], 2);
}

#[tokio::test]
async fn sql_and_paths_in_parameters_are_plain_text() {
    let api = Api::with(&dead_letters(3)).await;
    for text in ["' OR '1'='1", "'; DROP TABLE letters; --", "%", "_", "\\", "$1", "\0", "!"] {
        for name in ["text", "code", "plugin", "topic", "message"] {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let count = api.found(&format!("/dead-letters/count?{name}={encoded}")).await;
            // A NUL is stored as U+FFFD, which every key here contains.
            let expected = if (name, text) == ("text", "\0") { 3 } else { 0 };
            assert_eq!(count["dead_letters"], expected, "{name} {text:?}");
        }
    }
    for path in [
        "/dead-letters/..%2f..%2fetc%2fpasswd",
        "/dead-letters/%27%20OR%201=1",
        "/dead-letters/%2e%2e",
        "/dead-letters/%00",
        "/dead-letters/%ff",
        "/dead-letters/%25",
        "/dead-letters/*",
        "/failures/..%2f..",
        "/replays/%3b",
        "/dead-letters/../../livez",
        "//dead-letters",
    ] {
        let answer = api.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {} {}", answer.status, answer.text());
        answer.is_problem(answer.status, "");
    }
    // With a single dead letter, an empty prefix would match it.
    let one = Api::with(&dead_letters(1)).await;
    one.get("/dead-letters/%27").await.is_problem(404, "no dead letter");
    one.get("/dead-letters/-").await.is_problem(404, "no dead letter");
    assert_eq!(api.found("/dead-letters/count").await["dead_letters"], 3);
}
