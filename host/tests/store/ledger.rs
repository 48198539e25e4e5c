//! The ledger on PostgreSQL. The unit tests run it on SQLite.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use desk::Desk;
use desk::audit::Actor;
use effects::ledger::{Begun, Ledger};
use effects::{Calls, Key, Record};
use store::{Store, StoreUrl};
use testkit::Postgres;

use crate::fixture::{ACTOR, dead_letter, on_both_stores, one};

const RETENTION: Duration = Duration::from_secs(7 * 86_400);

async fn open(postgres: &Postgres) -> Ledger {
    let url = StoreUrl::parse(&postgres.url()).expect("a URL");
    Ledger::new(Store::open(url).await.expect("a store"), RETENTION)
}

fn key(number: usize) -> Key {
    Calls::of("group", &format!("message\0 {number}")).next([1; 32])
}

fn record(number: usize) -> Record {
    Record { head: format!("\0 {number}"), body: vec![0, 255, u8::try_from(number % 256).unwrap_or(0)] }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_begin_each_effect_once() {
    let postgres = Postgres::start();
    // Both migrate the schema at the same time.
    let (one, other) = tokio::join!(open(&postgres), open(&postgres));
    let hosts = [Arc::new(one), Arc::new(other)];
    let calls: Vec<_> = (0..2000)
        .map(|number| {
            let host = Arc::clone(&hosts[number % 2]);
            // Each host has its own order.
            let number = if number % 2 == 0 { number / 2 } else { 999 - number / 2 };
            tokio::spawn(async move { (number, host.begin(&key(number)).await.expect("a store")) })
        })
        .collect();
    let mut new = HashSet::new();
    for calls in calls {
        let (number, begun) = calls.await.expect("no panic");
        match begun {
            Begun::New => assert!(new.insert(number), "{number} was begun twice"),
            begun => assert_eq!(begun, Begun::Elsewhere),
        }
    }
    assert_eq!(new.len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_survives_an_outage_of_its_database() {
    let mut postgres = Postgres::start();
    let ledger = open(&postgres).await;
    assert_eq!(ledger.begin(&key(0)).await, Ok(Begun::New));
    ledger.settle(&key(0), &record(0)).await.expect("settled");
    assert_eq!(ledger.begin(&key(1)).await, Ok(Begun::New));
    assert_eq!(ledger.begin(&key(2)).await, Ok(Begun::New));
    ledger.forget(&key(2)).await.expect("forgotten");
    ledger.forget(&key(0)).await.expect("a settled effect stays");
    postgres.stop();
    let started = std::time::Instant::now();
    let why = ledger.begin(&key(3)).await.expect_err("the database is stopped");
    assert!(started.elapsed() < Duration::from_secs(6), "{why}");
    assert!(why.contains("postgres://") && !why.contains("hush"), "{why}");
    postgres.start_again();
    assert_eq!(ledger.begin(&key(0)).await, Ok(Begun::Done(record(0))));
    assert_eq!(ledger.begin(&key(1)).await, Ok(Begun::Unsettled));
    assert_eq!(ledger.begin(&key(2)).await, Ok(Begun::New));
    assert_eq!(ledger.begin(&key(3)).await, Ok(Begun::New));
    drop(ledger);
    let ledger = open(&postgres).await;
    assert_eq!(ledger.begin(&key(0)).await, Ok(Begun::Done(record(0))));
}

/// Waits until the ledger has deleted this effect.
async fn deleted(ledger: &Ledger, key: &Key) {
    let end = std::time::Instant::now() + Duration::from_secs(90);
    while ledger.begin(key).await != Ok(Begun::New) {
        assert!(std::time::Instant::now() < end, "the effect is kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_dead_letter_has_sent_stays_known() {
    on_both_stores(async |store| {
        let desk = Desk::open(&store).await.expect("a desk");
        let failed = dead_letter(1, "bad-address", "d1");
        desk.ingest(std::slice::from_ref(&failed)).await.expect("ingested");
        let of_failed = |number| Calls::of("email-send-group", &failed.message).next([number; 32]);
        let ledger = Ledger::new(store.clone(), RETENTION);
        // More than one transaction examines, before the effects of the dead letter and after them.
        for number in 0..700 {
            assert_eq!(ledger.begin(&key(number)).await, Ok(Begun::New));
        }
        ledger.settle(&of_failed(1), &record(1)).await.expect("settled");
        assert_eq!(ledger.begin(&of_failed(2)).await, Ok(Begun::New));
        assert_eq!(ledger.begin(&key(700)).await, Ok(Begun::New));
        drop(ledger);
        let ledger = Ledger::new(store.clone(), Duration::ZERO);
        deleted(&ledger, &key(0)).await;
        deleted(&ledger, &key(700)).await;
        assert_eq!(ledger.begin(&of_failed(1)).await, Ok(Begun::Done(record(1))));
        assert_eq!(ledger.begin(&of_failed(2)).await, Ok(Begun::Unsettled));
        // Not open any more, it is kept for the usual time from then on.
        let now = Actor { now_ms: base::clock::now_ms(), ..ACTOR };
        desk.discard(&one(&failed), now).await.expect("discarded");
        drop(ledger);
        let ledger = Ledger::new(store.clone(), RETENTION);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(ledger.begin(&of_failed(1)).await, Ok(Begun::Done(record(1))));
        drop(ledger);
        let ledger = Ledger::new(store.clone(), Duration::ZERO);
        deleted(&ledger, &of_failed(1)).await;
    })
    .await;
}
