//! An empty desk on SQLite and on PostgreSQL, and dead letters for it.

use desk::audit::Actor;
use desk::record::Record;
use desk::{Desk, record};
use desk_api::{DeadLetter, Filter, Location};
use store::{Store, StoreUrl};
use testkit::Postgres;

/// The time of the tests, in milliseconds since the Unix epoch.
pub const NOW: i64 = 1_795_435_410_000;
pub const ACTOR: Actor<'_> = Actor { name: "kim", reason: "fixed", now_ms: NOW };

/// Runs a test on both databases, which are empty.
pub async fn on_both(test: impl AsyncFn(Desk)) {
    on_both_stores(async |store| test(Desk::open(&store).await.expect("a desk")).await).await;
}

/// Runs a test on stores in both databases, which are empty.
pub async fn on_both_stores(test: impl AsyncFn(Store)) {
    let dir = std::env::temp_dir().join(format!(
        "host-desk-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory");
    test(store(&format!("sqlite:{}/host.db", dir.display())).await).await;
    let _ = std::fs::remove_dir_all(&dir);
    let postgres = Postgres::start();
    test(store(&postgres.url()).await).await;
}

/// Opens the desk of a store.
pub async fn open(url: &str) -> Desk {
    Desk::open(&store(url).await).await.expect("a desk")
}

async fn store(url: &str) -> Store {
    Store::open(StoreUrl::parse(url).expect("a URL")).await.expect("a store")
}

type Headers = Vec<(&'static str, Vec<u8>)>;

/// Headers of a dead letter of this host.
fn headers(code: &str, digest: &str) -> Headers {
    vec![
        ("sender", vec![0, 255]),
        ("kafka_original-topic", b"email.send".to_vec()),
        ("kafka_original-partition", 2_i32.to_be_bytes().to_vec()),
        ("kafka_original-offset", 7_i64.to_be_bytes().to_vec()),
        ("kafka_original-timestamp", (NOW - 5000).to_be_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", b"email-send-group".to_vec()),
        ("kafka_exception-fqcn", b"consumer.plugin.Reject".to_vec()),
        ("kafka_exception-cause-fqcn", code.as_bytes().to_vec()),
        ("kafka_exception-message", b"no such Mailbox".to_vec()),
        ("host-attempts", b"6".to_vec()),
        ("host-failure-code", code.as_bytes().to_vec()),
        ("host-first-failed", (NOW - 4000).to_string().into_bytes()),
        ("host-plugin", b"email@0.1.0".to_vec()),
        ("host-plugin-digest", digest.as_bytes().to_vec()),
    ]
}

/// A dead letter with this offset, failure code and plugin digest.
pub fn dead_letter(offset: i64, code: &str, digest: &str) -> DeadLetter {
    let record = Record {
        location: Location { topic: "email.send.dlt".to_owned(), partition: 0, offset },
        timestamp_ms: NOW + offset,
        key: Some(vec![0, 1, 254]),
        value: Some(format!("{{\"to\":\"발신자 {offset}@Example.com\"}}").into_bytes()),
        headers: headers(code, digest)
            .into_iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), Some(value)))
            .collect(),
    };
    record::dead_letter(record, NOW)
}

/// Selects this dead letter.
pub fn one(dead_letter: &DeadLetter) -> Filter {
    Filter { ids: vec![dead_letter.id.clone()], ..Filter::default() }
}
