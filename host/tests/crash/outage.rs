//! Outages of the broker, and missing dead-letter topics.

use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, Record, Rng, eventually, scale};

use crate::fixture::{BOUND, Deliveries, Host};
use crate::invariants::{FAST, Report, SLOW};
use crate::workload::{Task, Workload, id_of};

const PLUGINS: &[&str] = &["faulty_fast"];
/// The log line of a waiting partition.
const WAITS: &str = "cannot publish a failed message";
/// The log line of a producer that Kafka and librdkafka disagree about.
const LOST_PRODUCER: &str = "OutOfOrderSequenceNumber";

#[test]
fn a_broker_killed_under_load_loses_no_message() {
    let Outages { report, number, .. } = outages(Kafka::kill);
    report.print(&format!("the broker killed {number} times"));
}

#[test]
fn a_broker_stopped_under_load_loses_no_message() {
    let Outages { report, number, lost_producers } = outages(Kafka::stop);
    report.print(&format!("the broker stopped {number} times, {lost_producers} producers lost"));
    // The one permitted cause: a broker that starts again without a replica knows only the last batch of a producer.
    assert!(lost_producers <= number, "a producer was lost without a restart");
    if lost_producers == 0 {
        report.check_exactly_once();
    }
}

/// The end of a run with outages.
struct Outages {
    report: Report,
    number: usize,
    /// The number of producers that failed for good, whose records in flight may be repeated.
    lost_producers: usize,
}

/// Ends the broker repeatedly under load, and starts it again shortly afterwards.
fn outages(end: impl Fn(&Kafka)) -> Outages {
    let mut rng = Rng::seeded();
    let (number, round) = scale((2, 1_500), (20, 2_500));
    let work = Workload::mixed(&mut rng, number * round);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 4, &[]);
    let host = Host::start(&kafka, PLUGINS, &[]);
    for outage in 0..number {
        let before = host.handled();
        kafka.produce(FAST.source(), work.records(outage * round..(outage + 1) * round));
        host.wait_handled(before + 200 + rng.below(800) as usize, BOUND);
        end(&kafka);
        sleep(Duration::from_millis(rng.below(3000)));
        kafka.start_again();
    }
    FAST.settle(&kafka, scale(2, 4) * BOUND);
    let lines = host.stop();
    let lost_producers = lines.iter().filter(|line| line.contains(LOST_PRODUCER)).count();
    let report = FAST.check_ends(&kafka, &work, &Deliveries::of(&lines), &[]);
    Outages { report, number, lost_producers }
}

/// The broker is suspended for longer than the session, so that the member is removed from its group.
#[test]
fn a_broker_suspended_under_load_loses_no_message() {
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

/// Dead letters are copied before each deletion, when no message is in flight.
#[test]
fn a_dead_letter_topic_recreated_under_load_loses_no_message() {
    let mut rng = Rng::seeded();
    let (rounds, round) = scale((2, 1_500), (5, 10_000));
    let work = Workload::mixed(&mut rng, rounds * round);
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 4, &[]);
    FAST.create_derived(&kafka, 4);
    // The operator recreates it.
    let host = Host::start(&kafka, PLUGINS, &["--create-topics=false"]);
    host.ready(BOUND);
    let mut dead_letters: Vec<usize> = Vec::new();
    for number in 0..rounds {
        dead_letters.extend(kafka.read_all(&FAST.dead()).iter().map(id_of));
        delete(&kafka, &FAST.dead());
        let waits = || host.count(|line| line.contains(WAITS));
        let before = waits();
        kafka.produce(FAST.source(), work.records(number * round..(number + 1) * round));
        eventually(BOUND, || waits() > before);
        sleep(Duration::from_millis(rng.below(3000)));
        FAST.check_commits(&kafka, &work, None, &dead_letters);
        kafka.create_topic(&FAST.dead(), 4, &[]);
        FAST.settle(&kafka, scale(2, 4) * BOUND);
    }
    let deliveries = Deliveries::of(&host.stop());
    let report = FAST.check_ends(&kafka, &work, &deliveries, &dead_letters);
    report.print(&format!("the dead-letter topic recreated {rounds} times"));
}

