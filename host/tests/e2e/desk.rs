//! Intake: every dead letter is stored exactly once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::thread::{self, sleep};
use std::time::Duration;

use desk::Desk;
use desk_api::{DeadLetter, DeadLetterState, Filter, PageSelector};
use rdkafka::consumer::{BaseConsumer, Consumer};
use store::{Store, StoreUrl};
use testkit::{Kafka, Postgres, Process, Record, eventually, get};
use tokio::runtime::Runtime;

use crate::support::{BOUND, Guest, Host, between, body, fresh, sqlite};

/// Time after which a killed host is removed from its groups.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];

/// Direct access to the store.
struct Stored {
    runtime: Runtime,
    desk: Desk,
}

impl Stored {
    fn open(url: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let url = StoreUrl::parse(url).expect("a URL");
        let desk = runtime.block_on(async {
            let store = Store::open(url).await.expect("a store");
            Desk::open(&store).await.expect("a desk")
        });
        Self { runtime, desk }
    }

    fn count(&self) -> u64 {
        self.runtime.block_on(self.desk.count(&Filter::default())).expect("a store")
    }

    fn all(&self) -> Vec<DeadLetter> {
        let all = Filter::default();
        self.runtime
            .block_on(self.desk.full_dead_letters(&all, &PageSelector::First, 10_000))
            .expect("dead letters")
            .items
    }

    /// Checks that the rows are exactly the records of the topic.
    #[track_caller]
    fn holds_each_once(&self, kafka: &Kafka, topic: &str) {
        let records = kafka.read_all(topic);
        let locations: HashSet<(i32, i64)> =
            records.iter().map(|record| (record.partition, record.offset)).collect();
        assert_eq!(locations.len(), records.len());
        let dead_letters = self.all();
        let stored: HashSet<(i32, i64)> = dead_letters
            .iter()
            .map(|dead_letter| dead_letter.location.as_ref().expect("a location"))
            .map(|location| (location.partition, location.offset))
            .collect();
        assert_eq!((dead_letters.len(), stored == locations), (records.len(), true));
    }
}

fn start(kafka: &Kafka, guest: &Guest, store: &str) -> Host {
    let [flag, session] = SESSION;
    Host::start_with(kafka, &[&guest.path], &["--store", store, flag, session])
}

/// Dead letters as another host of the guest's group would write them.
fn dead_letters(guest: &Guest, numbers: std::ops::Range<usize>, partitions: usize) -> Vec<Record> {
    numbers
        .map(|number| {
            Record::new(body(&format!("l{number}"), "done", ""))
                .with_header("kafka_dlt-original-consumer-group", guest.group.as_str())
                .with_header("host-plugin", "faulty@0.1.0")
                .with_header("host-failure-code", format!("code-{}", number % 2))
                .on(i32::try_from(number % partitions).expect("small"))
        })
        .collect()
}

/// Number of ingested dead letters according to the log.
fn logged(lines: &[String]) -> usize {
    let counts = lines.iter().filter_map(|line| between(line, "ERROR", " dead letter"));
    counts.filter_map(|text| text.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

#[test]
fn dead_letters_of_a_guest_are_rows() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("desk-rows"));
    let store = sqlite(&fresh("desk-rows"));
    let host = start(kafka, &guest, &store);
    let summary = host.process.wait_for(|line| line.starts_with("  desk "), BOUND);
    assert_eq!(summary, format!("  desk     {store}  0 open"));
    let foreign = Record::new(body("rejected", "reject", ""))
        .with_key(vec![0xff, 0])
        .with_header(vec![0xfe, 0xff], "x")
        .with_null_header("empty");
    kafka.produce(
        &guest.topic,
        [foreign, Record::new(body("exhausted", "retry", "")), Record::new(body("traps", "trap", ""))],
    );
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 3);
    let stored = Stored::open(&store);
    eventually(BOUND, || stored.count() == 3);
    stored.holds_each_once(kafka, &guest.dead);
    check_rows(&stored, kafka, &guest);
    let attempts: HashMap<String, u32> =
        stored.all().into_iter().map(|dead_letter| (dead_letter.code, dead_letter.attempts)).collect();
    let expected = [("asked-reject", 1), ("asked-retry", 6), ("trap", 6)];
    assert_eq!(attempts, expected.map(|(code, attempts)| (code.to_owned(), attempts)).into());
    let group = guest.dead_letter_group();
    eventually(BOUND, || kafka.lag(&group, &guest.dead) == 0);
    let metrics = || get(host.port, "/metrics").expect("metrics").text();
    let taken = format!("host_dead_letters_taken_total{{plugin=\"{}\"}} 3", guest.topic);
    assert!(metrics().contains(&taken), "{}", metrics());
    eventually(BOUND, || metrics().contains("host_dead_letters_open 3"));
    let lines = host.stop();
    assert_eq!(logged(&lines), 3);
    let line = lines.iter().find(|line| line.contains("asked-reject of ")).expect("a line");
    assert!(line.contains(" ERROR ") && line.contains("host dlt list --failure "), "{line}");
    assert!(kafka.members(&group).is_empty(), "it did not leave the group");
    // A restarted host knows the stored dead letters and ingests nothing twice.
    let host = start(kafka, &guest, &store);
    host.process.wait_for(|line| line == format!("  desk     {store}  3 open"), BOUND);
    kafka.produce(&guest.dead, dead_letters(&guest, 0..1, 1));
    eventually(BOUND, || stored.count() == 4);
    assert_eq!(logged(&host.stop()), 1);
}

