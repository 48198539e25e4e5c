//! The forms of the console, over HTTP.

use desk_api::{DeadLetterState, Filter};
use testkit::plugin;

use crate::console_client::{Browser, hidden};
use crate::fixture::{Api, dead_letters};

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
