//! Every room in both languages and both themes: nothing overflows, nothing is refused, all is to be read.

use serde_json::Value;

use crate::chromium::{Browser, Like};
use crate::fixture::{Desk, mended};

/// Texts whose contrast with what is behind them is below 4.5:1 (WCAG AA); large ones 3:1.
const CONTRAST: &str = r#"
const parts = (text) => text.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
const ground = (it) => { for (; it; it = it.parentElement) { const c = parts(getComputedStyle(it).backgroundColor); if ((c[3] ?? 1) > 0.5) return c; } return [255, 255, 255]; };
const poor = [];
for (const it of document.querySelectorAll("body *")) {
  const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !it.checkVisibility() || it.closest("svg, .unseen, .skip, option")) continue;
  const style = getComputedStyle(it), size = parseFloat(style.fontSize);
  const [a, b] = [light(parts(style.color)), light(ground(it))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05), wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
  if (ratio < wanted) poor.push(`${it.tagName}.${it.className} ${it.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return poor;
"#;

fn look(browser: &Browser, desk: &Desk, name: &str, path: &str) {
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

#[test]
fn every_room_can_be_read_in_both_languages_and_themes() {
    let desk = Desk::start("rooms", &[]);
    let empty = Browser::start(Like::default());
    look(&empty, &desk, "en-light-overview-empty", "/");
    look(&empty, &desk, "en-light-jobs-empty", "/jobs");
    desk.fail_as_usual(40, 3);
    desk.fail((0..5).map(|id| format!(r#"{{"id":"t{id}","do":"trap","path":"{}"}}"#, "long/".repeat(60))));
    // A trial and a replay that stops, to be looked at.
    empty.goto(&desk.url("/try"));
    empty.find("#build").send_keys(&mended());
    empty.click("Start the trial");
    empty.reads("40 of 48 would pass");
    let trial = empty.path();
    empty.goto(&desk.url("/replay?code=asked-reject"));
    empty.fill("#ramp", "3, 10");
    empty.click("Start the replay");
    empty.reads("stopped");
    let job = empty.path();
    let groups = desk.groups();
    let group =
        groups.iter().find(|group| group["code"] == "trap").expect("a group")["id"].as_str().expect("an id");
    empty.goto(&desk.url("/letters?code=trap"));
    let letter = empty.find("#list tbody a").attr("href");
    empty.close();
    let rooms = [
        ("overview", "/".to_owned()),
        ("groups", "/groups?all=1".to_owned()),
        ("group", format!("/groups/{group}")),
        ("letters", "/letters?state=any".to_owned()),
        ("letter", letter.clone()),
        ("edit", format!("{letter}/edit")),
        ("replay", format!("/replay?group={group}")),
        ("job", job),
        ("jobs", "/jobs".to_owned()),
        ("discard", format!("/discard?group={group}")),
        ("try", format!("/try?group={group}")),
        ("trial", trial),
        ("trials", "/trials".to_owned()),
        ("actions", "/actions".to_owned()),
        ("nothing", "/nothing".to_owned()),
    ];
    for like in [
        Like { lang: "en", dark: false, ..Like::default() },
        Like { lang: "ko", dark: true, ..Like::default() },
        Like { lang: "ko", dark: false, ..Like::default() },
        Like { lang: "en", dark: true, size: (500, 900), ..Like::default() },
    ] {
        let browser = Browser::start(like);
        let theme = if like.dark { "dark" } else { "light" };
        for (room, path) in &rooms {
            look(&browser, &desk, &format!("{}-{theme}-{room}", like.lang), path);
        }
        browser.close();
    }
    desk.stop();
}