/// Checks each row against the record of the dead-letter topic.
fn check_rows(stored: &Stored, kafka: &Kafka, guest: &Guest) {
    let records = kafka.read_all(&guest.dead);
    for dead_letter in stored.all() {
        let location = dead_letter.location.as_ref().expect("a location");
        let found = records
            .iter()
            .find(|record| (record.partition, record.offset) == (location.partition, location.offset));
        let record = found.expect("the record of the dead letter");
        assert_eq!(dead_letter.key.as_ref().map(|key| &key.0), record.key.as_ref());
        assert_eq!(dead_letter.value.as_ref().map(|value| &value.0), record.value.as_ref());
        let headers: Vec<_> = dead_letter
            .headers
            .iter()
            .map(|(name, value)| (name.0.clone(), value.as_ref().map(|value| value.0.clone())))
            .collect();
        assert_eq!(headers, record.headers);
        let text = |name: &str| record.header_text(name).expect("a header");
        assert_eq!(
            (&dead_letter.code, &dead_letter.detail),
            (&text("host-failure-code"), &text("kafka_exception-message"))
        );
        assert_eq!(
            (&dead_letter.plugin, &dead_letter.digest),
            (&text("host-plugin"), &text("host-plugin-digest"))
        );
        assert_eq!(dead_letter.attempts.to_string(), text("host-attempts"));
        assert_eq!((&location.topic, &dead_letter.source.topic), (&guest.dead, &guest.topic));
        assert_eq!((&dead_letter.consumer_group, dead_letter.state), (&guest.group, DeadLetterState::Open));
        assert_eq!(dead_letter.failed_ms, record.timestamp_ms);
        assert!(dead_letter.ingested_ms >= dead_letter.failed_ms && dead_letter.first_failed_ms.is_some());
    }
}

#[test]
fn dead_letters_survive_a_kill_during_the_intake() {
    const COUNT: usize = 2000;
    let (kafka, guest) = (Kafka::shared(), Guest::fast("desk-kill"));
    let store = sqlite(&fresh("desk-kill"));
    kafka.create_topic(&guest.topic, 3, &[]);
    kafka.create_topic(&guest.dead, 3, &[]);
    let stored = Stored::open(&store);
    thread::scope(|scope| {
        scope.spawn(|| {
            for first in (0..COUNT).step_by(20) {
                kafka.produce(&guest.dead, dead_letters(&guest, first..first + 20, 3));
                sleep(Duration::from_millis(100));
            }
        });
        for _ in 0..2 {
            let before = stored.count();
            let mut host = start(kafka, &guest, &store);
            // During the intake.
            eventually(BOUND, || stored.count() > before);
            host.process.kill();
        }
    });
    let host = start(kafka, &guest, &store);
    eventually(BOUND, || kafka.lag(&guest.dead_letter_group(), &guest.dead) == 0);
    assert_eq!(stored.count(), COUNT as u64);
    stored.holds_each_once(kafka, &guest.dead);
    host.stop();
}

#[test]
fn dead_letters_are_stored_once_while_hosts_start_and_stop() {
    const COUNT: usize = 3000;
    let (kafka, guest) = (Kafka::shared(), Guest::fast("desk-move"));
    let store = sqlite(&fresh("desk-move"));
    kafka.create_topic(&guest.topic, 4, &[]);
    kafka.create_topic(&guest.dead, 4, &[]);
    let (stored, group) = (Stored::open(&store), guest.dead_letter_group());
    let lines = thread::scope(|scope| {
        let first = start(kafka, &guest, &store);
        scope.spawn(|| {
            for first in (0..COUNT).step_by(30) {
                kafka.produce(&guest.dead, dead_letters(&guest, first..first + 30, 4));
                sleep(Duration::from_millis(50));
            }
        });
        eventually(BOUND, || stored.count() > 0);
        // They share a store and therefore the group.
        let second = start(kafka, &guest, &store);
        eventually(BOUND, || kafka.members(&group).len() == 2);
        let before = stored.count();
        eventually(BOUND, || stored.count() > before);
        let mut lines = first.stop();
        eventually(BOUND, || stored.count() == COUNT as u64);
        eventually(BOUND, || kafka.lag(&group, &guest.dead) == 0);
        lines.extend(second.stop());
        lines
    });
    stored.holds_each_once(kafka, &guest.dead);
    assert_eq!(logged(&lines), COUNT, "each is logged once");
}

