//! Every page in both languages and both themes: no overflow, sufficient contrast, labelled fields.

use serde_json::Value;

use crate::axe;
use crate::chromium::{Browser, Options};
use crate::fixture::{Desk, fixed_build};

/// Texts whose contrast with their background is below 4.5:1, or 3:1 for large text (WCAG AA).
const CONTRAST: &str = r#"
const parts = (text) => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
const ground = (it) => { for (; it; it = it.parentElement) { const c = parts(getComputedStyle(it).backgroundColor); if ((c[3] ?? 1) > 0.5) return c; } return [255, 255, 255]; };
const poor = [];
for (const it of document.querySelectorAll("body *")) {
  const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !it.checkVisibility() || it.closest("svg, .visually-hidden, .skip, option")) continue;
  const style = getComputedStyle(it), size = parseFloat(style.fontSize);
  const [a, b] = [light(parts(style.color)), light(ground(it))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05), wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  if (ratio < wanted) poor.push(`${it.tagName}.${it.className} ${it.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return poor;
"#;

/// [`check`], and what axe-core finds, so that one run shows everything.
pub fn audit(browser: &Browser, desk: &Desk, name: &str, path: &str) -> Vec<String> {
    check(browser, desk, name, path);
    axe::findings(browser, name)
}

fn check(browser: &Browser, desk: &Desk, name: &str, path: &str) {
    browser.goto(&desk.url(path));
    browser.find("h1");
    browser.picture(name);
    let width = browser.run("return [document.documentElement.scrollWidth, innerWidth]");
    assert!(width[0].as_u64() <= width[1].as_u64(), "{name} is wider than the window: {width}");
    let poor = browser.run(CONTRAST);
    assert_eq!(poor, Value::Array(vec![]), "{name}");
    let unlabelled = browser
        .run("return [...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter((it) => !it.labels?.length && !it.ariaLabel).map((it) => it.outerHTML)")
        ;
    assert_eq!(unlabelled, Value::Array(vec![]), "{name}");
}

/// Pauses the plugin, while messages wait for a retry.
fn pause(browser: &Browser, desk: &Desk) {
    desk.wait_for_retry(0..6);
    browser.goto(&desk.url("/"));
    browser.click("Pause");
    browser.fill("#reason", "the server moves until the afternoon");
    browser.click("Pause");
    browser.reads("Paused");
}

#[test]
fn every_page_is_legible_in_both_languages_and_themes() {
    let desk = Desk::start("pages", &[]);
    let empty = Browser::start(Options::default());
    let mut found = audit(&empty, &desk, "en-light-overview-empty", "/");
    found.extend(audit(&empty, &desk, "en-light-replays-empty", "/replays"));
    let pages = fill(&empty, &desk);
    empty.close();
    for like in [
        Options { lang: "en", dark: false, ..Options::default() },
        Options { lang: "ko", dark: true, ..Options::default() },
        Options { lang: "ko", dark: false, ..Options::default() },
        Options { lang: "en", dark: true, ..Options::default() },
    ] {
        let browser = Browser::start(like);
        if like.lang == "en" && like.dark {
            browser.resize((390, 844));
        }
        let theme = if like.dark { "dark" } else { "light" };
        for (page, path) in &pages {
            let name = format!("{}-{theme}-{page}", like.lang);
            // Both themes and both languages, each once: it takes most of the time.
            if (like.lang == "en") != like.dark {
                found.extend(audit(&browser, &desk, &name, path));
            } else {
                check(&browser, &desk, &name, path);
            }
        }
        browser.close();
    }
    desk.stop();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Makes something to see on every page, and returns the pages.
pub fn fill(empty: &Browser, desk: &Desk) -> Vec<(&'static str, String)> {
    desk.fail_as_usual(40, 3);
    desk.fail((0..5).map(|id| format!(r#"{{"id":"t{id}","do":"trap","path":"{}"}}"#, "long/".repeat(60))));
    // A trial, and a replay that stops.
    empty.goto(&desk.url("/try"));
    empty.find("#build").send_keys(&fixed_build());
    empty.click("Start trial");
    empty.reads("Passed 40 / 48");
    let trial = empty.path();
    empty.goto(&desk.url("/replay?code=asked-reject"));
    empty.fill("#ramp", "3, 10");
    empty.fill("#number", "40");
    empty.click("Start replay");
    empty.reads("Stopped");
    let replay = empty.path();
    let failures = desk.failures();
    let failure = failures.iter().find(|failure| failure["code"] == "trap").expect("a failure")["id"]
        .as_str()
        .expect("an id");
    empty.goto(&desk.url("/dead-letters?code=trap"));
    let dead_letter = empty.find("#list tbody a").attr("href");
    pause(empty, desk);
    [
        ("overview", "/".to_owned()),
        ("failures", "/failures?all=1".to_owned()),
        ("failure", format!("/failures/{failure}")),
        ("dead-letters", "/dead-letters?state=any".to_owned()),
        ("dead-letter", dead_letter.clone()),
        ("edit", format!("{dead_letter}/edit")),
        ("start-replay", format!("/replay?failure={failure}")),
        ("replay", replay),
        ("replays", "/replays".to_owned()),
        ("discard", format!("/discard?failure={failure}")),
        ("discard-all", "/discard?code=trap".to_owned()),
        ("unticked", "/dead-letters?state=any&unticked=1".to_owned()),
        ("pause", "/pause?plugin=faulty-fast".to_owned()),
        ("try", format!("/try?failure={failure}")),
        ("trial", trial),
        ("trials", "/trials".to_owned()),
        ("waiting", "/waiting".to_owned()),
        ("postpone", "/waiting/postpone?all=true&code=smtp-421".to_owned()),
        ("audit-log", "/audit-log".to_owned()),
        ("plugins", "/plugins".to_owned()),
        ("topics", "/topics".to_owned()),
        ("settings", "/settings".to_owned()),
        ("not-found", "/nothing".to_owned()),
    ]
    .into()
}
