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
    let host = Host::start(&kafka, PLUGINS, &[]);
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
    let host = Host::start(&kafka, &["faulty_fast", "faulty"], &[]);
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

fn delete(kafka: &Kafka, topic: &str) {
    kafka.cli("topics", &["--bootstrap-server", kafka.bootstrap(), "--delete", "--topic", topic]);
}