#[test]
fn dead_letters_remain_in_kafka_during_an_outage_of_the_store() {
    const COUNT: usize = 300;
    let (kafka, guest) = (Kafka::shared(), Guest::fast("desk-away"));
    let mut postgres = Postgres::start();
    let url = postgres.url();
    let host = start(kafka, &guest, &url);
    kafka.produce(&guest.dead, dead_letters(&guest, 0..1, 1));
    let group = guest.dead_letter_group();
    eventually(BOUND, || kafka.lag(&group, &guest.dead) == 0);
    postgres.stop();
    kafka.produce(&guest.dead, dead_letters(&guest, 1..COUNT, 1));
    let is_logged = |line: &str| line.contains(&format!("dead letters remain in {}", guest.dead));
    let line = host.process.wait_for(is_logged, BOUND);
    assert!(line.contains("postgres://host:***@") && !line.contains("hush"), "{line}");
    // The plugin continues, and the member stays in its group.
    kafka.produce(&guest.topic, [Record::new(body("meanwhile", "done", ""))]);
    eventually(BOUND, || host.handled("meanwhile") == 1);
    sleep(Duration::from_secs(12));
    assert_eq!(kafka.lag(&group, &guest.dead), COUNT as i64 - 1);
    assert_eq!(kafka.members(&group).len(), 1);
    postgres.start_again();
    host.process.wait_for(|line| line.contains("the store is available again"), BOUND);
    eventually(BOUND, || kafka.lag(&group, &guest.dead) == 0);
    Stored::open(&url).holds_each_once(kafka, &guest.dead);
    let lines = host.stop();
    assert!(lines.iter().filter(|line| is_logged(line)).count() < 4);
    assert_eq!(logged(&lines), COUNT);
}

#[test]
fn a_host_stops_in_time_during_an_outage_of_the_store() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("desk-ends"));
    let mut postgres = Postgres::start();
    let host = start(kafka, &guest, &postgres.url());
    postgres.stop();
    kafka.produce(&guest.dead, dead_letters(&guest, 0..10, 1));
    host.process.wait_for(|line| line.contains("dead letters remain in"), BOUND);
    host.stop();
    assert!(kafka.members(&guest.dead_letter_group()).is_empty());
}

#[test]
fn desks_with_different_stores_refuse_each_other() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("desk-twos"));
    let (store, other) = (sqlite(&fresh("desk-two-a")), sqlite(&fresh("desk-two-b")));
    let host = start(kafka, &guest, &store);
    let group = guest.dead_letter_group();
    eventually(BOUND, || kafka.members(&group).len() == 1);
    let path = guest.path.to_str().expect("UTF-8");
    let args = ["--bootstrap-servers", kafka.bootstrap(), "--plugin", path, "--listen", "127.0.0.1:0"];
    let mut refused = Process::start("host", &[&args[..], &["--store", &other]].concat());
    let status = refused.wait(BOUND);
    let text = refused.lines().join("\n");
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(
        text.contains(&group) && text.contains("--store postgres://") && text.contains("--desk=false"),
        "{text}"
    );
    // Without a desk it starts.
    let second = Host::start_with(kafka, &[Path::new(path)], &["--store", &other, "--desk=false"]);
    second.stop();
    // A member that joins nevertheless pauses the intake of all until it leaves.
    let mut config = kafka.config(&group);
    config.set("client.id", "host-desk-0123456789abcdef0123456789abcdef");
    config.set("partition.assignment.strategy", "cooperative-sticky");
    // It leaves without notice.
    config.set("session.timeout.ms", "6000");
    let intruder: BaseConsumer = config.create().expect("a consumer");
    intruder.subscribe(&[&guest.dead]).expect("a subscription");
    let is_logged = |line: &str| line.contains("intake is paused on all of them");
    eventually(BOUND, || {
        drop(intruder.poll(Duration::from_millis(100)));
        host.process.count(is_logged) > 0
    });
    let stored = Stored::open(&store);
    kafka.produce(&guest.dead, dead_letters(&guest, 0..20, 1));
    let end = std::time::Instant::now() + Duration::from_secs(3);
    while std::time::Instant::now() < end {
        drop(intruder.poll(Duration::from_millis(100)));
    }
    assert_eq!(stored.count(), 0);
    kafka.produce(&guest.topic, [Record::new(body("meanwhile", "done", ""))]);
    eventually(BOUND, || host.handled("meanwhile") == 1);
    drop(intruder);
    eventually(BOUND, || stored.count() == 20);
    host.process.wait_for(|line| line.contains("intake has resumed"), BOUND);
    host.stop();
}

#[test]
fn without_a_desk_there_is_no_dead_letter_group() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("desk-none"));
    let store = fresh("desk-none");
    let host = Host::start_with(kafka, &[&guest.path], &["--desk=false", "--store", &sqlite(&store)]);
    kafka.produce(&guest.topic, [Record::new(body("r", "reject", ""))]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    guest.settle(kafka);
    let groups = kafka.groups();
    assert!(groups.contains(&guest.group));
    assert!(!groups.contains(&guest.dead_letter_group()));
    assert!(!host.stop().iter().any(|line| line.starts_with("  desk ")));
}
