//! The pages of the console, over HTTP.

use axum::body::Body;
use axum::http::Request;
use base::bytes::Bytes;
use desk::audit::Actor;
use desk_api::{DeadLetter, Filter, PageSelector};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::console_client::{Browser, pages};
use crate::fixture::{Api, NOW, dead_letter, dead_letters};

/// Must be escaped on every page.
const SCRIPT: &str = "<script>window.xss=1</script>\"'><img src=x onerror=window.xss=1>";

fn hostile_dead_letter() -> DeadLetter {
    let mut dead_letter = dead_letter(1, SCRIPT);
    dead_letter.value = Some(Bytes(format!(r#"{{"a":"{}"}}"#, SCRIPT.replace('"', "\\\"")).into_bytes()));
    dead_letter.key = Some(Bytes(SCRIPT.as_bytes().to_vec()));
    dead_letter.message = SCRIPT.to_owned();
    dead_letter.detail = format!("{SCRIPT}\u{202e}");
    dead_letter.plugin = format!("{SCRIPT}@1");
    dead_letter.backtrace = SCRIPT.to_owned();
    dead_letter.exception = SCRIPT.to_owned();
    dead_letter.source.topic = SCRIPT.to_owned();
    dead_letter.headers.push((Bytes(SCRIPT.as_bytes().to_vec()), Some(Bytes(SCRIPT.as_bytes().to_vec()))));
    dead_letter
}

#[tokio::test]
async fn every_page_exists_in_both_languages() {
    let some = dead_letters(60);
    for api in [Api::with(&some).await, Api::with(&[]).await] {
        for lang in ["en", "ko"] {
            let browser = Browser::new(&api, lang);
            let is_empty = api.desk.count(&Filter::default()).await.expect("an answer") == 0;
            for path in pages(&some[0]) {
                let of_one = path.starts_with("/failures/") || path.starts_with("/dead-letters/");
                if is_empty && of_one {
                    assert_eq!(browser.get(&path).await.status, 404, "{path}");
                    continue;
                }
                let page = browser.page(&path).await;
                assert!(page.contains(&format!("<html lang=\"{lang}\"")), "{path}");
                assert!(page.contains("<h1") && page.contains("</html>"), "{path}");
                assert!(
                    !page.contains("style=") && !page.contains("onclick"),
                    "{path}: forbidden by the content security policy"
                );
            }
        }
    }
}

#[tokio::test]
async fn content_of_messages_is_escaped() {
    let dead_letter = hostile_dead_letter();
    let api = Api::with(std::slice::from_ref(&dead_letter)).await;
    let by = Actor { name: SCRIPT, reason: SCRIPT, now_ms: NOW };
    let failures = api.desk.failures(false, NOW, &PageSelector::First, 1).await.expect("failures").items;
    api.desk.update_failure(&failures[0].id, Some(SCRIPT), None, by).await.expect("updated");
    let one = Filter { ids: vec![dead_letter.id.clone()], ..Filter::default() };
    api.desk.discard(&one, by).await.expect("discarded");
    api.desk.restore(&one, by).await.expect("restored");
    let browser = Browser::new(&api, "en");
    let mut paths = pages(&DeadLetter { failure: failures[0].id.clone(), ..dead_letter.clone() });
    let script = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect::<String>();
    for field in ["text", "code", "topic", "plugin"] {
        paths.push(format!("/dead-letters?state=any&{field}={script}"));
    }
    let mut shown = 0;
    for path in paths {
        let page = browser.page(&path).await;
        for part in ["<script>window", "<img src=x", "\"'>"] {
            assert!(!page.contains(part), "{path}: {part}");
        }
        assert!(!page.contains('\u{202e}'), "{path}: a control character reverses the text");
        shown += page.matches("&#60;script&#62;window").count();
    }
    assert!(shown > 20, "only {shown} escaped scripts found");
    let value = browser.get(&format!("/dead-letters/{}/value", dead_letter.id)).await;
    assert_eq!(value.headers["content-type"], "application/octet-stream");
    assert!(value.headers["content-disposition"].to_str().expect("text").starts_with("attachment"));
    assert_eq!(
        value.headers["content-security-policy"].to_str().expect("text").split(';').next(),
        Some("default-src 'none'")
    );
}

#[tokio::test]
async fn malicious_addresses_are_answered_with_a_page() {
    let api = Api::with(&dead_letters(3)).await;
    let browser = Browser::new(&api, "en");
    for path in [
        "/dead-letters/../../etc/passwd",
        "/dead-letters/..%2f..%2fetc%2fpasswd",
        "/dead-letters/%00",
        "/failures/'%20OR%201=1",
        "/replays/zz",
        "/trials/zz",
        "/assets/../console.rs",
        "/nothing",
        "/dead-letters/%ff",
        "/failures/",
    ] {
        let answer = browser.get(path).await;
        assert!(answer.status == 404 || answer.status == 400, "{path}: {}", answer.status);
    }
    for query in [
        "text=%27%20OR%201%3D1--",
        "text=%25_!",
        "code=%27%3B%20DROP%20TABLE%20letters",
        "topic=%00",
        "text=%ff%fe",
    ] {
        let page = browser.page(&format!("/dead-letters?state=any&{query}")).await;
        assert!(page.contains("No dead letters found") || query.contains("%25"), "{query}");
    }
    for query in ["failure=x'", "ids=1;2", "state=none", "after=x", "after=1-a&last=true", "since_ms=x"] {
        assert_eq!(browser.get(&format!("/dead-letters?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(api.desk.count(&Filter::default()).await.expect("a count"), 3);
    assert_eq!(
        browser.get("/dead-letters?lang=ko&state=any").await.headers["location"],
        "/dead-letters?state=any"
    );
    assert!(browser.page("/dead-letters").await.contains("<html lang=\"ko\""));
}

#[tokio::test]
async fn before_the_start_of_the_host_a_waiting_page_is_shown() {
    let status = server::Status::default();
    let router = console::router(status, server::guard::AccessPolicy::new(None));
    let request = Request::get("/").header("host", "localhost").header("accept-language", "ko");
    let answer = router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 503);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("호스트를 시작하는 중입니다") && text.contains("http-equiv=\"refresh\""), "{text}");
}
