//! Direct access to the desk of a running host, and dead letters for it.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use desk::audit::Actor;
use desk::{Desk, record};
use desk_api::{DeadLetter, DeadLetterState, Filter, Location, Replay, ReplayPlan, ReplayState};
use store::{Store, StoreUrl};
use testkit::{Kafka, Record, eventually};
use tokio::runtime::Runtime;

use crate::support::{BOUND, Guest, Host, body, file};

/// Time after which a killed host is removed from its groups.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];

/// Direct access to the desk of a running host.
pub struct TestDesk {
    /// Runs the calls of the desk.
    pub runtime: Runtime,
    /// The desk on the store of the host.
    pub desk: Desk,
    /// The URL of the store.
    pub store: String,
}

impl TestDesk {
    /// Opens a desk with a store of its own.
    pub fn new(name: &str) -> Self {
        let path = fresh(name);
        Self::of(format!("sqlite:{}", path.display()))
    }

    /// Opens the desk on this store.
    pub fn of(store: String) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let url = StoreUrl::parse(&store).expect("a URL");
        let desk = runtime
            .block_on(async { Desk::open(&Store::open(url).await.expect("a store")).await.expect("a desk") });
        Self { runtime, desk, store }
    }

    /// Starts a host on the store, with one guest.
    pub fn start(&self, kafka: &Kafka, guest: &Guest, more: &[&str]) -> Host {
        let [flag, session] = SESSION;
        let args: Vec<&str> = ["--store", &self.store, flag, session].iter().chain(more).copied().collect();
        Host::start_with(kafka, &[&guest.path], &args)
    }

    /// Stores dead letters, all of them new.
    pub fn ingest(&self, dead_letters: &[DeadLetter]) {
        let new = self.runtime.block_on(self.desk.ingest(dead_letters)).expect("a store");
        assert_eq!(new.len(), dead_letters.len());
    }

    /// Waits until the host has ingested this dead letter.
    pub fn wait_for(&self, dead_letter: &DeadLetter) {
        let is_there =
            || self.runtime.block_on(self.desk.dead_letter(&dead_letter.id)).expect("a store").is_some();
        eventually(BOUND, is_there);
    }

    /// Starts a replay of all open dead letters.
    pub fn replay(&self, plan: &ReplayPlan) -> Replay {
        let started = self.runtime.block_on(self.desk.start_replay(&Filter::default(), None, plan, by()));
        started.expect("a store").expect("dead letters")
    }

    fn get(&self, id: &str) -> Replay {
        self.runtime.block_on(self.desk.replay(id)).expect("a store").expect("a replay")
    }

    /// Waits until the replay meets a condition.
    #[track_caller]
    pub fn wait(&self, id: &str, wanted: impl Fn(&Replay) -> bool) -> Replay {
        let end = Instant::now() + BOUND;
        loop {
            let replay = self.get(id);
            if wanted(&replay) {
                return replay;
            }
            assert!(Instant::now() < end, "timeout after {BOUND:?}: {replay:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the replay is done.
    #[track_caller]
    pub fn wait_done(&self, id: &str) -> Replay {
        self.wait(id, |replay| replay.state == ReplayState::Done)
    }

    /// The number of dead letters in this state.
    pub fn count(&self, state: DeadLetterState) -> u64 {
        let filter = Filter { state: Some(state), ..Filter::default() };
        self.runtime.block_on(self.desk.count(&filter)).expect("a store")
    }
}

fn fresh(name: &str) -> PathBuf {
    let path = file(&format!("{name}.db"), b"");
    for other in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{other}", path.display()));
    }
    path
}

pub fn by() -> Actor<'static> {
    Actor { name: "kim", reason: "fixed", now_ms: now_ms() }
}

pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292 million")
}

/// The dead letter that the desk stores for a record of the dead-letter topic.
pub fn as_ingested(guest: &Guest, record: &Record) -> DeadLetter {
    let location = Location { topic: guest.dead.clone(), partition: record.partition, offset: record.offset };
    let Record { timestamp_ms, key, value, headers, .. } = record.clone();
    record::dead_letter(record::Record { location, timestamp_ms, key, value, headers }, now_ms())
}

/// A dead letter of the guest whose message has this offset in its source partition.
pub fn crafted(guest: &Guest, number: i64, value: String) -> DeadLetter {
    let headers = [
        ("kafka_original-topic", guest.topic.clone().into_bytes()),
        ("kafka_original-partition", 0_i32.to_be_bytes().to_vec()),
        ("kafka_original-offset", number.to_be_bytes().to_vec()),
        ("kafka_original-timestamp", (now_ms() - 1000).to_be_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", guest.group.clone().into_bytes()),
        ("host-failure-code", b"asked-reject".to_vec()),
        ("host-attempts", b"1".to_vec()),
    ];
    let record =
        headers.into_iter().fold(Record::new(value), |record, (name, value)| record.with_header(name, value));
    as_ingested(
        guest,
        &Record { offset: number, partition: 0, timestamp_ms: now_ms() - 500 + number, ..record },
    )
}

pub fn all_done(guest: &Guest, count: usize) -> Vec<DeadLetter> {
    (0..count).map(|number| crafted(guest, number as i64, body(&number.to_string(), "done", ""))).collect()
}
