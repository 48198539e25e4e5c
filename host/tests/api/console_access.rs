//! Access to the console: the login, and forms of other sites.

use desk_api::{DeadLetterState, Filter, PageSelector};

use crate::console_client::{Browser, TOKEN, hidden, pages};
use crate::fixture::{Api, dead_letters};

#[tokio::test]
async fn with_a_token_every_page_needs_a_login() {
    let some = dead_letters(3);
    let api = Api::start(&some, Some(TOKEN), "127.0.0.1:1").await;
    let browser = Browser::new(&api, "en");
    for path in pages(&some[0]) {
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, 303, "{path}");
        let to = answer.headers["location"].to_str().expect("text");
        assert!(to.starts_with("/login?next=%2F"), "{to}");
        assert!(!answer.text().contains("bad-address"));
    }
    assert_eq!(browser.get("/events").await.status, 401);
    assert_eq!(browser.post("/discard", &[("query", ""), ("reason", "x")]).await.status, 401);
    for wrong in ["", "0123456789abcdef0124", "Bearer 0123456789abcdef0123"] {
        let answer = browser.post("/login", &[("token", wrong), ("name", "kim")]).await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.headers.get("set-cookie").is_none());
    }
    let next = [("token", TOKEN), ("name", "김철수"), ("next", "/failures?all=1")];
    let entered = browser.post("/login", &next).await;
    assert_eq!((entered.status, entered.headers["location"].to_str().ok()), (303, Some("/failures?all=1")));
    let cookie = entered.headers["set-cookie"].to_str().expect("text");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && !cookie.contains(TOKEN), "{cookie}");
    assert!(browser.page("/failures").await.contains("김철수"));
    let page = format!("/discard?ids={}", some[0].id);
    assert_eq!(browser.submit(&page, "/discard", &[("reason", "why")]).await.status, 303);
    assert!(browser.page("/audit-log").await.contains("김철수"));
    // A session does not grant access to the API, nor do forms of another session.
    assert_eq!(browser.get("/api/v1/dead-letters").await.status, 401);
    let other = Browser::new(&api, "en");
    other.post("/login", &next).await;
    let page = format!("/discard?ids={}", some[1].id);
    let csrf = hidden(&other.page(&page).await);
    let csrf = &csrf.iter().find(|(name, _)| name == "csrf").expect("a token").1;
    let taken = [("csrf", &csrf[..]), ("query", ""), ("reason", "why")];
    assert_eq!(browser.post("/discard", &taken).await.status, 403);
    let elsewhere = [("token", TOKEN), ("next", "//evil.example")];
    assert_eq!(other.post("/login", &elsewhere).await.headers["location"], "/");
    browser.post("/logout", &[]).await;
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn wrong_tokens_are_limited_in_rate() {
    let api = Api::start(&[], Some(TOKEN), "127.0.0.1:1").await;
    let browser = Browser::new(&api, "en");
    let mut last = 0;
    for guess in 0..15 {
        last = browser.post("/login", &[("token", &format!("guess-{guess}"))]).await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(browser.post("/login", &[("token", TOKEN)]).await.status, 303, "the right token is accepted");
}

#[tokio::test]
async fn forged_forms_change_nothing() {
    let some = dead_letters(3);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let which = format!("ids={}", some[0].id);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let csrf = hidden(&browser.page(&format!("/discard?{which}")).await);
    let csrf = csrf.iter().find(|(name, _)| name == "csrf").expect("a token").1.clone();
    let body = |csrf: &str| format!("csrf={csrf}&query=&reason=why");
    for more in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("host", "evil.example"),
    ] {
        let status = browser.ask("POST", "/discard", &[form, more], body(&csrf)).await.status;
        assert!(status == 403 || status == 421, "{more:?}: {status}");
    }
    for csrf in ["", "x", &csrf[1..]] {
        assert_eq!(browser.ask("POST", "/discard", &[form], body(csrf)).await.status, 403, "{csrf}");
    }
    // A form token without its cookie is invalid.
    let other = Browser::new(&api, "en");
    assert_eq!(other.ask("POST", "/discard", &[form], body(&csrf)).await.status, 403);
    for path in [
        "/restore",
        "/replay",
        &format!("/failures/{}", some[0].failure),
        &format!("/dead-letters/{}/edit", some[0].id),
    ] {
        let body = "csrf=x&query=&reason=a&target=source&limit=1&value=x&note=x";
        assert_eq!(browser.ask("POST", path, &[form], body).await.status, 403, "{path}");
    }
    let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
    assert_eq!(api.desk.count(&open).await.expect("a count"), 3);
    assert!(api.desk.audit_log(None, &PageSelector::First, 10).await.expect("actions").items.is_empty());
}
