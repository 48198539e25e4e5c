//! Kafka goes away while a page is open: the page says so by itself, and no page waits for Kafka.

use std::time::{Duration, Instant};

use crate::chromium::{Browser, Options};
use crate::fixture::Desk;

/// What a page may take on a machine that builds and tests at the same time. The figures are in
/// docs/explanation/performance.md.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn an_outage_of_kafka_is_shown_while_it_lasts_and_no_page_waits_for_it() {
    let desk = Desk::start("outage", &[]);
    desk.fail_as_usual(3, 0);
    let browser = Browser::start(Options::default());
    browser.goto(&desk.url("/"));
    browser.reads("Kafka");
    browser.reads("Groups joined");
    desk.stop_kafka();
    // The page is not reloaded.
    browser.reads("Kafka does not answer.");
    assert!(desk.ready().starts_with("Kafka at "), "{}", desk.ready());
    for path in ["/", "/topics", "/plugins", "/replay?code=asked-reject", "/failures"] {
        let began = Instant::now();
        browser.goto(&desk.url(path));
        browser.reads("Kafka does not answer.");
        assert!(began.elapsed() < PATIENCE, "{path}: {:?}", began.elapsed());
    }
    browser.goto(&desk.url("/replay?code=asked-reject"));
    browser.reads("Other groups that read these topics are unknown");
    desk.start_kafka();
    browser.goto(&desk.url("/"));
    browser.reads("Groups joined");
    let end = Instant::now() + crate::chromium::BOUND;
    while browser.text().contains("Kafka does not answer") || !desk.ready().starts_with("ok\n") {
        assert!(Instant::now() < end, "{}\n{}", desk.ready(), browser.text());
        std::thread::sleep(Duration::from_millis(100));
    }
    browser.close();
    desk.stop();
}
