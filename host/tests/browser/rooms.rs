//! The rooms: plugins, topics, settings, failures and their causes; a replay in progress; ids.

use crate::chromium::{Browser, ENTER, Options};
use crate::fixture::Desk;
use crate::keyboard::press;

#[test]
fn each_room_answers_its_question() {
    let desk = Desk::start("rooms", &["--auto-offset-reset", "earliest"]);
    desk.fail_as_usual(6, 2);
    desk.wait_for_retry(0..4);
    let browser = Browser::start(Options::default());
    // What runs, what it may do, and how it fails.
    browser.goto(&desk.url("/plugins"));
    for text in ["faulty-fast 0.1.0", "Plugin digest", "Contract", "Isolation", "asked-reject", "Limits"] {
        browser.reads(text);
    }
    browser.click("Pause");
    browser.fill("#reason", "the shop moves");
    browser.click("Pause");
    browser.reads("Paused");
    browser.goto(&desk.url("/plugins"));
    browser.reads("the shop moves");
    browser.click("Resume");
    browser.fill("#reason", "the shop has moved");
    browser.click("Resume");
    browser.goto(&desk.url("/plugins"));
    browser.find(".state.running");
    // Which topics and groups there are, and who reads them.
    browser.goto(&desk.url("/topics"));
    for text in ["faulty-fast-retry-10", "faulty-fast.dlt", "faulty-fast-group-retry", "Stable"] {
        browser.reads(text);
    }
    // What is set, and where.
    browser.goto(&desk.url("/settings"));
    for text in ["auto-offset-reset", "earliest", "bootstrap-servers"] {
        browser.reads(text);
    }
    // A number of the overview leads to its list.
    browser.goto(&desk.url("/"));
    browser.find("#failures .facts a").click();
    browser.reads("All 8 that match");
    // A wrong address leads on.
    browser.goto(&desk.url("/no-such-page"));
    browser.reads("Not found");
    browser.click("Failures");
    browser.find("nav a[href='/failures'][aria-current]");
    browser.close();
    desk.stop();
}

#[test]
fn causes_are_told_apart_and_a_replay_in_progress_is_seen_everywhere() {
    let desk = Desk::start("causes", &[]);
    desk.fail_as_usual(20, 2);
    desk.fail((0..3).map(|id| format!(r#"{{"id":"t{id}","do":"trap"}}"#)));
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/failures"));
    let rows = browser.run(
        "return [...document.querySelectorAll('tr[data-row]')].map((it) => [it.querySelector('a').innerText, it.querySelector('td b').innerText])",
    );
    for row in [["asked-reject", "20"], ["invalid-message", "2"], ["trap", "3"]] {
        assert!(
            rows.as_array().expect("rows").iter().any(|found| *found == serde_json::json!(row)),
            "{rows}"
        );
    }
    replay_in_progress(&browser, &desk);
    // An id is one button, and the search accepts what it copies.
    browser.goto(&desk.url("/dead-letters?state=open&code=trap"));
    browser.find("#list tbody tr a.open").click();
    browser.reads("Timeline");
    let (path, id) =
        (browser.path(), browser.find("h1 button[data-copy], p button[data-copy]").attr("data-copy"));
    browser.goto(&desk.url("/"));
    browser.keys("/");
    browser.keys(&id);
    press(&browser, ENTER);
    browser.reads("Timeline");
    assert_eq!(browser.path(), path);
    browser.close();
    desk.stop();
}

/// It is on the overview and on its failure; one that is stopped says why.
fn replay_in_progress(browser: &Browser, desk: &Desk) {
    browser.goto(&desk.url("/failures"));
    browser.click("asked-reject");
    browser.click("Replay");
    browser.fill("#ramp", "20");
    browser.fill("#limit", "100");
    browser.fill("#rate", "0.2");
    browser.click("Start replay");
    browser.reads("Running");
    let replay = browser.path();
    browser.goto(&desk.url("/"));
    browser.reads("Replays in progress");
    browser.find(&format!("#active-replays a[href='{replay}']"));
    browser.goto(&desk.url("/failures"));
    browser.click("asked-reject");
    browser.find(&format!(".banner a[href='{replay}']")).click();
    browser.click("Pause");
    browser.reads("Paused");
    browser.click("Cancel replay");
    browser.reads("Cancelled");
    browser.goto(&desk.url("/"));
    browser.reads("Open failures");
    assert!(!browser.text().contains("Replays in progress"));
}
