//! The ledger on SQLite; `tests/store` tests it on PostgreSQL.

use std::collections::HashMap;
use std::path::PathBuf;

use store::StoreUrl;

use super::*;
use crate::Calls;

const KEEP: Duration = Duration::from_secs(7 * 86_400);

/// A directory for a store, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("host-ledger-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        Self(directory.join("host.db"))
    }

    async fn open(&self) -> Ledger {
        self.open_for(KEEP).await
    }

    async fn open_for(&self, keep: Duration) -> Ledger {
        let url = StoreUrl::parse(&format!("sqlite:{}", self.0.display())).expect("a URL");
        Ledger::new(Store::open(url).await.expect("a store"), keep)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(directory) = self.0.parent() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

fn key(number: usize) -> Key {
    Calls::of("group", &format!("message\0{}", number / 2)).next([u8::try_from(number % 2).unwrap_or(0); 32])
}

fn record(number: u32) -> Record {
    Record { head: format!("head \0 {number}"), body: number.to_be_bytes().to_vec() }
}

/// The expected content of the ledger: an effect's answer, or None if it has only begun.
type Model = HashMap<usize, Option<Record>>;

async fn step(ledger: &Ledger, model: &mut Model, random: &mut fastrand::Rng, round: u32) {
    let number = random.usize(0..12);
    match random.u32(0..5) {
        0 | 1 => {
            let expected = match model.get(&number) {
                None => Begun::New,
                Some(None) => Begun::Unsettled,
                Some(Some(record)) => Begun::Done(record.clone()),
            };
            // A ledger that was dropped gives its effects up a moment later.
            let mut begun = ledger.begin(&key(number)).await;
            while begun == Ok(Begun::Elsewhere) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                begun = ledger.begin(&key(number)).await;
            }
            assert_eq!(begun, Ok(expected), "round {round}, effect {number}");
            model.entry(number).or_default();
        }
        2 => {
            ledger.settle(&key(number), &record(round)).await.expect("settled");
            model.insert(number, Some(record(round)));
        }
        3 => {
            ledger.undo(&key(number)).await.expect("undone");
            model.remove(&number);
        }
        _ => {
            ledger.forget(&key(number)).await.expect("forgotten");
            if model.get(&number) == Some(&None) {
                model.remove(&number);
            }
        }
    }
}

#[tokio::test]
async fn the_ledger_behaves_like_a_map_across_restarts() {
    let file = File::new("model");
    for seed in 0..8 {
        let _ = std::fs::remove_file(&file.0);
        for other in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{other}", file.0.display()));
        }
        let (mut random, mut model) = (fastrand::Rng::with_seed(seed), Model::new());
        let mut ledger = file.open().await;
        for round in 0..200 {
            if random.u32(0..20) == 0 {
                ledger = file.open().await;
            }
            step(&ledger, &mut model, &mut random, round).await;
        }
    }
}

#[tokio::test]
async fn concurrent_attempts_begin_once() {
    let file = File::new("together");
    let ledger = Arc::new(file.open().await);
    let asked: Vec<_> = (0..600)
        .map(|number| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move { ledger.begin(&key(number % 300)).await })
        })
        .collect();
    let mut new = 0;
    for asked in asked {
        match asked.await.expect("no panic").expect("a store") {
            Begun::New => new += 1,
            begun => assert_eq!(begun, Begun::Unsettled),
        }
    }
    assert_eq!(new, 300);
}

#[tokio::test]
async fn a_cancelled_begin_leaves_nothing() {
    let file = File::new("given-up");
    let ledger = file.open().await;
    for number in 0..50 {
        let key = key(number);
        // Polled once, it is in the queue; then it is dropped.
        let mut asking = Box::pin(ledger.begin(&key));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context)));
        assert!(polled.await.is_pending());
        drop(asking);
        if number % 2 == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ledger.begin(&key).await, Ok(Begun::New), "effect {number}");
    }
}

