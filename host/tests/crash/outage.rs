//! The broker away, and a dead-letter topic that is gone.

use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, Record, Rng, eventually, scale};

use crate::audit::{FAST, Report, SLOW};
use crate::fixture::{BOUND, Deliveries, Host};
use crate::workload::{Task, Workload, id_of};

const PLUGINS: &[&str] = &["faulty_fast"];
/// How the host says that it waits.
const WAITS: &str = "cannot publish a failed message";

#[test]
fn the_broker_killed_under_load() {
    let (report, outages) = outages(Kafka::kill);
    report.print(&format!("the broker killed {outages} times"));
}

#[test]
fn the_broker_stopped_under_load() {
    let (report, outages) = outages(Kafka::stop);
    report.print(&format!("the broker stopped {outages} times"));
    report.check_exactly_once();
}

/// Ends the broker again and again while messages flow, and starts it a moment later.
fn outages(end: impl Fn(&Kafka)) -> (Report, usize) {
    let mut rng = Rng::seeded();
    let (outages, round) = scale((3, 1_500), (20, 2_500));
    let work = Workload::mixed(&mut rng, outages * round);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 4, &[]);
    let host = Host::start(&kafka, PLUGINS, &[]);
    for outage in 0..outages {
        let before = host.handled();
        kafka.produce(FAST.source(), work.records(outage * round..(outage + 1) * round));
        host.wait_handled(before + 200 + rng.below(800) as usize, BOUND);
        end(&kafka);
        sleep(Duration::from_millis(rng.below(3000)));
        kafka.start_again();
    }
    FAST.settle(&kafka, scale(2, 4) * BOUND);
    let deliveries = Deliveries::of(&host.stop());
    (FAST.check_ends(&kafka, &work, &deliveries, &[]), outages)
}

/// Longer than the session, so that the member is put out of its group.
#[test]
fn the_broker_suspended_under_load() {
    let mut rng = Rng::seeded();
    let work = Workload::mixed(&mut rng, scale(4_000, 50_000));
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 4, &[]);
    kafka.produce(FAST.source(), work.records(work.ids()));
    let host = Host::start(&kafka, PLUGINS, &["-X", "session.timeout.ms=6000"]);
    host.wait_handled(200 + rng.below(1000) as usize, BOUND);
    kafka.suspend();
    sleep(scale(Duration::from_secs(8), Duration::from_secs(30)));
    kafka.resume();
    FAST.settle(&kafka, scale(2, 5) * BOUND);
    let deliveries = Deliveries::of(&host.stop());
    FAST.check_ends(&kafka, &work, &deliveries, &[]).print("the broker suspended");
}

/// Its letters are copied off before each deletion, when nothing is under way.
#[test]
fn the_dead_letter_topic_made_again_under_load() {
    let mut rng = Rng::seeded();
    let (rounds, round) = scale((2, 1_500), (5, 10_000));
    let work = Workload::mixed(&mut rng, rounds * round);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 4, &[]);
    FAST.create_derived(&kafka, 4);
    // Here the operator makes it again.
    let host = Host::start(&kafka, PLUGINS, &["--create-topics=false"]);
    host.ready(BOUND);
    let mut letters: Vec<usize> = Vec::new();
    for number in 0..rounds {
        letters.extend(kafka.read_all(&FAST.dead()).iter().map(id_of));
        delete(&kafka, &FAST.dead());
        let waits = || host.count(|line| line.contains(WAITS));
        let before = waits();
        kafka.produce(FAST.source(), work.records(number * round..(number + 1) * round));
        eventually(BOUND, || waits() > before);
        sleep(Duration::from_millis(rng.below(3000)));
        FAST.check_commits(&kafka, &work, None, &letters);
        kafka.create_topic(&FAST.dead(), 4, &[]);
        FAST.settle(&kafka, scale(2, 4) * BOUND);
    }
    let deliveries = Deliveries::of(&host.stop());
    let report = FAST.check_ends(&kafka, &work, &deliveries, &letters);
    report.print(&format!("the dead-letter topic made again {rounds} times"));
}

