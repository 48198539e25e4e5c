//! Replays while the host is killed: no dead letter is lost, and without kills none is sent twice.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use desk::Desk;
use desk::audit::Actor;
use desk::record;
use desk::record::Record;
use desk_api::{DeadLetter, DeadLetterState, Filter, Location, Replay, ReplayPlan, ReplayState};
use store::{Store, StoreUrl};
use testkit::{Kafka, Rng, eventually, scale};
use tokio::runtime::Runtime;

use crate::fixture::{BOUND, Deliveries, Host};

const TOPIC: &str = "faulty-fast";
const GROUP: &str = "faulty-fast-group";
const PARTITIONS: usize = 4;
/// Records that a killed host may have sent without recording it.
const MAX_IN_FLIGHT: usize = 500;

/// Direct access to the desk of the hosts under test.
struct TestDesk {
    runtime: Runtime,
    desk: Desk,
    url: String,
}

impl TestDesk {
    fn new(name: &str, count: usize) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.db", std::process::id()));
        for other in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{other}", path.display()));
        }
        let url = format!("sqlite:{}", path.display());
        let runtime = Runtime::new().expect("a runtime");
        let desk = runtime.block_on(async {
            let store = Store::open(StoreUrl::parse(&url).expect("a URL")).await.expect("a store");
            let desk = Desk::open(&store).await.expect("a desk");
            let dead_letters: Vec<DeadLetter> = (0..count).map(dead_letter).collect();
            for some in dead_letters.chunks(1000) {
                desk.ingest(some).await.expect("ingested");
            }
            desk
        });
        Self { runtime, desk, url }
    }

    fn start(&self, kafka: &Kafka) -> Host {
        // With an instance id the next process takes over at once.
        Host::start(kafka, &["faulty_fast"], &["--store", &self.url, "-X", "group.instance.id=replay"])
    }

    fn replay(&self, plan: &ReplayPlan) -> Replay {
        let by = Actor { name: "kim", reason: "fixed", now_ms: now_ms() };
        let replay = self.runtime.block_on(self.desk.start_replay(&Filter::default(), None, plan, by));
        replay.expect("a store").expect("dead letters")
    }

    fn get(&self, id: &str) -> Replay {
        self.runtime.block_on(self.desk.replay(id)).expect("a store").expect("a replay")
    }

    fn wait_done(&self, id: &str, bound: Duration) -> Replay {
        let end = Instant::now() + bound;
        loop {
            let replay = self.get(id);
            if replay.state == ReplayState::Done {
                return replay;
            }
            assert!(replay.state == ReplayState::Running && Instant::now() < end, "{bound:?}: {replay:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Polls rarely, because counting would distort the measurement.
    fn wait_sent(&self, id: &str, bound: Duration) {
        let end = Instant::now() + bound;
        while self.get(id).waiting > 0 {
            assert!(Instant::now() < end, "not sent in {bound:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn open(&self) -> u64 {
        let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
        self.runtime.block_on(self.desk.count(&open)).expect("a store")
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292 million")
}

/// A dead letter whose message succeeds when it is replayed.
fn dead_letter(number: usize) -> DeadLetter {
    let offset = number as i64;
    let partition = (number % PARTITIONS) as i32;
    let headers = [
        ("kafka_original-topic", TOPIC.as_bytes().to_vec()),
        ("kafka_original-partition", partition.to_be_bytes().to_vec()),
        ("kafka_original-offset", offset.to_be_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", GROUP.as_bytes().to_vec()),
        ("host-failure-code", b"asked-reject".to_vec()),
    ];
    let record = Record {
        location: Location { topic: format!("{TOPIC}.dlt"), partition, offset },
        timestamp_ms: 1_795_435_410_000 + offset,
        key: Some(number.to_string().into_bytes()),
        value: Some(format!(r#"{{"id":"{number}","path":"{}"}}"#, "x".repeat(150)).into_bytes()),
        headers: headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), Some(value))).collect(),
    };
    record::dead_letter(record, now_ms())
}

/// The number of records of each message on the topic.
fn on_topic(kafka: &Kafka) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for record in kafka.read_all(TOPIC) {
        *counts.entry(record.header_text("host-id").expect("an id")).or_default() += 1;
    }
    counts
}

#[test]
fn kills_lose_no_dead_letter_of_a_replay_and_its_counts_agree() {
    let mut rng = Rng::seeded();
    let (count, kills) = (scale(2000, 50_000), scale(2, 5));
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let desk = TestDesk::new("replay-killed", count);
    let plan = ReplayPlan {
        rate: Some(count as f64 / 8.0),
        ramp: ReplayPlan::CAREFUL_RAMP.to_vec(),
        ..ReplayPlan::default()
    };
    let replay = desk.replay(&plan);
    let mut deliveries = Deliveries::default();
    for kill in 1..=kills {
        let host = desk.start(&kafka);
        let before = desk.get(&replay.id).waiting;
        let part = before / (kills as u64 + 1) / 2;
        let left = before - part - rng.below(part.max(1));
        eventually(scale(1, 4) * BOUND, || desk.get(&replay.id).waiting <= left);
        deliveries.add(&host.kill());
        let now = desk.get(&replay.id);
        println!("kill {kill}: {} waiting, {} sent, {} done", now.waiting, now.sent, now.done);
        assert!(now.waiting > 0, "kill {kill} was after the last record");
    }
    let host = desk.start(&kafka);
    let replay = desk.wait_done(&replay.id, scale(2, 6) * BOUND);
    eventually(BOUND, || kafka.lag(GROUP, TOPIC) == 0);
    deliveries.add(&host.stop());
    let topic = on_topic(&kafka);
    let sent: usize = topic.values().sum();
    println!(
        "{count} dead letters, {kills} kills: {sent} records, {} unknown, {} repeated",
        replay.unknown,
        deliveries.repeats()
    );
    assert_eq!((replay.failed, replay.skipped, replay.sent, replay.waiting), (0, 0, 0, 0), "{replay:?}");
    assert_eq!(replay.done + replay.unknown, count as u64);
    assert_eq!((topic.len(), desk.open()), (count, 0));
    assert!(sent - count <= kills * MAX_IN_FLIGHT, "{} sent twice", sent - count);
    let missing = (0..count).filter(|id| deliveries.count(*id, 1) == 0).count();
    assert_eq!(missing, 0, "dead letters that no plugin has received");
}

#[test]
fn a_replay_survives_an_outage_of_kafka() {
    let mut rng = Rng::seeded();
    let count = scale(2000, 20_000);
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let desk = TestDesk::new("replay-away", count);
    let host = desk.start(&kafka);
    host.ready(BOUND);
    let plan = ReplayPlan {
        rate: Some(count as f64 / 8.0),
        ramp: ReplayPlan::CAREFUL_RAMP.to_vec(),
        ..ReplayPlan::default()
    };
    let replay = desk.replay(&plan);
    let left = count as u64 / 4 + rng.below(count as u64 / 4);
    eventually(BOUND, || desk.get(&replay.id).waiting <= left);
    kafka.stop();
    let away = desk.get(&replay.id);
    println!("Kafka stopped: {} waiting, {} sent, {} done", away.waiting, away.sent, away.done);
    assert!(away.waiting > 0, "the outage was after the last record");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(desk.get(&replay.id).state, ReplayState::Running, "the replay should wait");
    kafka.start_again();
    let replay = desk.wait_done(&replay.id, scale(2, 6) * BOUND);
    eventually(BOUND, || kafka.lag(GROUP, TOPIC) == 0);
    let deliveries = Deliveries::of(&host.stop());
    let topic = on_topic(&kafka);
    let sent: usize = topic.values().sum();
    println!("{count} dead letters: {sent} records, {} unknown", replay.unknown);
    assert_eq!(
        (replay.failed, replay.skipped, replay.waiting, topic.len(), desk.open()),
        (0, 0, 0, count, 0),
        "{replay:?}"
    );
    assert!(sent - count <= MAX_IN_FLIGHT, "{} sent twice", sent - count);
    assert!((0..count).all(|id| deliveries.count(id, 1) > 0), "dead letters that no plugin has received");
}

#[test]
fn a_replay_without_kills_sends_each_dead_letter_once() {
    let count = scale(2000, 50_000);
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let desk = TestDesk::new("replay-once", count);
    let host = desk.start(&kafka);
    host.ready(BOUND);
    let (started, before) = (Instant::now(), host.usage());
    let replay = desk.replay(&ReplayPlan::default());
    desk.wait_sent(&replay.id, scale(1, 6) * BOUND);
    let sent = started.elapsed();
    let replay = desk.wait_done(&replay.id, scale(1, 6) * BOUND);
    let done = started.elapsed();
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    let cpu = (host.usage().cpu - before.cpu).as_micros() / count as u128;
    println!(
        "{count} dead letters: {:.0} a second sent, {:.0} a second with their outcomes, {cpu} µs of CPU each",
        rate(sent),
        rate(done)
    );
    assert_eq!((replay.done, replay.steps), (count as u64, 1), "{replay:?}");
    let deliveries = Deliveries::of(&host.stop());
    let topic = on_topic(&kafka);
    assert_eq!((topic.len(), topic.values().sum::<usize>(), desk.open()), (count, count, 0));
    assert!((0..count).all(|id| deliveries.count(id, 1) == 1));
    assert_eq!(deliveries.distinct().count(), count);
}