#[tokio::test]
async fn expired_effects_are_deleted() {
    let file = File::new("old");
    let ledger = file.open().await;
    for number in 0..20 {
        assert_eq!(ledger.begin(&key(number)).await, Ok(Begun::New));
    }
    ledger.settle(&key(1), &record(1)).await.expect("settled");
    drop(ledger);
    let ledger = file.open_for(Duration::ZERO).await;
    // The writer deletes as soon as it runs.
    for number in [0, 1] {
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while ledger.begin(&key(number)).await != Ok(Begun::New) {
            assert!(std::time::Instant::now() < end, "effect {number} is kept");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = File::new("private");
    let ledger = file.open().await;
    assert_eq!(ledger.begin(&key(0)).await, Ok(Begun::New));
    for other in ["", "-wal", "-shm"] {
        let path = format!("{}{other}", file.0.display());
        let mode = std::fs::metadata(&path).expect(&path).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

#[tokio::test]
async fn commits_are_synchronous() {
    use sqlx::{Executor as _, Row as _};
    let file = File::new("pragmas");
    let url = StoreUrl::parse(&format!("sqlite:{}", file.0.display())).expect("a URL");
    let mut connection = Store::open(url).await.expect("a store").connect().await.expect("a connection");
    for (pragma, expected) in
        [("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", "2"), ("PRAGMA busy_timeout", "3000")]
    {
        let row = connection.fetch_one(pragma).await.expect(pragma);
        let number = row.try_get::<i64, _>(0).map(|number| number.to_string());
        assert_eq!(number.or_else(|_| row.try_get::<String, _>(0)).expect(pragma), expected);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_an_error() {
    let refused = async |url: &str| {
        let url = StoreUrl::parse(url).expect("a URL");
        Store::open(url).await.expect_err("refused").to_string()
    };
    let file = File::new("broken");
    let error = refused(&format!("sqlite:{}/none/host.db", file.0.display())).await;
    assert!(error.contains("cannot open the store") && error.contains("--store"), "{error}");
    std::fs::write(&file.0, "this is not a database, and long enough to tell").expect("a file");
    let error = refused(&format!("sqlite:{}", file.0.display())).await;
    assert!(error.contains("not a database") && error.contains("--store"), "{error}");
}

#[test]
fn records_round_trip_as_text() {
    for body in [vec![], vec![0, 255, 16, 1], b"text".to_vec()] {
        let record = Record { head: "\0 {\"a\":\"한\"}".to_owned(), body };
        let text = encode(&record);
        assert!(!text.contains('\0'));
        assert_eq!(decode(&text), Some(record));
    }
    assert_eq!(decode(r#"{"head":"","body":"0"}"#), None);
    assert_eq!(decode(r#"{"head":"","body":"zz"}"#), None);
    assert_eq!(decode(r#"{"head":"","body":"가"}"#), None);
}

#[tokio::test]
async fn an_effect_of_a_living_process_is_not_in_doubt() {
    let file = File::new("elsewhere");
    let (first, second) = (file.open().await, file.open().await);
    assert_eq!(first.begin(&key(0)).await, Ok(Begun::New));
    assert_eq!(second.begin(&key(0)).await, Ok(Begun::Elsewhere));
    first.disown(&key(0)).await.expect("disowned");
    assert_eq!(second.begin(&key(0)).await, Ok(Begun::Unsettled), "the first one gave it up");
    assert_eq!(first.begin(&key(0)).await, Ok(Begun::Elsewhere), "the second one performs it now");
    second.settle(&key(0), &record(1)).await.expect("settled");
    assert_eq!(first.begin(&key(0)).await, Ok(Begun::Done(record(1))));
}

#[tokio::test]
async fn a_process_that_was_not_seen_for_a_while_leaves_its_effects_in_doubt() {
    let file = File::new("silent");
    let (first, second) = (file.open().await, file.open().await);
    assert_eq!(first.begin(&key(0)).await, Ok(Begun::New));
    // As if it had been killed, and then some time had passed.
    std::mem::forget(first);
    let url = StoreUrl::parse(&format!("sqlite:{}", file.0.display())).expect("a URL");
    let mut connection = Store::open(url).await.expect("a store").connect().await.expect("a connection");
    sqlx::query("UPDATE effect_owners SET seen = seen - 60000")
        .execute(&mut connection)
        .await
        .expect("written");
    assert_eq!(second.begin(&key(0)).await, Ok(Begun::Unsettled));
}
