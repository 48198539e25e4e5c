//! Access control.

use axum::body::Body;
use serde_json::json;

use crate::fixture::{Api, dead_letters};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const DISCARD: &str = r#"{"all":true,"reason":"test"}"#;

#[tokio::test]
async fn with_a_token_every_request_needs_it() {
    let api = Api::start(&dead_letters(2), Some(TOKEN), "127.0.0.1:1").await;
    let right = format!("Bearer {TOKEN}");
    for path in [
        "/dead-letters",
        "/dead-letters/count",
        "/dead-letters/export",
        "/openapi.json",
        "/overview",
        "/nothing",
    ] {
        let answer = api.get(path).await;
        answer.is_problem(401, "Bearer");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"host\"", "{path}");
    }
    for wrong in
        ["Bearer wrong", "Bearer ", "Basic MDEyMw==", &right[..right.len() - 1], &format!("{right}0")]
    {
        api.ask("GET", "/dead-letters", &[("authorization", wrong)], Body::empty())
            .await
            .is_problem(401, "token");
    }
    api.ask("POST", "/dead-letters/discard", &[("content-type", "application/json")], DISCARD)
        .await
        .is_problem(401, "token");
    api.ask("POST", "/dead-letters/import", &[], "{}").await.is_problem(401, "token");
    // With a token the host can have any name.
    let headers = [("authorization", right.as_str()), ("host", "desk.example.com")];
    let answer = api.ask("GET", "/dead-letters", &headers, Body::empty()).await;
    assert_eq!((answer.status, answer.json()["items"][0]["state"].as_str()), (200, Some("open")));
}

#[tokio::test]
async fn without_a_token_only_local_names_are_accepted() {
    let api = Api::with(&dead_letters(1)).await;
    for host in ["evil.example", "evil.example:8081", "192.168.0.1:8081", "localhost.evil.example"] {
        api.ask("GET", "/dead-letters", &[("host", host)], Body::empty()).await.is_problem(421, "desk.token");
    }
    for host in ["localhost", "127.0.0.1:8081", "[::1]:8081"] {
        assert_eq!(
            api.ask("GET", "/dead-letters", &[("host", host)], Body::empty()).await.status,
            200,
            "{host}"
        );
    }
}

#[tokio::test]
async fn cross_site_requests_change_nothing() {
    let api = Api::with(&dead_letters(2)).await;
    let json = ("content-type", "application/json");
    for from in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        for path in ["/dead-letters/discard", "/dead-letters/import", "/replays", "/replays/00/cancel"] {
            api.ask("POST", path, &[json, from], DISCARD).await.is_problem(403, "cross-site");
        }
        api.ask("PATCH", "/failures/00", &[json, from], "{}").await.is_problem(403, "cross-site");
    }
    // Media types that a form can send without a preflight request.
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        api.ask("POST", "/dead-letters/discard", &[("content-type", media)], DISCARD)
            .await
            .is_problem(415, "application/json");
    }
    assert_eq!(api.found("/dead-letters/count?state=open").await["dead_letters"], 2);
    let own = [json, ("origin", "http://localhost:8081"), ("sec-fetch-site", "same-origin")];
    let answer = api.ask("POST", "/dead-letters/discard", &own, DISCARD).await;
    assert_eq!(answer.json(), json!({ "dead_letters": 2 }));
}
