//! The console, over HTTP.

use std::cell::RefCell;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use base::bytes::Bytes;
use desk::audit::Actor;
use desk_api::{DeadLetter, DeadLetterState, Filter, PageSelector};
use http_body_util::BodyExt as _;
use testkit::plugin;
use tower::ServiceExt as _;

use crate::fixture::{Answer, Api, NOW, dead_letter, dead_letters};

const TOKEN: &str = "0123456789abcdef0123";
/// Must be escaped on every page.
const SCRIPT: &str = "<script>window.xss=1</script>\"'><img src=x onerror=window.xss=1>";

/// A browser with its cookies.
struct Browser<'a> {
    api: &'a Api,
    lang: &'static str,
    cookies: RefCell<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    fn new(api: &'a Api, lang: &'static str) -> Self {
        Self { api, lang, cookies: RefCell::default() }
    }

    async fn ask(&self, method: &str, path: &str, more: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept-language", self.lang)
            .header("cookie", cookies.join("; "));
        if !more.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost:8081");
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let answer = self.api.router.clone().oneshot(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
        for cookie in head.headers.get_all("set-cookie") {
            let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
        }
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Body::empty()).await
    }

    /// A page that must be there.
    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask("POST", path, &form, body).await
    }

    /// Sends the first form of a page that goes to `to`, its hidden fields with these.
    async fn submit(&self, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
        let text = self.page(page).await;
        let mut all = hidden(&text);
        all.retain(|(name, _)| !fields.iter().any(|(known, _)| known == name));
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (&name[..], &value[..])).chain(fields.iter().copied()).collect();
        self.post(to, &all).await
    }
}

/// The hidden fields of the last form of a page.
fn hidden(page: &str) -> Vec<(String, String)> {
    let form = page.rsplit("<form").find(|form| form.contains("name=\"csrf\"")).unwrap_or_default();
    let inputs = form.split("<input type=\"hidden\" name=\"").skip(1);
    inputs
        .map(|input| {
            let (name, rest) = input.split_once("\" value=\"").expect("a value");
            let value = rest.split('"').next().expect("its end").replace("&#38;", "&").replace("&amp;", "&");
            (name.to_owned(), value)
        })
        .collect()
}

fn nasty() -> DeadLetter {
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

fn pages(dead_letter: &DeadLetter) -> Vec<String> {
    let (id, failure) = (&dead_letter.id, &dead_letter.failure);
    let mut pages: Vec<String> = [
        "/",
        "/failures",
        "/failures?all=1",
        "/dead-letters",
        "/dead-letters?state=any",
        "/replays",
        "/trials",
        "/audit-log",
    ]
    .map(str::to_owned)
    .into();
    for path in [
        "/failures/{failure}",
        "/dead-letters/{id}",
        "/dead-letters/{id}/edit",
        "/replay?failure={failure}",
        "/discard?ids={id}",
        "/restore?ids={id}",
        "/try?failure={failure}",
        "/dead-letters?state=any&failure={failure}",
    ] {
        pages.push(path.replace("{id}", id).replace("{failure}", failure));
    }
    pages
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
                assert!(page.contains(&format!("<html lang=\"{lang}\">")), "{path}");
                assert!(page.contains("<h1") && page.contains("</html>"), "{path}");
                assert!(
                    !page.contains("style=") && !page.contains("onclick"),
                    "{path}: the policy forbids it"
                );
            }
        }
    }
}

#[tokio::test]
async fn content_of_messages_is_escaped() {
    let dead_letter = nasty();
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
        assert!(!page.contains('\u{202e}'), "{path}: what follows is turned around");
        shown += page.matches("&#60;script&#62;window").count();
    }
    assert!(shown > 20, "the test looks at nothing: {shown}");
    let value = browser.get(&format!("/dead-letters/{}/value", dead_letter.id)).await;
    assert_eq!(value.headers["content-type"], "application/octet-stream");
    assert!(value.headers["content-disposition"].to_str().expect("text").starts_with("attachment"));
    assert_eq!(
        value.headers["content-security-policy"].to_str().expect("text").split(';').next(),
        Some("default-src 'none'")
    );
}

