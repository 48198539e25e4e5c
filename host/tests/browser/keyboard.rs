//! An operator with only a keyboard.

use crate::chromium::{Browser, ENTER, ESCAPE, Options, TAB};
use crate::fixture::{Desk, fixed_build};

/// Presses Tab until the element with this text or id has the focus.
pub fn tab_to(browser: &Browser, name: &str) {
    let focused = "const it = document.activeElement; return [it.id, it.innerText, it.value].map((text) => (text ?? '').trim())";
    for _ in 0..120 {
        let now = browser.run(focused);
        if now.as_array().expect("texts").iter().any(|text| text == name) {
            return;
        }
        press(browser, TAB);
    }
    panic!("Tab does not lead to {name}:\n{}", browser.text());
}

pub fn press(browser: &Browser, key: char) {
    browser.keys(&key.to_string());
}

#[test]
fn every_step_works_by_keyboard() {
    let mut desk = Desk::start("keyboard", &[]);
    desk.fail_as_usual(8, 2);
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/"));
    browser.reads("asked-reject");
    browser.keys("?");
    browser.reads("j, k: next and previous");
    press(&browser, ESCAPE);
    // Select the failure and open it.
    browser.keys("gf");
    browser.find("nav a[href='/failures'][aria-current]");
    let focused = || browser.run("return document.activeElement.innerText");
    for _ in 0..20 {
        browser.keys("j");
        if focused() == "asked-reject" {
            break;
        }
    }
    assert_eq!(focused(), "asked-reject");
    press(&browser, ENTER);
    browser.reads("asked to reject");
    tab_to(&browser, "Try a build");
    press(&browser, ENTER);
    // The file dialog belongs to the system and cannot be driven from the page.
    browser.find("#build").send_keys(&fixed_build());
    tab_to(&browser, "Start trial");
    press(&browser, ENTER);
    browser.reads("Passed 8 / 8");
    desk.deploy();
    browser.keys("gf");
    browser.find("nav a[href='/failures'][aria-current]");
    tab_to(&browser, "asked-reject");
    press(&browser, ENTER);
    browser.reads("Dead letters per hour");
    tab_to(&browser, "Replay");
    press(&browser, ENTER);
    tab_to(&browser, "reason");
    browser.keys("fixed");
    tab_to(&browser, "Start replay");
    press(&browser, ENTER);
    browser.reads("All dead letters were sent and have an outcome.");
    assert_eq!((desk.count("state=open"), desk.count("state=replayed")), (2, 8));
    discard_and_restore(&browser, &desk);
    search(&browser);
    browser.close();
    desk.stop();
}

/// Discards the remaining dead letters and restores them.
fn discard_and_restore(browser: &Browser, desk: &Desk) {
    browser.keys("gd");
    browser.find("nav a[href='/dead-letters'][aria-current]");
    tab_to(browser, "All 2 that match");
    press(browser, ENTER);
    tab_to(browser, "Discard");
    press(browser, ENTER);
    browser.find("#reason:focus");
    browser.keys("not needed");
    press(browser, TAB);
    browser.keys("2");
    press(browser, ENTER);
    browser.find("option[value='discarded'][selected]");
    assert_eq!(desk.count("state=discarded"), 2);
    tab_to(browser, "All 2 that match");
    press(browser, ENTER);
    tab_to(browser, "Restore");
    press(browser, ENTER);
    browser.find("#reason:focus");
    press(browser, TAB);
    browser.keys("2");
    press(browser, ENTER);
    browser.find("option[value='open'][selected]");
    assert_eq!((desk.count("state=discarded"), desk.count("state=open")), (0, 2));
}

fn search(browser: &Browser) {
    browser.keys("/");
    browser.keys("colour");
    press(browser, ENTER);
    browser.find("input[name=text][value=colour]");
    browser.reads("2 dead letters");
}
