//! An operator with a mouse: from the first screen to an empty one.

use testkit::eventually;

use crate::chromium::{BOUND, Browser, Like};
use crate::fixture::{Desk, mended};

#[test]
fn an_operator_finds_tries_replays_and_sees_it_empty_out() {
    let mut desk = Desk::start("mouse", &[]);
    let browser = Browser::start(Like::default());
    browser.goto(&desk.url("/"));
    browser.reads("Nothing fails");
    // It shows up by itself.
    desk.fail_as_usual(30, 4);
    browser.reads("asked-reject");
    browser.reads("34 Open");
    // On the first screen, unscrolled: what fails, since when, how many, and the next action.
    let bottom =
        browser.run("return document.querySelector('#failures table').getBoundingClientRect().bottom");
    assert!(bottom.as_f64().expect("a number") < 800.0, "{bottom}");
    browser.click("asked-reject");
    browser.reads("asked to reject");
    browser.find("#letters tbody tr a").click();
    browser.reads("Timeline");
    browser.reads("Given up after its last attempt");
    browser.back();

    browser.click("Try a build");
    browser.find("#build").send_keys(&mended());
    browser.click("Start the trial");
    browser.reads("faulty-fast@0.2.0");
    browser.reads("30 of 30 would pass");
    assert_eq!((desk.count("state=open"), desk.on_topic("7")), (34, 1), "a trial changes nothing");

    desk.deploy();
    browser.click("Replay those that pass");
    // Trials end with their process.
    browser.reads("There is nothing here");
    browser.goto(&desk.url("/groups"));
    browser.click("asked-reject");
    browser.click("Replay");
    browser.reads("30 letters");
    browser.fill("#ramp", "1, 2, 5, 20");
    browser.fill("#reason", "version 0.2.0 is out");
    browser.click("Start the replay");
    // The page follows by itself to the end.
    browser.reads("Everything was sent and has its outcome.");
    browser.goto(&desk.url("/"));
    browser.reads("4 Open");
    assert!(!browser.text().contains("asked-reject"));
    assert_eq!((desk.count("state=open"), desk.count("state=replayed")), (4, 30));
    assert!((0..30).all(|id| desk.on_topic(&id.to_string()) == 2), "each is sent back once");
    eventually(BOUND, || desk.lag() == 0);

    // What nobody can handle is given up, and opened again.
    browser.click("invalid-message");
    browser.click("Discard");
    browser.fill("#reason", "sent by a test of the shop");
    browser.find("form.stack button.main").click();
    browser.find("option[value='discarded'][selected]");
    assert_eq!((desk.count("state=open"), desk.count("state=discarded")), (0, 4));
    browser.goto(&desk.url("/"));
    browser.reads("Nothing fails");
    browser.goto(&desk.url("/letters?state=discarded"));
    browser.click("Restore");
    browser.fill("#reason", "the shop wants them");
    browser.find("form.stack button.main").click();
    browser.find("option[value='open'][selected]");
    assert_eq!(desk.count("state=open"), 4);
    browser.goto(&desk.url("/actions"));
    for said in ["version 0.2.0 is out", "sent by a test of the shop", "the shop wants them", "trial"] {
        browser.reads(said);
    }
    browser.close();
    desk.stop();
}
