//! Who may ask.

use axum::body::Body;
use serde_json::json;

use crate::fixture::{Api, letters};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const DISCARD: &str = r#"{"all":true,"reason":"by force"}"#;

#[tokio::test]
async fn with_a_token_nothing_is_answered_without_it() {
    let api = Api::start(&letters(2), Some(TOKEN), "127.0.0.1:1").await;
    let right = format!("Bearer {TOKEN}");
    for path in ["/letters", "/letters/count", "/letters/export", "/openapi.json", "/overview", "/nothing"] {
        let answer = api.get(path).await;
        answer.is_problem(401, "Bearer");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"host\"", "{path}");
    }
    for wrong in
        ["Bearer wrong", "Bearer ", "Basic MDEyMw==", &right[..right.len() - 1], &format!("{right}0")]
    {
        api.ask("GET", "/letters", &[("authorization", wrong)], Body::empty()).await.is_problem(401, "token");
    }
    api.ask("POST", "/letters/discard", &[("content-type", "application/json")], DISCARD)
        .await
        .is_problem(401, "token");
    api.ask("POST", "/letters/import", &[], "{}").await.is_problem(401, "token");
    // By whatever name it is reached.
    let headers = [("authorization", right.as_str()), ("host", "desk.example.com")];
    let answer = api.ask("GET", "/letters", &headers, Body::empty()).await;
    assert_eq!((answer.status, answer.json()["items"][0]["state"].as_str()), (200, Some("open")));
}

#[tokio::test]
async fn without_a_token_a_name_that_points_here_is_refused() {
    let api = Api::with(&letters(1)).await;
    for host in ["evil.example", "evil.example:8081", "192.168.0.1:8081", "localhost.evil.example"] {
        api.ask("GET", "/letters", &[("host", host)], Body::empty()).await.is_problem(421, "desk.token");
    }
    for host in ["localhost", "127.0.0.1:8081", "[::1]:8081"] {
        assert_eq!(api.ask("GET", "/letters", &[("host", host)], Body::empty()).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn another_sites_page_changes_nothing() {
    let api = Api::with(&letters(2)).await;
    let json = ("content-type", "application/json");
    for from in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        for path in ["/letters/discard", "/letters/import", "/jobs", "/jobs/00/cancel"] {
            api.ask("POST", path, &[json, from], DISCARD).await.is_problem(403, "another site");
        }
        api.ask("PATCH", "/groups/00", &[json, from], "{}").await.is_problem(403, "another site");
    }
    // What a form can send without asking the browser's leave.
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        api.ask("POST", "/letters/discard", &[("content-type", media)], DISCARD)
            .await
            .is_problem(415, "application/json");
    }
    assert_eq!(api.found("/letters/count?state=open").await["letters"], 2);
    let own = [json, ("origin", "http://localhost:8081"), ("sec-fetch-site", "same-origin")];
    let answer = api.ask("POST", "/letters/discard", &own, DISCARD).await;
    assert_eq!(answer.json(), json!({ "letters": 2 }));
}
