//! A cluster of three brokers: one that ends, and a leader that lacks records.

use std::ops::Range;

use testkit::{KafkaCluster, Rng, eventually, scale};

use crate::fixture::{BOUND, Deliveries, Host};
use crate::invariants::FAST;
use crate::workload::{Task, Workload};

const PLUGINS: &[&str] = &["faulty_fast"];
/// A killed host leaves its group soon.
const QUICK: &[&str] = &["-X", "session.timeout.ms=6000"];
/// The log line of a partition whose log was cut.
const CUT: &str = "it was cut";

#[test]
fn a_broker_of_three_killed_under_load_loses_no_message() {
    let mut rng = Rng::seeded();
    let (rounds, round) = scale((2, 1_500), (20, 2_500));
    let work = Workload::mixed(&mut rng, rounds * round);
    let cluster = KafkaCluster::start();
    let kafka = cluster.first();
    kafka.create_topic(FAST.source(), 4, &[]);
    let host = Host::start(kafka, PLUGINS, &[]);
    for number in 0..rounds {
        let before = host.handled();
        kafka.produce(FAST.source(), work.records(number * round..(number + 1) * round));
        host.wait_handled(before + 200 + rng.below(800) as usize, BOUND);
        let broker = cluster.broker(2 + rng.below(2) as usize);
        broker.kill();
        host.wait_handled(before + 1_200, BOUND);
        broker.start_again();
        eventually(BOUND, || (0..4).all(|partition| kafka.leader(FAST.source(), partition).1 == 3));
    }
    FAST.settle(kafka, scale(2, 4) * BOUND);
    let deliveries = Deliveries::of(&host.stop());
    let report = FAST.check_ends(kafka, &work, &deliveries, &[]);
    report.print(&format!("a broker of three killed {rounds} times"));
}

#[test]
fn a_leader_that_lacks_records_hides_none_of_its_own() {
    let mut cut = Cut::start();
    let host = Host::start(cut.cluster.first(), PLUGINS, QUICK);
    cut.publish();
    cut.wait_handled(&host, 0);
    cut.lose_the_last(&host);
    let from = cut.published;
    cut.publish();
    cut.wait_handled(&host, from);
    assert!(host.count(|line| line.contains(CUT)) > 0, "the host has noticed it");
    cut.report(&Deliveries::of(&host.stop()));
}

#[test]
fn a_leader_that_lacks_records_while_no_host_runs_hides_none_of_its_own() {
    let mut cut = Cut::start();
    let host = Host::start(cut.cluster.first(), PLUGINS, QUICK);
    cut.publish();
    cut.wait_handled(&host, 0);
    cut.lose_the_last(&host);
    let mut lines = host.kill();
    let from = cut.published;
    // The log is longer than before, so that the commit lies within it.
    cut.publish();
    cut.publish();
    let again = Host::start(cut.cluster.first(), PLUGINS, QUICK);
    cut.wait_handled(&again, from);
    lines.extend(again.stop());
    cut.report(&Deliveries::of(&lines));
}

/// A partition on the brokers 2 and 3, which may lose records.
struct Cut {
    cluster: KafkaCluster,
    work: Workload,
    published: usize,
    lost: Range<usize>,
}

impl Cut {
    fn start() -> Self {
        let cluster = KafkaCluster::start();
        let kafka = cluster.first();
        let topic = ["--create", "--topic", FAST.source(), "--replica-assignment", "2:3"];
        let unclean = ["unclean.leader.election.enable=true", "min.insync.replicas=1"];
        let unclean = unclean.iter().flat_map(|setting| ["--config", setting]);
        let args = ["--bootstrap-server", kafka.bootstrap()].into_iter().chain(topic).chain(unclean);
        kafka.cli("topics", &args.collect::<Vec<_>>());
        let work = Workload::new((0..scale(3_000, 50_000)).map(|_| Task::Done));
        Self { cluster, work, published: 0, lost: 0..0 }
    }

    /// Publishes the next tenth of the records.
    fn publish(&mut self) {
        let end = self.published + self.work.len() / 10;
        self.cluster.first().produce(FAST.source(), self.work.records(self.published..end));
        self.published = end;
    }

    /// A part of the records that are published now is only on broker 2, handled and committed. Then broker 3 leads.
    fn lose_the_last(&mut self, host: &Host) {
        self.wait_led_by(2);
        self.cluster.broker(3).kill();
        eventually(BOUND, || self.leader() == (2, 1));
        let from = self.published;
        self.publish();
        self.lost = from..self.published;
        self.wait_handled(host, from);
        self.cluster.broker(2).kill();
        self.cluster.broker(3).start_again();
        self.wait_led_by(3);
        self.cluster.broker(2).start_again();
    }

    fn leader(&self) -> (i32, usize) {
        self.cluster.first().leader(FAST.source(), 0)
    }

    fn wait_led_by(&self, broker: i32) {
        eventually(BOUND, || self.leader().0 == broker);
    }

    /// Waits until all messages from this one on are handled, and committed.
    fn wait_handled(&self, host: &Host, from: usize) {
        eventually(scale(2, 4) * BOUND, || {
            let handled = Deliveries::of(&host.lines());
            (from..self.published).all(|id| handled.count(id, 1) > 0)
        });
        FAST.settle(self.cluster.first(), BOUND);
    }

    fn report(&self, deliveries: &Deliveries) {
        let (published, lost, repeats) = (self.published, self.lost.len(), deliveries.repeats());
        println!("{published} messages, {lost} of which the new leader lacked; repeated: {repeats}");
    }
}
