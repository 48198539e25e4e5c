//! Members that come, go and die while messages flow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use testkit::{Kafka, Rng, scale};

use crate::audit::FAST;
use crate::fixture::{BOUND, Deliveries, Host};
use crate::workload::Workload;

const PLUGINS: &[&str] = &["faulty_fast"];
const PARTITIONS: usize = 6;
/// How long a killed member keeps its partitions: as short as the broker allows.
const SESSION: &[&str] = &["-X", "session.timeout.ms=6000"];
/// Messages are published so many at a time; each time takes about half a second.
const CHUNK: usize = 400;
/// More than are published in the time a test takes.
const MOST: usize = 1_000_000;

#[test]
fn members_come_and_go_without_a_repeat() {
    let work = Workload::mixed(&mut Rng::seeded(), MOST);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), PARTITIONS, &[]);
    let mut deliveries = Deliveries::default();
    let rounds = scale(2, 20);
    let mut hosts: Vec<Host> = (0..3).map(|_| join(&kafka)).collect();
    let (hosts, work) = flow(&kafka, work, || {
        for _ in 0..rounds {
            hosts.iter().for_each(takes_part);
            deliveries.add(&hosts.remove(0).stop());
            for group in [FAST.group(1), FAST.group(2)] {
                assert_eq!(kafka.members(&group).len(), hosts.len(), "one left {group} without a word");
            }
            hosts.iter().for_each(takes_part);
            hosts.push(join(&kafka));
        }
        hosts.iter().for_each(takes_part);
        hosts
    });
    hosts.into_iter().for_each(|host| deliveries.add(&host.stop()));
    let report = FAST.check_ends(&kafka, &work, &deliveries, &[]);
    report.print(&format!("{rounds} members stopped, {rounds} added"));
    report.check_exactly_once();
}

#[test]
fn a_killed_members_messages_are_repeated_by_the_others() {
    let mut rng = Rng::seeded();
    let work = Workload::mixed(&mut rng, MOST);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), PARTITIONS, &[]);
    let mut deliveries = Deliveries::default();
    let mut hosts: Vec<Host> = (0..3).map(|_| join(&kafka)).collect();
    let (hosts, work) = flow(&kafka, work, || {
        hosts.iter().for_each(takes_part);
        sleep(Duration::from_millis(rng.below(1000)));
        deliveries.add(&hosts.remove(0).kill());
        hosts.iter().for_each(takes_part);
        hosts
    });
    hosts.into_iter().for_each(|host| deliveries.add(&host.stop()));
    let report = FAST.check_ends(&kafka, &work, &deliveries, &[]);
    report.print("one of three members killed");
}

fn join(kafka: &Kafka) -> Host {
    let host = Host::start(kafka, PLUGINS, SESSION);
    println!("joined in {:?}", host.ready(BOUND));
    host
}

/// Waits until it is given messages from now on.
fn takes_part(host: &Host) {
    host.wait_handled(host.handled() + 20, BOUND);
}

/// Runs `change` while messages are published bit by bit and every commit is checked, then waits
/// until all of them have ended. Returns those that were published.
fn flow<T>(kafka: &Kafka, work: Workload, change: impl FnOnce() -> T) -> (T, Workload) {
    let (changed, settled) = (AtomicBool::new(false), AtomicBool::new(false));
    let (result, count) = scope(|threads| {
        let publishing = threads.spawn(|| {
            let mut count = 0;
            while !changed.load(Ordering::Relaxed) {
                kafka.produce(FAST.source(), work.records(count..count + CHUNK));
                count += CHUNK;
            }
            count
        });
        threads.spawn(|| {
            while !settled.load(Ordering::Relaxed) {
                FAST.check_commits(kafka, &work, None, &[]);
                sleep(Duration::from_millis(200));
            }
        });
        // However this ends, the threads end too.
        let _stop = Stop([&changed, &settled]);
        let result = change();
        changed.store(true, Ordering::Relaxed);
        let count = publishing.join().expect("published");
        FAST.settle(kafka, BOUND);
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