#[tokio::test]
async fn dead_letters_are_discarded_and_restored_by_forms() {
    let some = dead_letters(3);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let page = format!("/discard?failure={}", some[0].failure);
    let count = async |state| {
        api.desk.count(&Filter { state: Some(state), ..Filter::default() }).await.expect("a count")
    };
    let refused = browser.submit(&page, "/discard", &[("reason", "  ")]).await;
    assert!(refused.text().contains("Enter a reason."), "{}", refused.text());
    assert_eq!(count(DeadLetterState::Open).await, 3);
    let done = browser.submit(&page, "/discard", &[("reason", "a test")]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!((count(DeadLetterState::Open).await, count(DeadLetterState::Discarded).await), (0, 3));
    let to = done.headers["location"].to_str().expect("text").to_owned();
    assert!(browser.page(&to).await.contains("Discarded"));
    let done = browser.submit(&page.replace("discard", "restore"), "/restore", &[("reason", "")]).await;
    assert_eq!((done.status, count(DeadLetterState::Open).await), (303, 3));
    assert!(browser.page("/audit-log").await.contains("a test"));
}

#[tokio::test]
async fn a_replay_is_started_paused_and_cancelled_by_forms() {
    let some = dead_letters(3);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let page = format!("/replay?target=retry&failure={}", some[0].failure);
    let fields = [("target", "retry"), ("ramp", "1, 2"), ("rate", ""), ("limit", "10"), ("reason", "fixed")];
    let begun = browser.submit(&page, "/replay", &fields).await;
    assert_eq!(begun.status, 303, "{}", begun.text());
    let replay = begun.headers["location"].to_str().expect("text").to_owned();
    let shown = browser.page(&replay).await;
    assert!(shown.contains("Running") && shown.contains("fixed"), "{shown}");
    for (action, state) in [("pause", "Paused"), ("resume", "Running"), ("cancel", "Cancelled")] {
        assert_eq!(browser.submit(&replay, &replay, &[("action", action)]).await.status, 303, "{action}");
        assert!(browser.page(&replay).await.contains(state), "{state}");
    }
    let again = browser.post(&replay, &[("csrf", "wrong"), ("action", "resume")]).await;
    assert_eq!(again.status, 403);
    for (name, wrong) in [("ramp", "1, x"), ("rate", "-1"), ("limit", "900")] {
        let mut fields = fields.to_vec();
        fields.retain(|(known, _)| *known != name);
        fields.push((name, wrong));
        assert_eq!(browser.submit(&page, "/replay", &fields).await.status, 400, "{name}");
    }
}

#[tokio::test]
async fn an_edited_copy_is_saved_after_its_changes_were_shown() {
    let some = dead_letters(1);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let page = format!("/dead-letters/{}/edit", some[0].id);
    let value = r#"{"to":"other@example.com"}"#;
    let shown =
        browser.submit(&page, &page, &[("value", value), ("reason", ""), ("action", "compare")]).await;
    assert!(shown.text().contains("class=\"added\">+{&#34;to&#34;"), "{}", shown.text());
    let refused = browser.submit(&page, &page, &[("value", value), ("reason", ""), ("action", "save")]).await;
    assert!(refused.text().contains("Enter a reason."));
    assert_eq!(api.desk.count(&Filter::default()).await.expect("a count"), 1);
    let kept =
        browser.submit(&page, &page, &[("value", value), ("reason", "typo"), ("action", "save")]).await;
    let to = kept.headers["location"].to_str().expect("text");
    let copy = api
        .desk
        .dead_letter(to.trim_start_matches("/replay?ids="))
        .await
        .expect("an answer")
        .expect("a dead letter");
    assert_eq!(copy.value.expect("a value").0, value.as_bytes());
    assert_eq!(copy.edited_from.as_deref(), Some(&some[0].id[..]));
}

fn multipart(fields: &[(&str, &str)], build: &[u8]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(
            format!("--limit\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .as_bytes(),
        );
    }
    body.extend_from_slice(
        b"--limit\r\ncontent-disposition: form-data; name=\"build\"; filename=\"b.wasm\"\r\n\r\n",
    );
    body.extend_from_slice(build);
    body.extend_from_slice(b"\r\n--limit--\r\n");
    ("multipart/form-data; boundary=limit".to_owned(), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_tried_by_a_form() {
    let api = Api::with(&dead_letters(3)).await;
    let browser = Browser::new(&api, "en");
    let page = browser.page("/try?state=open").await;
    let fields = hidden(&page);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    let build = std::fs::read(plugin("faulty_fast")).expect("a plugin");
    let (media, body) = multipart(&fields, &build);
    let begun = browser.ask("POST", "/try", &[("content-type", &media)], body).await;
    assert_eq!(begun.status, 303, "{}", begun.text());
    let trial = begun.headers["location"].to_str().expect("text").to_owned();
    for _ in 0..500 {
        let page = browser.page(&trial).await;
        if page.contains("class=\"state done\"") {
            assert!(page.contains("faulty-fast@0.1.0") && page.contains("Failed"), "{page}");
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (media, body) = multipart(&fields, b"no component");
    let refused = browser.ask("POST", "/try", &[("content-type", &media)], body).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("the build"), "{}", refused.text());
    // A build may be larger than any other form.
    let (media, body) = multipart(&fields, &vec![0; 6 << 20]);
    let refused = browser.ask("POST", "/try", &[("content-type", &media)], body).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let large = format!("csrf={}&reason=x&query=", "x".repeat(6 << 20));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(browser.ask("POST", "/discard", &form, large).await.status, 413);
    let (media, body) = multipart(&[("csrf", "wrong"), ("query", "")], &build);
    assert_eq!(browser.ask("POST", "/try", &[("content-type", &media)], body).await.status, 403);
}

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
async fn the_token_cannot_be_guessed_fast() {
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
    assert!(browser.page("/dead-letters").await.contains("<html lang=\"ko\">"));
}

#[tokio::test]
async fn before_the_host_has_started_a_page_is_shown() {
    let status = server::Status::default();
    let router = server::console::router(status, server::guard::AccessPolicy::new(None));
    let request = Request::get("/").header("host", "localhost").header("accept-language", "ko");
    let answer = router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), 503);
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("호스트를 시작하는 중입니다") && text.contains("http-equiv=\"refresh\""), "{text}");
}
