//! Accessibility, checked by axe-core in the browser. `scripts/setup test` fetches it; it is never shipped.

use std::path::PathBuf;

use crate::chromium::Browser;

/// The version that `scripts/setup` fetches.
const VERSION: &str = "4.11.0";

fn source() -> String {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let path = cache.expect("HOME is set").join(format!("axe-core-{VERSION}/axe.min.js"));
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; fetch it: scripts/setup test", path.display()))
}

/// What all rules of axe-core find on the page: WCAG A and AA, and its best practices.
pub fn findings(browser: &Browser, name: &str) -> Vec<String> {
    browser.run(&format!("{}\nreturn axe.version", source()));
    let found = browser.run_async(
        "const done = arguments[arguments.length - 1];
         axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations.map((it) =>
           `${it.id}: ${it.help}: ${it.nodes.map((node) => node.target.join(' ')).slice(0, 5).join(', ')}`)));",
    );
    let found: Vec<String> = serde_json::from_value(found).expect("texts");
    found.into_iter().map(|finding| format!("{name}: {finding}")).collect()
}
