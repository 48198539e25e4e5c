//! The same by keyboard alone: after the first page nothing but keys.

use crate::chromium::{Browser, ENTER, ESCAPE, Like, TAB};
use crate::fixture::{Desk, mended};

/// Presses Tab until the element with this text or id has the focus, as somebody would who looks for it.
fn tab_to(browser: &Browser, name: &str) {
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

fn press(browser: &Browser, key: char) {
    browser.keys(&key.to_string());
}

#[test]
fn an_operator_needs_no_mouse() {
    let mut desk = Desk::start("keyboard", &[]);
    desk.fail_as_usual(8, 2);
    let browser = Browser::start(Like::default());
    browser.goto(&desk.url("/"));
    browser.reads("asked-reject");
    browser.keys("?");
    browser.reads("j, k: next and previous");
    press(&browser, ESCAPE);
    // Down to the group, and into it.
    browser.keys("gg");
    browser.find("nav a[href='/groups'][aria-current]");
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
    // A file is chosen in the system's own dialog, which no key of a page reaches.
    browser.find("#build").send_keys(&mended());
    tab_to(&browser, "Start the trial");
    press(&browser, ENTER);
    browser.reads("8 of 8 would pass");
    desk.deploy();
    browser.keys("gg");
    browser.find("nav a[href='/groups'][aria-current]");
    tab_to(&browser, "asked-reject");
    press(&browser, ENTER);
    browser.reads("Letters an hour");
    tab_to(&browser, "Replay");
    press(&browser, ENTER);
    tab_to(&browser, "reason");
    browser.keys("mended");
    tab_to(&browser, "Start the replay");
    press(&browser, ENTER);
    browser.reads("Everything was sent and has its outcome.");
    assert_eq!((desk.count("state=open"), desk.count("state=replayed")), (2, 8));
    // Give the rest up, and open it again.
    browser.keys("gl");
    browser.find("nav a[href='/letters'][aria-current]");
    tab_to(&browser, "Discard");
    press(&browser, ENTER);
    browser.find("#reason:focus");
    browser.keys("nobody");
    press(&browser, ENTER);
    browser.find("option[value='discarded'][selected]");
    assert_eq!(desk.count("state=discarded"), 2);
    tab_to(&browser, "Restore");
    press(&browser, ENTER);
    browser.find("#reason:focus");
    press(&browser, ENTER);
    browser.find("option[value='open'][selected]");
    assert_eq!((desk.count("state=discarded"), desk.count("state=open")), (0, 2));
    // A search.
    browser.keys("/");
    browser.keys("colour");
    press(&browser, ENTER);
    browser.find("input[name=text][value=colour]");
    browser.reads("2 letters");
    browser.close();
    desk.stop();
}
