//! An operator with a mouse, from the first failure to an empty overview.

use testkit::eventually;

use crate::chromium::{BOUND, Browser, Options};
use crate::fixture::{Desk, fixed_build};

#[test]
fn an_operator_finds_tries_and_replays_a_failure() {
    let mut desk = Desk::start("mouse", &[]);
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/"));
    browser.reads("No open failures");
    // The page updates by itself.
    desk.fail_as_usual(30, 4);
    browser.reads("asked-reject");
    browser.reads("Open 34");
    // The list of failures is visible without scrolling.
    let bottom =
        browser.run("return document.querySelector('#failures table').getBoundingClientRect().bottom");
    assert!(bottom.as_f64().expect("a number") < 800.0, "{bottom}");
    browser.click("asked-reject");
    browser.reads("asked to reject");
    browser.find("#dead-letters tbody tr a").click();
    browser.reads("Timeline");
    browser.reads("Dead-lettered after the last attempt");
    browser.back();

    browser.click("Try a build");
    browser.find("#build").send_keys(&fixed_build());
    browser.click("Start trial");
    browser.reads("faulty-fast@0.2.0");
    browser.reads("Passed 30 / 30");
    assert_eq!((desk.count("state=open"), desk.on_topic("7")), (34, 1), "a trial changes nothing");

    desk.deploy();
    browser.click("Replay what passed");
    // Trials are lost when their process ends.
    browser.reads("Not found");
    browser.goto(&desk.url("/failures"));
    browser.click("asked-reject");
    browser.click("Replay");
    browser.reads("30 dead letters");
    browser.fill("#ramp", "1, 2, 5, 20");
    browser.fill("#reason", "version 0.2.0 is out");
    browser.click("Start replay");
    // The page updates by itself until the replay ends.
    browser.reads("All dead letters were sent and have an outcome.");
    browser.goto(&desk.url("/"));
    browser.reads("Open 4");
    assert!(!browser.text().contains("asked-reject"));
    assert_eq!((desk.count("state=open"), desk.count("state=replayed")), (4, 30));
    assert!((0..30).all(|id| desk.on_topic(&id.to_string()) == 2), "each is replayed once");
    eventually(BOUND, || desk.lag() == 0);

    discard_and_restore(&browser, &desk);
    browser.goto(&desk.url("/audit-log"));
    for entry in ["version 0.2.0 is out", "sent by a test of the shop", "the shop wants them", "Trial"] {
        browser.reads(entry);
    }
    browser.close();
    desk.stop();
}

/// Discards the dead letters that no build can handle, and restores them.
fn discard_and_restore(browser: &Browser, desk: &Desk) {
    browser.click("invalid-message");
    browser.click("Discard");
    browser.fill("#reason", "sent by a test of the shop");
    browser.find("form.stack button.main").click();
    browser.find("option[value='discarded'][selected]");
    assert_eq!((desk.count("state=open"), desk.count("state=discarded")), (0, 4));
    browser.goto(&desk.url("/"));
    browser.reads("No open failures");
    browser.goto(&desk.url("/dead-letters?state=discarded"));
    // Nothing is ticked; all that match is a choice of its own, which asks for the number.
    browser.find("#all-matching summary").click();
    browser.click("Restore");
    browser.fill("#reason", "the shop wants them");
    browser.fill("#number", "4");
    browser.find("form.stack button.main").click();
    browser.find("option[value='open'][selected]");
    assert_eq!(desk.count("state=open"), 4);
}
