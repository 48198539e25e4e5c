//! Pages, forms and searches of a desk with many dead letters, on SQLite and on PostgreSQL: their contents, and the time
//! that the server takes, which is reported.
//!
//! `LONG=1 … -- --nocapture many` has 100,000 of them.

use std::time::{Duration, Instant};

use base::bytes::Bytes;
use desk::audit::Actor;
use desk_api::{DeadLetter, Filter, ReplayPlan};
use testkit::{Kafka, Postgres, scale};

use crate::console_client::Browser;
use crate::fixture::{Api, NOW, dead_letter};

/// The longest that a page may take at the server.
const PAGE: Duration = Duration::from_millis(100);
/// The longest that a form with a preview may take.
const FORM: Duration = Duration::from_millis(300);
/// The longest that a form may take while Kafka is away.
const WITHOUT_KAFKA: Duration = Duration::from_secs(1);
/// A machine with other work is slow at times: the best of so many is reported.
const ROUNDS: usize = 7;
/// Dead letters of a failure, of which there are this many, and one with half of all.
const FAILURES: i64 = 40;
const ACTOR: Actor<'_> = Actor { name: "kim", reason: "fixed", now_ms: NOW };

/// A dead letter as they are: an e-mail, and the backtrace of an exception.
fn usual(offset: i64) -> DeadLetter {
    let code = if offset % 2 == 0 { "smtp-550".to_owned() } else { format!("code-{}", offset % FAILURES) };
    let body = "Dear customer, thank you for your order. ".repeat(8);
    let value =
        format!("{{\"to\":\"user{offset}@example.com\",\"subject\":\"Order {offset}\",\"body\":\"{body}\"}}");
    DeadLetter {
        key: Some(Bytes(format!("customer-{}", offset % 997).into_bytes())),
        value: Some(Bytes(value.into_bytes())),
        backtrace: "at email::handle (src/lib.rs:42)\n".repeat(12),
        ..dead_letter(offset, &code)
    }
}

/// Fills a store: some dead letters are discarded, some are in a replay, and the ledger knows an e-mail of each.
async fn fill(Api { desk, store, .. }: &Api, count: i64) {
    let all: Vec<DeadLetter> = (0..count).map(usual).collect();
    for some in all.chunks(1000) {
        desk.ingest(some).await.expect("ingested");
    }
    let mut connection = store.connect().await.expect("a connection");
    let effects = "INSERT INTO effects (hash, consumer_group, message, created, settled, answer) \
                   SELECT id, consumer_group, message, failed, failed, \
                   CASE WHEN code = 'code-5' THEN NULL ELSE '{\"answer\":\"250 2.0.0 Ok\"}' END FROM letters";
    sqlx::query(effects).execute(&mut connection).await.expect("effects");
    let of = |code: &str| Filter { code: Some(code.to_owned()), ..Filter::default() };
    desk.discard(&of("code-1"), ACTOR).await.expect("discarded");
    desk.start_replay(&of("code-3"), None, &ReplayPlan::default(), ACTOR).await.expect("a replay");
}

/// The shortest time of an answer, which must be a page with this text.
async fn shortest(browser: &Browser<'_>, path: &str, text: &str) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let page = browser.page(path).await;
        shortest = shortest.min(began.elapsed());
        assert!(page.contains(text), "{path}: no {text:?} in {page}");
    }
    shortest
}

fn report(what: &str, took: Duration, limit: Duration) {
    let late = if took > limit { format!(", MORE THAN {limit:?}") } else { String::new() };
    println!("{what}: {:.1} ms{late}", took.as_secs_f64() * 1e3);
}