#[test]
fn a_partition_waits_for_its_dead_letter_topic() {
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 2, &[]);
    kafka.create_topic(SLOW.source(), 1, &[]);
    FAST.create_derived(&kafka, 2);
    SLOW.create_derived(&kafka, 1);
    // Here the operator keeps the topics.
    let host = Host::start(&kafka, &["faulty_fast", "faulty"], &["--create-topics=false"]);
    host.ready(BOUND);
    // Partition 0 gets what is rejected, partition 1 what is done.
    let task = |id: usize| if id.is_multiple_of(2) { Task::Rejected } else { Task::Done };
    let work = Workload::new((0..600).map(task));
    let publish = |first: usize, count: usize| {
        let ids = first..first + count;
        let records = ids.clone().zip(work.records(ids)).map(|(id, record)| record.on((id % 2) as i32));
        kafka.produce(FAST.source(), records.collect::<Vec<Record>>());
    };
    publish(0, 200);
    FAST.settle(&kafka, BOUND);
    let letters: Vec<usize> = kafka.read_all(&FAST.dead()).iter().map(id_of).collect();
    assert_eq!(letters.len(), 100);
    delete(&kafka, &FAST.dead());
    publish(200, 200);
    let waits = || host.count(|line| line.contains(WAITS));
    eventually(BOUND, || waits() > 0);
    // What needs no dead letter goes on: the other partition, the other plugin.
    publish(400, 200);
    eventually(BOUND, || FAST.committed(&kafka, 1)[1] == Some(300));
    kafka.produce(SLOW.source(), Workload::new([Task::Done]).records(0..1));
    eventually(BOUND, || SLOW.lag(&kafka, 1) == 0);
    assert_eq!(FAST.committed(&kafka, 1)[0], Some(100), "committed without a dead letter");
    let told = waits();
    let since = Instant::now();
    while since.elapsed() < scale(Duration::from_secs(3), Duration::from_secs(70)) {
        assert_eq!(FAST.committed(&kafka, 1)[0], Some(100), "committed without a dead letter");
        sleep(Duration::from_millis(500));
    }
    println!("said {WAITS:?} {told} times at first, {} times in all", waits());
    host.wait(|line| line.contains(&format!("topic {} does not exist", FAST.dead())), BOUND);
    let handled = host.handled();
    kafka.create_topic(&FAST.dead(), 2, &[]);
    FAST.settle(&kafka, 2 * BOUND);
    assert!(host.handled() > handled, "nothing was held back");
    let mut lines = host.stop();
    lines.retain(|line| !line.contains("plugin=\"faulty\""));
    let report = FAST.check_ends(&kafka, &work, &Deliveries::of(&lines), &letters);
    report.print("the dead-letter topic deleted");
    report.check_exactly_once();
    assert!(told <= 2, "the waiting partition said so {told} times at once");
}

#[test]
fn a_deleted_dead_letter_topic_comes_back_by_itself() {
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 3, &[("max.message.bytes", "200000")]);
    let host = Host::start(&kafka, PLUGINS, &[]);
    host.ready(BOUND);
    let work = Workload::new((0..600).map(|_| Task::Rejected));
    kafka.produce(FAST.source(), work.records(0..300));
    FAST.settle(&kafka, BOUND);
    let letters: Vec<usize> = kafka.read_all(&FAST.dead()).iter().map(id_of).collect();
    delete(&kafka, &FAST.dead());
    let since = Instant::now();
    kafka.produce(FAST.source(), work.records(300..600));
    FAST.settle(&kafka, 2 * BOUND);
    println!("made again, and all letters written, after {:.1} s", since.elapsed().as_secs_f64());
    let report = FAST.check_ends(&kafka, &work, &Deliveries::of(&host.stop()), &letters);
    report.print("the dead-letter topic deleted, and made again by the host");
    report.check_exactly_once();
    assert_eq!(kafka.end_offsets(&FAST.dead()).len(), 3);
    let topic = ["--entity-type", "topics", "--entity-name", &FAST.dead()];
    let describe = ["--bootstrap-server", kafka.bootstrap(), "--describe"];
    let settings = kafka.cli("configs", &[&describe[..], &topic[..]].concat());
    assert!(settings.contains("max.message.bytes=265536"), "{settings}");
}

/// The broker ends when it cannot write, and comes back with room.
#[test]
fn the_brokers_disk_is_full() {
    const MESSAGES: usize = 20_000;
    // Above the 10 MiB that Kafka reserves for an index, below what the dead letters take.
    const LIMIT_KIB: u64 = 11 << 10;
    let work = Workload::new((0..MESSAGES).map(|_| Task::Rejected));
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 1, &[]);
    kafka.produce(FAST.source(), work.records(work.ids()));
    kafka.stop();
    kafka.limit_files(Some(LIMIT_KIB));
    kafka.start_again();
    let host = Host::start(&kafka, PLUGINS, &[]);
    eventually(2 * BOUND, || !kafka.is_running());
    let said = std::fs::read_to_string(kafka.dir().join("server.log")).expect("the broker's log");
    assert!(said.contains("File too large"), "the broker ended for another reason");
    let handled = host.handled();
    assert!(handled < MESSAGES, "the disk was never full");
    // Longer than a publish may take before its partition waits.
    eventually(BOUND, || host.count(|line| line.contains(WAITS)) > 0);
    kafka.limit_files(None);
    kafka.start_again();
    FAST.settle(&kafka, 2 * BOUND);
    let report = FAST.check_ends(&kafka, &work, &Deliveries::of(&host.stop()), &[]);
    report.print(&format!("the disk full after {handled} messages"));
}

/// Until the broker has put the topic's files aside: before that it takes records, acknowledges them, and
/// deletes them with the rest.
fn delete(kafka: &Kafka, topic: &str) {
    kafka.cli("topics", &["--bootstrap-server", kafka.bootstrap(), "--delete", "--topic", topic]);
    let is_of_topic = |name: &str| {
        name.rsplit_once('-').is_some_and(|(name, number)| name == topic && number.parse::<u32>().is_ok())
    };
    eventually(BOUND, || {
        let data = std::fs::read_dir(kafka.dir().join("data")).expect("the broker's data");
        let mut names = data.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        !names.any(|name| is_of_topic(&name))
    });
}
