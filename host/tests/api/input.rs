//! What nobody should send.

use axum::body::Body;
use serde_json::json;

use crate::fixture::{Api, letters};

#[tokio::test]
async fn bad_parameters_are_named() {
    let api = Api::with(&letters(1)).await;
    for (query, says) in [
        ("stat=open", "did you mean \"state\"?"),
        ("sinse_ms=1", "did you mean \"since_ms\"?"),
        ("zzz=1", "there are ids, state"),
        ("state=dead", "open, replayed or discarded"),
        ("limit=0", "1 to 500"),
        ("limit=501", "1 to 500"),
        ("limit=-1", "a whole number"),
        ("limit=9999999999999999999999", "a whole number"),
        ("since_ms=yesterday", "a whole number"),
        ("until_ms=1.5", "a whole number"),
        ("last=yes", "true or false"),
        ("after=5", "not a cursor"),
        ("after=5-a'b", "not a cursor"),
        ("after=5-ab&last=true", "only one of them"),
        ("code=a&code=b", "twice"),
        ("ids=xyz", "no id"),
        ("ids=", "no id"),
        ("ids=ab,,cd", "no id"),
        ("group=' OR 1=1", "no id"),
    ] {
        let query = query.replace(' ', "%20").replace('\'', "%27");
        api.get(&format!("/letters?{query}")).await.is_problem(400, says);
    }
    api.get("/overview?x=1").await.is_problem(400, "there are none here");
    api.get("/groups?open=1").await.is_problem(400, "true or false");
    let ids = vec!["ab"; 1000].join(",");
    assert_eq!(api.get(&format!("/letters?ids={ids}")).await.status, 200);
    let ids = vec!["ab"; 1001].join(",");
    api.get(&format!("/letters?ids={ids}")).await.is_problem(400, "at most 1000");
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let api = Api::with(&letters(2)).await;
    let json = [("content-type", "application/json")];
    for (body, says) in [
        ("", "the body"),
        ("{", "the body"),
        ("[]", "the body"),
        (r#"{"reason":"x"}"#, "the filter is empty"),
        (r#"{"reason":"x","filter":{"state":"open"}}"#, "the filter is empty"),
        (r#"{"reason":"x","filter":{"ids":["../"]}}"#, "no id"),
        (r#"{"reason":"x","filter":{"ids":[""]}}"#, "no id"),
        (r#"{"reason":"x","filter":{"group":""}}"#, "no id"),
        (r#"{"reason":"x","filter":{"sql":"1"}}"#, "unknown field"),
        (r#"{"reason":"x","all":true,"more":1}"#, "unknown field"),
        (r#"{"all":true}"#, "say why"),
        (r#"{"all":true,"reason":"  "}"#, "say why"),
    ] {
        api.ask("POST", "/letters/discard", &json, body).await.is_problem(400, says);
    }
    let long = json!({ "all": true, "reason": "x".repeat(1001) });
    api.post("/letters/discard", &long).await.is_problem(400, "at most 1000 characters");
    let named = [("content-type", "application/json"), ("host-user", &"x".repeat(65)[..])];
    let body = r#"{"all":true,"reason":"x"}"#;
    api.ask("POST", "/letters/discard", &named, body).await.is_problem(400, "at most 64 characters");
    // Neither the stack nor the memory is the client's.
    let deep = format!("{{\"filter\":{}", "[".repeat(200_000));
    api.ask("POST", "/letters/discard", &json, deep).await.is_problem(400, "the body");
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(3 << 20));
    api.ask("POST", "/letters/discard", &json, huge).await.is_problem(413, "2 MiB");
    api.ask("POST", "/letters/import", &[], Body::from(vec![b'x'; 257 << 20]))
        .await
        .is_problem(413, "256 MiB");
    assert_eq!(api.found("/letters/count?state=open").await["letters"], 2);
}

#[tokio::test]
async fn sql_and_paths_in_places_of_texts_are_texts() {
    let api = Api::with(&letters(3)).await;
    for text in ["' OR '1'='1", "'; DROP TABLE letters; --", "%", "_", "\\", "$1", "\0", "!"] {
        for name in ["text", "code", "plugin", "topic", "message"] {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let count = api.found(&format!("/letters/count?{name}={encoded}")).await;
            // A NUL is kept as U+FFFD, which is in every key here.
            let expected = if (name, text) == ("text", "\0") { 3 } else { 0 };
            assert_eq!(count["letters"], expected, "{name} {text:?}");
        }
    }
    for path in [
        "/letters/..%2f..%2fetc%2fpasswd",
        "/letters/%27%20OR%201=1",
        "/letters/%2e%2e",
        "/letters/%00",
        "/letters/%ff",
        "/letters/%25",
        "/letters/*",
        "/groups/..%2f..",
        "/jobs/%3b",
        "/letters/../../livez",
        "//letters",
    ] {
        let answer = api.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {} {}", answer.status, answer.text());
        answer.is_problem(answer.status, "");
    }
    // One letter alone: an id of nothing must not stand for it.
    let one = Api::with(&letters(1)).await;
    one.get("/letters/%27").await.is_problem(404, "no letter");
    one.get("/letters/-").await.is_problem(404, "no letter");
    assert_eq!(api.found("/letters/count").await["letters"], 3);
}