#[test]
fn a_partition_waits_for_its_dead_letter_topic() {
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 2, &[]);
    kafka.create_topic(SLOW.source(), 1, &[]);
    FAST.create_derived(&kafka, 2);
    SLOW.create_derived(&kafka, 1);
    // The operator manages the topics.
    let host = Host::start(&kafka, &["faulty_fast", "faulty"], &["--create-topics=false"]);
    host.ready(BOUND);
    // Partition 0 gets rejected messages, partition 1 messages that are done.
    let task = |id: usize| if id.is_multiple_of(2) { Task::Rejected } else { Task::Done };
    let work = Workload::new((0..600).map(task));
    let publish = |first: usize, count: usize| {
        let ids = first..first + count;
        let records = ids.clone().zip(work.records(ids)).map(|(id, record)| record.on((id % 2) as i32));
        kafka.produce(FAST.source(), records.collect::<Vec<Record>>());
    };
    publish(0, 200);
    FAST.settle(&kafka, BOUND);
    let dead_letters: Vec<usize> = kafka.read_all(&FAST.dead()).iter().map(id_of).collect();
    assert_eq!(dead_letters.len(), 100);
    delete(&kafka, &FAST.dead());
    publish(200, 200);
    let waits = || host.count(|line| line.contains(WAITS));
    eventually(BOUND, || waits() > 0);
    // The other partition and the other plugin need no dead letter and continue.
    publish(400, 200);
    eventually(BOUND, || FAST.committed(&kafka, 1)[1] == Some(300));
    kafka.produce(SLOW.source(), Workload::new([Task::Done]).records(0..1));
    eventually(BOUND, || SLOW.lag(&kafka, 1) == 0);
    assert_eq!(FAST.committed(&kafka, 1)[0], Some(100), "committed without a dead letter");
    let logged = waits();
    let since = Instant::now();
    while since.elapsed() < scale(Duration::from_secs(3), Duration::from_secs(70)) {
        assert_eq!(FAST.committed(&kafka, 1)[0], Some(100), "committed without a dead letter");
        sleep(Duration::from_millis(500));
    }
    println!("logged {WAITS:?} {logged} times at first, {} times in total", waits());
    host.wait(|line| line.contains(&format!("topic {} does not exist", FAST.dead())), BOUND);
    let handled = host.handled();
    kafka.create_topic(&FAST.dead(), 2, &[]);
    FAST.settle(&kafka, 2 * BOUND);
    assert!(host.handled() > handled, "no message was delayed");
    let mut lines = host.stop();
    lines.retain(|line| !line.contains("plugin=\"faulty\""));
    let report = FAST.check_ends(&kafka, &work, &Deliveries::of(&lines), &dead_letters);
    report.print("the dead-letter topic deleted");
    report.check_exactly_once();
    assert!(logged <= 2, "the waiting partition logged it {logged} times at once");
}

#[test]
fn a_deleted_dead_letter_topic_is_recreated() {
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 3, &[("max.message.bytes", "200000")]);
    let host = Host::start(&kafka, PLUGINS, &[]);
    host.ready(BOUND);
    let work = Workload::new((0..600).map(|_| Task::Rejected));
    kafka.produce(FAST.source(), work.records(0..300));
    FAST.settle(&kafka, BOUND);
    let dead_letters: Vec<usize> = kafka.read_all(&FAST.dead()).iter().map(id_of).collect();
    delete(&kafka, &FAST.dead());
    let since = Instant::now();
    kafka.produce(FAST.source(), work.records(300..600));
    FAST.settle(&kafka, 2 * BOUND);
    println!("recreated, and all dead letters written, after {:.1} s", since.elapsed().as_secs_f64());
    let report = FAST.check_ends(&kafka, &work, &Deliveries::of(&host.stop()), &dead_letters);
    report.print("the dead-letter topic deleted, and recreated by the host");
    report.check_exactly_once();
    assert_eq!(kafka.end_offsets(&FAST.dead()).len(), 3);
    let topic = ["--entity-type", "topics", "--entity-name", &FAST.dead()];
    let describe = ["--bootstrap-server", kafka.bootstrap(), "--describe"];
    let settings = kafka.cli("configs", &[&describe[..], &topic[..]].concat());
    assert!(settings.contains("max.message.bytes=265536"), "{settings}");
}

/// The broker exits when it cannot write, and starts again with free space.
#[test]
fn a_full_disk_of_the_broker_loses_no_message() {
    // Above the 10 MiB that Kafka reserves for an index, below the size of the dead letters.
    const LIMIT_KIB: u64 = 11 << 10;
    let messages = scale(20_000, 50_000);
    let work = Workload::new((0..messages).map(|_| Task::Rejected));
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 1, &[]);
    kafka.produce(FAST.source(), work.records(work.ids()));
    kafka.stop();
    kafka.limit_files(Some(LIMIT_KIB));
    kafka.start_again();
    let host = Host::start(&kafka, PLUGINS, &[]);
    eventually(2 * BOUND, || !kafka.is_running());
    let log = std::fs::read_to_string(kafka.dir().join("server.log")).expect("the log of the broker");
    assert!(log.contains("File too large"), "the broker exited for another reason");
    let handled = host.handled();
    assert!(handled < messages, "the disk was never full");
    // Longer than the bound on publishing, after which the partition waits.
    eventually(BOUND, || host.count(|line| line.contains(WAITS)) > 0);
    kafka.limit_files(None);
    kafka.start_again();
    FAST.settle(&kafka, 2 * BOUND);
    let report = FAST.check_ends(&kafka, &work, &Deliveries::of(&host.stop()), &[]);
    report.print(&format!("the disk full after {handled} messages"));
}

/// Deletes a topic and waits until the broker has renamed its files. Before that it acknowledges records and
/// deletes them with the topic.
fn delete(kafka: &Kafka, topic: &str) {
    kafka.cli("topics", &["--bootstrap-server", kafka.bootstrap(), "--delete", "--topic", topic]);
    let is_of_topic = |name: &str| {
        name.rsplit_once('-').is_some_and(|(name, number)| name == topic && number.parse::<u32>().is_ok())
    };
    eventually(BOUND, || {
        let data = std::fs::read_dir(kafka.dir().join("data")).expect("the data of the broker");
        let mut names = data.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        !names.any(|name| is_of_topic(&name))
    });
}
