//! The list of dead letters: what is ticked, ids, times; an edit in one step; a replay that fails again.

use testkit::eventually;

use crate::chromium::{BOUND, Browser, Options};
use crate::fixture::Desk;

#[test]
fn only_what_is_ticked_is_acted_on() {
    let desk = Desk::start("selection", &[]);
    desk.fail_as_usual(6, 0);
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/dead-letters?state=open&code=asked-reject"));
    browser.reads("All 6 that match");
    let disabled =
        "return [...document.querySelectorAll('#selection button[formaction]')].map((it) => it.disabled)";
    let all = |expected: bool| {
        let states = browser.run(disabled);
        let states = states.as_array().expect("buttons");
        states.len() == 4 && states.iter().all(|state| *state == expected)
    };
    assert!(all(true), "nothing is ticked, so there is nothing to do");
    browser.find("#list tbody tr:nth-child(1) input").click();
    browser.find("#list tbody tr:nth-child(3) input").click();
    assert!(all(false));
    assert_eq!(browser.run("return document.querySelector('[data-ticked]').textContent"), "2");
    browser.find("#selection button[formaction='/discard']").click();
    browser.reads("2 dead letters");
    browser.fill("#reason", "only these");
    browser.find("form.stack button.main").click();
    browser.find("option[value='discarded'][selected]");
    assert_eq!((desk.count("state=open"), desk.count("state=discarded")), (4, 2));

    // All on this page are ticked by one box.
    browser.goto(&desk.url("/dead-letters?state=open"));
    browser.find("[data-tick-all]").click();
    assert_eq!(browser.run("return document.querySelector('[data-ticked]').textContent"), "4");
    // Times are local, with their zone; the tooltip has UTC.
    let time = browser
        .run("const it = document.querySelector('time[data-local]'); return [it.textContent, it.title]");
    let text = |index: usize| time[index].as_str().expect("a text").to_owned();
    assert!(text(0).contains(":") && text(0).ends_with("00") && text(1).ends_with('Z'), "{time}");
    edited_in_one_step(&browser, &desk);
    browser.close();
    desk.stop();
}

/// An edited copy that fails again: the original is closed, nothing is green, and the pages lead on.
fn edited_in_one_step(browser: &Browser, desk: &Desk) {
    browser.goto(&desk.url("/dead-letters?state=open"));
    browser.find("#list tbody tr a.open").click();
    browser.reads("Timeline");
    browser.click("Edit");
    browser.fill("#value", "{\"id\":");
    browser.fill("#reason", "another id");
    browser.click("Review changes");
    browser.reads("this is not: EOF");
    browser.fill("#value", "{\"id\": \"edited\", \"do\": \"reject\"}");
    browser.click("Review changes");
    browser.reads("Changed fields");
    browser.click("Save the copy and replay it");
    browser.reads("Done, with failures");
    browser.reads("Failed again");
    assert_eq!((desk.on_topic("edited"), desk.count("state=edited")), (1, 1));
    eventually(BOUND, || desk.count("state=open") == 4);
    browser.reads("New dead letter");
    browser.goto(&desk.url("/audit-log"));
    browser.reads("another id");
    browser.reads("Message");
}
