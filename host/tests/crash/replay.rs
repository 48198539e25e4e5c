//! A replay while the host is killed: no letter is lost, and none is sent twice where nothing is killed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use desk::actions::By;
use desk::jobs::{Job, JobState, Plan};
use desk::letter::{Place, Record};
use desk::{Desk, Filter, Letter, State};
use store::{Store, StoreUrl};
use testkit::{Kafka, Rng, eventually, scale};
use tokio::runtime::Runtime;

use crate::fixture::{BOUND, Deliveries, Host};

const TOPIC: &str = "faulty-fast";
const GROUP: &str = "faulty-fast-group";
const PARTITIONS: usize = 4;
/// What a host that is killed may have sent without writing it down.
const SIDE_BY_SIDE: usize = 500;

/// The desk of the hosts under test, from beside them.
struct Office {
    runtime: Runtime,
    desk: Desk,
    url: String,
}

impl Office {
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
            let letters: Vec<Letter> = (0..count).map(letter).collect();
            for some in letters.chunks(1000) {
                desk.take_in(some).await.expect("taken");
            }
            desk
        });
        Self { runtime, desk, url }
    }

    fn start(&self, kafka: &Kafka) -> Host {
        // With an instance id, so that the next process takes over at once.
        Host::start(kafka, &["faulty_fast"], &["--store", &self.url, "-X", "group.instance.id=replay"])
    }

    fn replay(&self, plan: &Plan) -> Job {
        let by = By { who: "kim", reason: "mended", now_ms: now_ms() };
        let job = self.runtime.block_on(self.desk.start_job(&Filter::default(), plan, by));
        job.expect("a store").expect("letters")
    }

    fn job(&self, id: &str) -> Job {
        self.runtime.block_on(self.desk.job(id)).expect("a store").expect("a job")
    }

    fn wait_done(&self, id: &str, bound: Duration) -> Job {
        let end = Instant::now() + bound;
        loop {
            let job = self.job(id);
            if job.state == JobState::Done {
                return job;
            }
            assert!(job.state == JobState::Running && Instant::now() < end, "{bound:?}: {job:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Looks seldom: counting takes time from what is measured.
    fn wait_sent(&self, id: &str, bound: Duration) {
        let end = Instant::now() + bound;
        while self.job(id).waiting > 0 {
            assert!(Instant::now() < end, "not sent in {bound:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn open(&self) -> u64 {
        let open = Filter { state: Some(State::Open), ..Filter::default() };
        self.runtime.block_on(self.desk.count(&open)).expect("a store")
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292 million")
}

/// A letter whose message is done when it comes back.
fn letter(number: usize) -> Letter {
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
        place: Place { topic: format!("{TOPIC}.dlt"), partition, offset },
        timestamp_ms: 1_795_435_410_000 + offset,
        key: Some(number.to_string().into_bytes()),
        value: Some(format!(r#"{{"id":"{number}","path":"{}"}}"#, "x".repeat(150)).into_bytes()),
        headers: headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), Some(value))).collect(),
    };
    Letter::read(record, now_ms())
}

/// How often each letter's message is on the topic.
fn on_topic(kafka: &Kafka) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for record in kafka.read_all(TOPIC) {
        *counts.entry(record.header_text("host-id").expect("an id")).or_default() += 1;
    }
    counts
}

#[test]
fn killed_in_the_middle_each_letter_is_replayed_and_the_counts_agree() {
    let mut rng = Rng::seeded();
    let (count, kills) = (scale(2000, 50_000), scale(2, 5));
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let office = Office::new("replay-killed", count);
    let plan = Plan { rate: Some(count as f64 / 8.0), ramp: Plan::RAMP.to_vec(), ..Plan::default() };
    let job = office.replay(&plan);
    let mut deliveries = Deliveries::default();
    for kill in 1..=kills {
        let host = office.start(&kafka);
        let before = office.job(&job.id).waiting;
        let part = before / (kills as u64 + 1) / 2;
        let left = before - part - rng.below(part.max(1));
        eventually(scale(1, 4) * BOUND, || office.job(&job.id).waiting <= left);
        deliveries.add(&host.kill());
        let now = office.job(&job.id);
        println!("kill {kill}: {} waiting, {} sent, {} done", now.waiting, now.sent, now.done);
        assert!(now.waiting > 0, "kill {kill} came after everything was sent");
    }
    let host = office.start(&kafka);
    let job = office.wait_done(&job.id, scale(2, 6) * BOUND);
    eventually(BOUND, || kafka.lag(GROUP, TOPIC) == 0);
    deliveries.add(&host.stop());
    let topic = on_topic(&kafka);
    let sent: usize = topic.values().sum();
    println!(
        "{count} letters, {kills} kills: {sent} records, {} unknown, {} repeated",
        job.unknown,
        deliveries.repeats()
    );
    assert_eq!((job.failed, job.gone, job.sent, job.waiting), (0, 0, 0, 0), "{job:?}");
    assert_eq!(job.done + job.unknown, count as u64);
    assert_eq!((topic.len(), office.open()), (count, 0));
    assert!(sent - count <= kills * SIDE_BY_SIDE, "{} sent twice", sent - count);
    let missing = (0..count).filter(|id| deliveries.count(*id, 1) == 0).count();
    assert_eq!(missing, 0, "letters that no plugin has seen");
}

#[test]
fn a_replay_outlives_kafka_being_away() {
    let mut rng = Rng::seeded();
    let count = scale(2000, 20_000);
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let office = Office::new("replay-away", count);
    let host = office.start(&kafka);
    host.ready(BOUND);
    let plan = Plan { rate: Some(count as f64 / 8.0), ramp: Plan::RAMP.to_vec(), ..Plan::default() };
    let job = office.replay(&plan);
    let left = count as u64 / 4 + rng.below(count as u64 / 4);
    eventually(BOUND, || office.job(&job.id).waiting <= left);
    kafka.stop();
    let away = office.job(&job.id);
    println!("Kafka went: {} waiting, {} sent, {} done", away.waiting, away.sent, away.done);
    assert!(away.waiting > 0, "it went after everything was sent");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(office.job(&job.id).state, JobState::Running, "it waits");
    kafka.start_again();
    let job = office.wait_done(&job.id, scale(2, 6) * BOUND);
    eventually(BOUND, || kafka.lag(GROUP, TOPIC) == 0);
    let deliveries = Deliveries::of(&host.stop());
    let topic = on_topic(&kafka);
    let sent: usize = topic.values().sum();
    println!("{count} letters: {sent} records, {} unknown", job.unknown);
    assert_eq!(
        (job.failed, job.gone, job.waiting, topic.len(), office.open()),
        (0, 0, 0, count, 0),
        "{job:?}"
    );
    assert!(sent - count <= SIDE_BY_SIDE, "{} sent twice", sent - count);
    assert!((0..count).all(|id| deliveries.count(id, 1) > 0), "letters that no plugin has seen");
}

#[test]
fn where_nothing_is_killed_each_letter_is_replayed_once() {
    let count = scale(2000, 50_000);
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, PARTITIONS, &[]);
    let office = Office::new("replay-once", count);
    let host = office.start(&kafka);
    host.ready(BOUND);
    let (started, before) = (Instant::now(), host.usage());
    let job = office.replay(&Plan::default());
    office.wait_sent(&job.id, scale(1, 6) * BOUND);
    let sent = started.elapsed();
    let job = office.wait_done(&job.id, scale(1, 6) * BOUND);
    let done = started.elapsed();
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    let cpu = (host.usage().cpu - before.cpu).as_micros() / count as u128;
    println!(
        "{count} letters: {:.0} a second sent, {:.0} a second with their outcomes, {cpu} µs of CPU each",
        rate(sent),
        rate(done)
    );
    assert_eq!((job.done, job.steps), (count as u64, 1), "{job:?}");
    let deliveries = Deliveries::of(&host.stop());
    let topic = on_topic(&kafka);
    assert_eq!((topic.len(), topic.values().sum::<usize>(), office.open()), (count, count, 0));
    assert!((0..count).all(|id| deliveries.count(id, 1) == 1));
    assert_eq!(deliveries.distinct().count(), count);
}
