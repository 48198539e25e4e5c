//! The store is away under load, and messages have no retries: they wait, and each e-mail is sent once.

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use store::{Store, StoreUrl};
use testkit::{
    Kafka, ManneredSmtp, Manners, Postgres, TOLERATING_FULL_FILES, binary, eventually, get, plugin, scale,
};
use tokio::runtime::Runtime;

use crate::mail_servers::{dead, produce};
use crate::support::{BOUND, Host, file, fresh, sqlite};

/// Without an order, and in order.
const POLICIES: [&str; 2] = ["retry = { retries = 0 }", "ordering = \"key\"\nretry = { retries = 0 }"];

fn away() -> Duration {
    Duration::from_secs(scale(8, 60))
}

fn start(kafka: &Kafka, server: &ManneredSmtp, topic: &str, store: &str, policy: &str) -> Host {
    let text = format!(
        "[mail]\nurl = {:?}\n[[plugin]]\npath = {:?}\ntopic = {topic:?}\ngroup = \"{topic}-group\"\n\
         allow = [\"mail\"]\n{policy}\n",
        server.url(),
        plugin("email"),
    );
    let path = file(&format!("{topic}.toml"), text.as_bytes());
    let path = path.to_str().expect("a path in UTF-8");
    let host = binary("host");
    let program = [host.to_str().expect("a path in UTF-8")];
    let args = ["--config", path, "--bootstrap-servers", kafka.bootstrap(), "--store", store];
    Host::run_program(Path::new("sh"), &[&TOLERATING_FULL_FILES[..], &program, &args].concat(), &[])
}

/// Ends the store under load for a while, and expects each e-mail once.
fn outage(topic: &str, store: &str, policy: &str, end: impl FnOnce(&Host), restore: impl FnOnce(&Host)) {
    let (kafka, count) = (Kafka::shared(), scale(400, 50_000));
    // Slow enough that there is work for the whole outage.
    let slowness = Duration::from_millis(30);
    let server = ManneredSmtp::start(Manners { slowness, ..Manners::default() });
    produce(kafka, topic, count);
    let host = start(kafka, &server, topic, store, policy);
    eventually(BOUND, || server.accepted() > count / 10);
    end(&host);
    host.process.wait_for(|line| line.contains("nothing is sent without it"), BOUND);
    std::thread::sleep(away());
    let ready = get(host.port, "/readyz").expect("an answer");
    let text = ready.text();
    assert!(ready.status == 200 && text.contains("nothing has been sent for "), "{text}");
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    assert!(metrics.contains("\nhost_store_available 0\n"), "{metrics}");
    let before = server.accepted();
    restore(&host);
    host.process.wait_for(|line| line.contains("is available again"), BOUND);
    eventually(BOUND, || server.accepted() > before);
    eventually(BOUND * 10, || kafka.lag(&format!("{topic}-group"), topic) == 0);
    assert_eq!((server.subjects().len(), dead(kafka, topic)), (count, 0));
    let doubled = server.subjects().into_iter().filter(|(_, copies)| *copies > 1).collect::<Vec<_>>();
    assert!(doubled.is_empty(), "{doubled:?}");
    eventually(BOUND, || get(host.port, "/readyz").expect("an answer").text() == "ok\n");
    host.stop();
}

#[test]
fn messages_without_retries_wait_for_postgresql() {
    for (topic, policy) in ["store-pg", "store-pg-order"].into_iter().zip(POLICIES) {
        let server = RefCell::new(Postgres::start());
        let url = server.borrow().url();
        outage(topic, &url, policy, |_| server.borrow_mut().stop(), |_| server.borrow_mut().start_again());
    }
}

/// Another process has the file locked.
#[test]
fn messages_without_retries_wait_for_sqlite() {
    for (topic, policy) in ["store-lite", "store-lite-order"].into_iter().zip(POLICIES) {
        let url = sqlite(&fresh(topic));
        let runtime = Runtime::new().expect("a runtime");
        let parsed = StoreUrl::parse(&url).expect("a URL");
        let store = runtime.block_on(Store::open(parsed)).expect("a store");
        let lock = RefCell::new(None);
        let end = |_: &Host| {
            let mut other = runtime.block_on(store.connect()).expect("a connection");
            runtime.block_on(sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other)).expect("a lock");
            lock.replace(Some(other));
        };
        let restore = |_: &Host| {
            let mut other = lock.take().expect("the lock");
            runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut other)).expect("no lock");
        };
        outage(topic, &url, policy, end, restore);
    }
}

/// No file of the host may grow, as on a full disk.
#[test]
fn messages_without_retries_wait_for_room_on_the_disk() {
    for (topic, policy) in ["store-full", "store-full-order"].into_iter().zip(POLICIES) {
        let url = sqlite(&fresh(topic));
        let limit = |host: &Host, bytes| host.process.limit_files(bytes);
        outage(topic, &url, policy, |host| limit(host, Some(1)), |host| limit(host, None));
    }
}
