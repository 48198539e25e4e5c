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
    assert_eq!(refused.status, 400);
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
        let refused = browser.submit(&page, "/replay", &fields).await;
        assert_eq!(refused.status, 400, "{name}");
        let page = refused.text();
        assert!(page.contains("role=\"alert\"") && page.contains("<form"), "the form appears again: {page}");
        assert!(page.contains(&format!("value=\"{wrong}\"")), "with what was entered: {page}");
    }
}

#[tokio::test]
async fn an_edit_is_reviewed_by_fields_and_sent_in_one_step() {
    let some = dead_letters(1);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let page = format!("/dead-letters/{}/edit", some[0].id);
    let shown = browser.page(&page).await;
    assert!(shown.contains("{\n  &#34;to&#34;: &#34;user0@example.com&#34;\n}"), "JSON is indented: {shown}");
    let value = "{\r\n  \"to\": \"other@example.com\"\r\n}";
    let fields = |value, reason, action| [("value", value), ("reason", reason), ("action", action)];
    let shown = browser.submit(&page, &page, &fields(value, "", "compare")).await.text();
    assert!(shown.contains("<th scope=\"row\" class=\"mono\">to</th>"), "the field is named: {shown}");
    assert!(shown.contains("user0@example.com") && shown.contains("other@example.com"), "{shown}");
    let refused = browser.submit(&page, &page, &fields(value, "", "send")).await.text();
    assert!(refused.contains("Enter a reason."), "{refused}");
    let refused = browser.submit(&page, &page, &fields("{\"to\":", "typo", "send")).await.text();
    assert!(refused.contains("this is not: EOF") && refused.contains("line 1"), "{refused}");
    assert_eq!(api.desk.count(&Filter::default()).await.expect("a count"), 1);
    let sent = browser.submit(&page, &page, &fields(value, "typo", "send")).await;
    let to = sent.headers["location"].to_str().expect("text");
    assert!(to.starts_with("/replays/"), "{to}");
    let original = api.desk.dead_letter(&some[0].id).await.expect("an answer").expect("a dead letter");
    assert_eq!(original.state, DeadLetterState::Edited);
    let copy = original.edited_as.expect("a copy");
    let shown = browser.page(&format!("/dead-letters/{}", some[0].id)).await;
    assert!(
        shown.contains(&format!("href=\"/dead-letters/{copy}\"")),
        "the original leads to its copy: {shown}"
    );
    let copy = api.desk.dead_letter(&copy).await.expect("an answer").expect("a dead letter");
    assert_eq!(
        copy.value.expect("a value").0,
        br#"{"to":"other@example.com"}"#,
        "in the form of the original"
    );
    assert_eq!(copy.edited_from.as_deref(), Some(&some[0].id[..]));
}

#[tokio::test]
async fn an_action_without_a_ticked_dead_letter_changes_nothing() {
    let api = Api::with(&dead_letters(60)).await;
    let browser = Browser::new(&api, "en");
    let list = browser.page("/dead-letters?state=any&code=bad-address").await;
    assert!(list.contains("All 60 that match"), "{list}");
    assert!(list.contains("name=\"back\" value=\"code=bad-address&#38;state=any\""), "{list}");
    for action in ["try", "replay", "discard", "restore"] {
        let answer = browser.get(&format!("/{action}?ticked=1&back=code%3Dbad-address%26state%3Dany")).await;
        assert_eq!(answer.status, 303, "{action}: {}", answer.text());
        let back = answer.headers["location"].to_str().expect("text");
        assert_eq!(
            back, "/dead-letters?code=bad-address&state=any&unticked=1",
            "{action}: the filter is kept"
        );
        assert!(browser.page(back).await.contains("no dead letter is selected"), "{action}");
    }
}

#[tokio::test]
async fn an_action_on_all_that_match_asks_for_their_number() {
    let some = dead_letters(60);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
    let count = async || api.desk.count(&open).await.expect("a count");
    let page = "/discard?code=bad-address";
    assert!(browser.page(page).await.contains("Enter the number of dead letters, 60, to confirm"));
    for number in ["", "6", "61"] {
        let refused = browser.submit(page, "/discard", &[("reason", "x"), ("number", number)]).await;
        assert!(refused.text().contains("is not the number of dead letters"), "{number}: {}", refused.text());
    }
    let plan = [("target", "retry"), ("ramp", "1"), ("rate", ""), ("limit", "10"), ("reason", "")];
    let refused = browser.submit("/replay?code=bad-address&target=retry", "/replay", &plan).await;
    assert!(refused.text().contains("is not the number of dead letters"), "{}", refused.text());
    // Ticked ones were seen.
    let ticked = format!("/discard?ticked=1&back=state%3Dopen&ids={}&ids={}", some[0].id, some[1].id);
    assert!(!browser.page(&ticked).await.contains("name=\"number\""));
    assert_eq!(browser.submit(&ticked, "/discard", &[("reason", "x")]).await.status, 303);
    assert_eq!(count().await, 58, "what is not ticked is not acted on");
    let done = browser.submit(page, "/discard", &[("reason", "x"), ("number", "58")]).await;
    assert_eq!((done.status, count().await), (303, 0), "{}", done.text());
}

#[tokio::test]
async fn the_search_and_the_pages_accept_the_short_id() {
    let some = dead_letters(40);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let short = &some[3].id[..8];
    let found = browser.get(&format!("/dead-letters?state=any&text={short}")).await;
    assert_eq!(found.headers["location"], format!("/dead-letters/{}", some[3].id));
    assert!(
        browser.page(&format!("/dead-letters/{short}")).await.contains(&format!("data-copy=\"{short}\""))
    );
    // Of 40 ids, several begin with the same digit.
    let mut firsts: Vec<&str> = some.iter().map(|one| &one.id[..1]).collect();
    firsts.sort_unstable();
    let twice = firsts.windows(2).find(|two| two[0] == two[1]).expect("a digit twice")[0];
    let ambiguous = browser.get(&format!("/dead-letters/{twice}")).await;
    assert_eq!(ambiguous.status, 409);
    assert!(ambiguous.text().contains("Enter more digits"), "{}", ambiguous.text());
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
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("the build"), "{}", refused.text());
    // A build may be larger than any other form.
    let (media, body) = multipart(&fields, &vec![0; 6 << 20]);
    let refused = browser.ask("POST", "/try", &[("content-type", &media)], body).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let large = format!("csrf={}&reason=x&query=", "x".repeat(6 << 20));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(browser.ask("POST", "/discard", &form, large).await.status, 413);
    let (media, body) = multipart(&[("csrf", "wrong"), ("query", "")], &build);
    assert_eq!(browser.ask("POST", "/try", &[("content-type", &media)], body).await.status, 403);
}
