//! Members that join, leave and die under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use testkit::{Kafka, Rng, eventually, scale};

use crate::fixture::{BOUND, Deliveries, Host};
use crate::invariants::FAST;
use crate::workload::Workload;

const PLUGINS: &[&str] = &["faulty_fast"];
const PARTITIONS: usize = 6;
/// The time for which a killed member keeps its partitions: the minimum that the broker allows.
const SESSION: &[&str] = &["-X", "session.timeout.ms=6000"];
/// The number of messages published at a time, which takes about half a second.
const CHUNK: usize = 400;
/// More messages than a test publishes.
const MAX_MESSAGES: usize = 1_000_000;
/// The interval at which a member detects new partitions. The default of librdkafka is 5 minutes.
const REFRESH: [&str; 2] = ["-X", "topic.metadata.refresh.interval.ms=2000"];

#[test]
fn members_join_and_leave_without_a_repeat() {
    let work = Workload::mixed(&mut Rng::seeded(), MAX_MESSAGES);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), PARTITIONS, &[]);
    let mut deliveries = Deliveries::default();
    let rounds = scale(2, 20);
    let mut hosts: Vec<Host> = (0..3).map(|_| join(&kafka)).collect();
    let (hosts, work) = flow(&kafka, work, || {
        for _ in 0..rounds {
            hosts.iter().for_each(wait_for_messages);
            deliveries.add(&hosts.remove(0).stop());
            for group in [FAST.group(1), FAST.group(2)] {
                assert_eq!(kafka.members(&group).len(), hosts.len(), "a member is missing in {group}");
            }
            hosts.iter().for_each(wait_for_messages);
            hosts.push(join(&kafka));
        }
        hosts.iter().for_each(wait_for_messages);
        hosts
    });
    hosts.into_iter().for_each(|host| deliveries.add(&host.stop()));
    let report = FAST.check_ends(&kafka, &work, &deliveries, &[]);
    report.print(&format!("{rounds} members stopped, {rounds} added"));
    report.check_exactly_once();
}

/// The other members repeat only the killed member's calls in flight.
#[test]
fn only_calls_of_a_killed_member_are_repeated() {
    let mut rng = Rng::seeded();
    let work = Workload::mixed(&mut rng, MAX_MESSAGES);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), PARTITIONS, &[]);
    let mut deliveries = Deliveries::default();
    let mut hosts: Vec<Host> = (0..3).map(|_| join(&kafka)).collect();
    let (hosts, work) = flow(&kafka, work, || {
        hosts.iter().for_each(wait_for_messages);
        sleep(Duration::from_millis(rng.below(1000)));
        let victim = rng.below(3) as usize;
        deliveries.add(&hosts.remove(victim).kill());
        sleep(Duration::from_millis(rng.below(1000)));
        hosts.push(join(&kafka));
        hosts.iter().for_each(wait_for_messages);
        hosts
    });
    hosts.into_iter().for_each(|host| deliveries.add(&host.stop()));
    let report = FAST.check_ends(&kafka, &work, &deliveries, &[]);
    report.print("one of three members killed, one added");
}

#[test]
fn partitions_are_added_without_a_repeat() {
    let work = Workload::mixed(&mut Rng::seeded(), MAX_MESSAGES);
    let kafka = Kafka::start();
    let (before, after) = (3, PARTITIONS);
    kafka.create_topic(FAST.source(), before, &[]);
    let hosts: Vec<Host> = (0..2).map(|_| join_with(&kafka, &[SESSION, &REFRESH].concat())).collect();
    let (hosts, work) = flow(&kafka, work, || {
        hosts.iter().for_each(wait_for_messages);
        add_partitions(&kafka, FAST.source(), after);
        // Records in each new partition have ended.
        eventually(BOUND, || {
            let committed = FAST.committed(&kafka, 1);
            committed.len() == after && committed.iter().all(|position| position.is_some_and(|end| end > 0))
        });
        hosts.iter().for_each(wait_for_messages);
        hosts
    });
    let mut deliveries = Deliveries::default();
    hosts.into_iter().for_each(|host| deliveries.add(&host.stop()));
    let report = FAST.check_ends(&kafka, &work, &deliveries, &[]);
    report.print(&format!("{before} partitions became {after}"));
    report.check_exactly_once();
}

fn add_partitions(kafka: &Kafka, topic: &str, count: usize) {
    let (server, count) = (kafka.bootstrap(), count.to_string());
    let alter = ["--bootstrap-server", server, "--alter", "--topic", topic, "--partitions", &count];
    kafka.cli("topics", &alter);
}

fn join(kafka: &Kafka) -> Host {
    join_with(kafka, SESSION)
}

fn join_with(kafka: &Kafka, settings: &[&str]) -> Host {
    let host = Host::start(kafka, PLUGINS, settings);
    println!("joined in {:?}", host.ready(BOUND));
    host
}

/// Waits until it handles new messages.
fn wait_for_messages(host: &Host) {
    host.wait_handled(host.handled() + 20, BOUND);
}

/// Runs `change` while messages are published and every commit is checked, then waits until all have ended.
/// Returns the published messages.
fn flow<T>(kafka: &Kafka, work: Workload, change: impl FnOnce() -> T) -> (T, Workload) {
    let least = scale(0, 50_000);
    let (changed, settled) = (AtomicBool::new(false), AtomicBool::new(false));
    let (result, count) = scope(|threads| {
        let publishing = threads.spawn(|| {
            let mut count = 0;
            while !changed.load(Ordering::Relaxed) || count < least {
                kafka.produce(FAST.source(), work.records(count..count + CHUNK));
                count += CHUNK;
            }
            count
        });
        threads.spawn(|| {
            while !settled.load(Ordering::Relaxed) {
                FAST.check_commits(kafka, &work, None, &[]);
                // Each check reads all published records.
                sleep(Duration::from_millis(scale(200, 3_000)));
            }
        });
        // The threads end even after a panic.
        let _stop = Stop([&changed, &settled]);
        let result = change();
        changed.store(true, Ordering::Relaxed);
        let count = publishing.join().expect("published");
        FAST.settle(kafka, scale(1, 4) * BOUND);
        (result, count)
    });
    (result, work.first(count))
}

struct Stop<'a>([&'a AtomicBool; 2]);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
    }
}
