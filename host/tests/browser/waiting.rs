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
    browser.reads("4 messages match, more than 3. Nothing was changed.");
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

#[test]
fn a_time_that_is_entered_is_of_the_browsers_zone_which_the_page_names() {
    let desk = Desk::start("until", &[]);
    desk.wait_for_retry(0..1);
    let browser = Browser::start(Options::default());
    browser.time_zone("Asia/Seoul");
    browser.goto(&desk.url("/waiting"));
    browser.reads("1 message");
    browser.goto(&desk.url("/waiting/postpone?all=true"));
    browser.reads("Time zone: Asia/Seoul (+09:00)");
    browser.fill("#confirm", "1");
    // 20 hours from now, which no other zone takes for a time that is possible.
    let in_seoul = base::clock::now_ms() + (20 + 9) * 3_600_000;
    let local = &base::text::utc(in_seoul)[..16];
    browser.run(&format!(
        "const field = document.getElementById('until'); field.value = '{local}'; field.dispatchEvent(new Event('input'))"
    ));
    browser.click("Postpone");
    browser.reads("Decided: 1, 1 applied");
    let due = desk.waiting()["messages"][0]["due_ms"].as_i64().expect("a time");
    assert!((due - base::clock::now_ms() - 20 * 3_600_000).abs() < 120_000, "{due}");
    browser.close();
    // Without the script, the zone is that of the host, and the page says so.
    let plain = Browser::start(Options { scripts: false, ..Options::default() });
    plain.goto(&desk.url("/waiting/postpone?all=true"));
    let here = base::text::local(base::clock::now_ms());
    plain.reads(&format!("Time zone: {}", here.rsplit(' ').next().expect("an offset")));
    plain.close();
    desk.stop();
}