async fn measure(name: &str, api: &Api, count: i64) {
    fill(api, count).await;
    if name == "PostgreSQL" {
        // Autovacuum does it within a minute.
        let mut connection = api.store.connect().await.expect("a connection");
        sqlx::query("VACUUM ANALYZE").execute(&mut connection).await.expect("done");
    }
    let browser = Browser::new(api, "en");
    let one = usual(count / 2);
    let (id, failure) = (&one.id, &one.failure);
    let replay = &api.desk.replays(&desk_api::PageSelector::First, 1).await.expect("replays").items[0].id;
    for (path, text, limit) in [
        ("/".to_owned(), "smtp-550", PAGE),
        ("/?range=day".to_owned(), "smtp-550", PAGE),
        ("/failures".to_owned(), "smtp-550", PAGE),
        ("/failures?all=1".to_owned(), "code-1", PAGE),
        (format!("/failures/{failure}"), "per hour", PAGE),
        ("/dead-letters".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=any".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=any&last=true".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=discarded".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=open&code=smtp-550".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=any&code=smtp-*".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=any&code=nothing".to_owned(), "No dead letters", PAGE),
        ("/dead-letters?state=any&plugin=email".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=open&topic=email.send".to_owned(), "dead letters", PAGE),
        (format!("/dead-letters?state=open&failure={failure}"), "dead letters", PAGE),
        (format!("/dead-letters/{id}"), "Timeline", PAGE),
        (format!("/dead-letters/{id}/edit"), "Review", PAGE),
        ("/replays".to_owned(), "Running", PAGE),
        (format!("/replays/{replay}"), "Running", PAGE),
        ("/waiting".to_owned(), "Waiting", PAGE),
        ("/plugins".to_owned(), "Plugins", PAGE),
        ("/audit-log".to_owned(), "Discard", PAGE),
        (format!("/discard?failure={failure}"), "dead letters", PAGE),
        ("/discard?state=open".to_owned(), "dead letters", PAGE),
        (format!("/try?failure={failure}"), "dead letters", PAGE),
        ("/dead-letters?state=any&text=user4999%40".to_owned(), "1 dead letter", PAGE),
        ("/dead-letters?state=any&text=order".to_owned(), "dead letters", PAGE),
        ("/dead-letters?state=open&text=no+such+text".to_owned(), "No dead letters", PAGE),
        (format!("/replay?failure={failure}"), "Step sizes", FORM),
        ("/replay?state=open".to_owned(), "Step sizes", FORM),
        ("/replay?code=smtp-550".to_owned(), "Step sizes", FORM),
    ] {
        let took = shortest(&browser, &path, text).await;
        report(&format!("{name}, {count} dead letters: {path}"), took, limit);
    }
    measure_large_replay(name, api, count).await;
}

/// Half of all dead letters are in a second replay in progress.
async fn measure_large_replay(name: &str, api: &Api, count: i64) {
    let most = Filter { code: Some("smtp-550".to_owned()), ..Filter::default() };
    api.desk.start_replay(&most, None, &ReplayPlan::default(), ACTOR).await.expect("a replay");
    let browser = Browser::new(api, "en");
    let (inside, outside) = (usual(count / 2).failure, usual(5).failure);
    for (path, text) in [
        ("/".to_owned(), "Replays in progress"),
        (format!("/failures/{inside}"), "Replays in progress"),
        (format!("/failures/{outside}"), "per hour"),
        ("/replays".to_owned(), "Running"),
    ] {
        let took = shortest(&browser, &path, text).await;
        report(&format!("{name}, {count} dead letters, half in a replay: {path}"), took, PAGE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_forms_of_many_dead_letters() {
    let count = scale(5_000, 100_000);
    let kafka = Kafka::start();
    kafka.create_topic("email.send", 1, &[]);
    measure("SQLite", &Api::on(None, kafka.bootstrap()).await, count).await;
    let postgres = Postgres::start_with_defaults();
    measure("PostgreSQL", &Api::on(Some(&postgres.url()), kafka.bootstrap()).await, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_a_replay_of_many_says_why_kafka_is_missed() {
    let count = scale(5_000, 100_000);
    let api = Api::on(None, "127.0.0.1:1").await;
    fill(&api, count).await;
    let browser = Browser::new(&api, "en");
    for path in ["/replay?state=open", "/replay?code=smtp-550"] {
        let took = shortest(&browser, path, "Kafka does not answer").await;
        report(&format!("{count} dead letters, without Kafka: {path}"), took, WITHOUT_KAFKA);
    }
}
