//! Pictures of every page, for docs/console: `SCREENSHOTS=DIR`, through scripts/screenshots. With `SCREENSHOTS_ALL=1`,
//! also of a very large screen and of every page in the dark theme, to look at.

use crate::chromium::{Browser, Options};
use crate::fixture::Desk;
use crate::pages::fill;

/// A telephone, a laptop, a large screen.
const SIZES: [(u32, u32); 3] = [(390, 844), (1280, 800), (1920, 1080)];
/// The pages of which there are pictures in the dark theme.
const DARK: [&str; 2] = ["overview", "failure"];

#[test]
fn pictures_of_every_page() {
    if std::env::var_os("SCREENSHOTS").is_none() {
        return;
    }
    let desk = Desk::start("pictures", &[]);
    let first = Browser::start(Options::default());
    let pages = fill(&first, &desk);
    first.close();
    for lang in ["en", "ko"] {
        let browser = Browser::start(Options { lang, ..Options::default() });
        let is_all = std::env::var_os("SCREENSHOTS_ALL").is_some();
        for size in SIZES.into_iter().chain(is_all.then_some((2560, 1440))) {
            browser.resize(size);
            for (page, path) in &pages {
                browser.goto(&desk.url(path));
                browser.find("h1");
                browser.picture(&format!("{page}-{lang}-{}", size.0));
            }
        }
        browser.goto(&desk.url("/?theme=dark"));
        browser.resize(SIZES[1]);
        for (page, path) in pages.iter().filter(|(name, _)| is_all || DARK.contains(name)) {
            browser.goto(&desk.url(path));
            browser.picture(&format!("{page}-{lang}-dark"));
        }
        browser.close();
    }
    desk.stop();
}
