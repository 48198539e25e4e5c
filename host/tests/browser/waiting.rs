//! Waiting retries: what is not ticked is not acted on, and all that match asks for the number.

use crate::chromium::{Browser, Options};
use crate::fixture::Desk;
use crate::pages::audit;

#[test]
fn waiting_retries_are_run_postponed_and_given_up() {
    let desk = Desk::start("waiting", &[]);
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/waiting"));
    browser.reads("No message is waiting");
    desk.wait_for_retry(0..10);
    browser.goto(&desk.url("/waiting"));
    browser.reads("10 messages");
    browser.reads("smtp-450");
    // Nothing is ticked: the buttons are off and, without the script, change nothing.
    let button = "document.querySelector('#selection [formaction=\"/waiting/give-up\"]')";
    assert_eq!(browser.run(&format!("return {button}.disabled")), true);
    browser.run(&format!("{button}.disabled = false; {button}.click()"));
    browser.reads("No message is selected. Nothing was changed.");
    for action in ["run-now", "postpone", "give-up"] {
        let path = format!("/waiting/{action}?all=true&code=smtp-421");
        let found = audit(&browser, &desk, &format!("en-light-{action}"), &path);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
    // One is ticked, of those with a code.
    browser.goto(&desk.url("/waiting?code=smtp-421"));
    browser.reads("5 messages");
    browser.run("document.querySelector('#list tbody input[type=checkbox]').click()");
    browser.run("document.querySelector('#selection [formaction=\"/waiting/give-up\"]').click()");
    browser.reads("1 message");
    browser.fill("#reason", "the template is wrong");
    browser.click("Give up");
    browser.reads("Decided: 1, 1 applied");
    testkit::eventually(crate::chromium::BOUND, || desk.count("code=given-up") == 1);
    browser.reads("4 messages");
    // All that match: the number is asked for.
    browser.run("document.querySelector('#all [href*=\"/postpone\"]').click()");
    browser.reads("Number of messages, to confirm");
    browser.fill("#confirm", "3");
    browser.fill("#minutes", "30");
    browser.click("Postpone");
    browser.reads("4 messages match, more than 3; nothing is decided");
    browser.fill("#confirm", "4");
    browser.click("Postpone");
    browser.reads("Decided: 4, 4 applied");
    browser.goto(&desk.url("/waiting/run-now?all=true"));
    browser.fill("#confirm", "9");
    browser.click("Run now");
    browser.reads("Decided: 9");
    browser.reads("No message is waiting");
    assert_eq!(desk.count(""), 1);
    browser.goto(&desk.url("/audit-log"));
    browser.reads("Give up");
    browser.reads("the template is wrong");
    browser.close();
    desk.stop();
}
