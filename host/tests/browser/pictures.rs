//! Pictures of every page, for docs/console: `SCREENSHOTS=DIR`, through scripts/screenshots.

use crate::chromium::{Browser, Options};
use crate::fixture::Desk;
use crate::pages::fill;

/// A telephone, a laptop, a large screen.
const SIZES: [(u32, u32); 3] = [(390, 844), (1280, 800), (1920, 1080)];

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
        for size in SIZES {
            browser.resize(size);
            for (page, path) in &pages {
                browser.goto(&desk.url(path));
                browser.find("h1");
                browser.picture(&format!("{page}-{lang}-{}", size.0));
            }
        }
        browser.goto(&desk.url("/?theme=dark"));
        browser.resize(SIZES[1]);
        for page in ["overview", "failure"] {
            let (_, path) = pages.iter().find(|(name, _)| *name == page).expect("a page");
            browser.goto(&desk.url(path));
            browser.picture(&format!("{page}-{lang}-dark"));
        }
        browser.close();
    }
    desk.stop();
}
