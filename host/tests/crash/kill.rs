//! The host killed with SIGKILL.

use std::thread::sleep;
use std::time::Duration;

use testkit::{Kafka, Rng, scale};

use crate::fixture::{BOUND, Deliveries, Host};
use crate::invariants::FAST;
use crate::workload::{ATTEMPTS, Workload};

const PLUGINS: &[&str] = &["faulty_fast"];
/// One in this many kills hits a host that is still starting.
const EARLY: usize = 5;

/// With an instance id, so that the next process takes over at once.
#[test]
fn repeated_kills_lose_no_message() {
    let mut rng = Rng::seeded();
    let kills = scale(12, 100);
    let work = Workload::mixed(&mut rng, kills * 500);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 4, &[]);
    kafka.produce(FAST.source(), work.records(work.ids()));
    let mut deliveries = Deliveries::default();
    for kill in 1..=kills {
        let host = Host::start(&kafka, PLUGINS, &["-X", "group.instance.id=killed"]);
        if kill % EARLY == 0 {
            // A random time between exec and the first messages.
            sleep(Duration::from_millis(rng.below(400)));
        } else {
            // During messages, before or after a few commits.
            host.wait_handled(1 + rng.below(300) as usize, BOUND);
            sleep(Duration::from_millis(rng.below(600)));
        }
        deliveries.add(&host.kill());
        FAST.check_commits(&kafka, &work, Some(&deliveries), &[]);
        let left: i64 = (1..=ATTEMPTS).map(|attempt| FAST.lag(&kafka, attempt)).sum();
        println!("kill {kill}: {} repeated so far, {left} records left", deliveries.repeats());
        assert!(left > 0, "kill {kill} was after the end of all messages");
    }
    let host = Host::start(&kafka, PLUGINS, &["-X", "group.instance.id=killed"]);
    host.ready(BOUND);
    FAST.settle(&kafka, scale(1, 4) * BOUND);
    deliveries.add(&host.stop());
    let report = FAST.check_ends(&kafka, &work, &deliveries, &[]);
    report.print(&format!("{kills} kills"));
}

/// Without an instance id, the dead member keeps its partitions until its session ends.
#[test]
fn partitions_of_a_killed_member_move_when_its_session_ends() {
    let work = Workload::mixed(&mut Rng::seeded(), 200);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 2, &[]);
    kafka.produce(FAST.source(), work.records(work.ids()));
    let session = ["-X", "session.timeout.ms=6000"];
    let host = Host::start(&kafka, PLUGINS, &session);
    host.wait_handled(50, BOUND);
    let mut deliveries = Deliveries::of(&host.kill());
    FAST.check_commits(&kafka, &work, Some(&deliveries), &[]);
    let host = Host::start(&kafka, PLUGINS, &session);
    println!("took over after {:?}", host.ready(BOUND));
    FAST.settle(&kafka, BOUND);
    deliveries.add(&host.stop());
    FAST.check_ends(&kafka, &work, &deliveries, &[]).print("one kill");
}
