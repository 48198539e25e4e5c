//! SIGTERM during slow calls and waiting retries.

use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, Record, eventually};

use crate::fixture::{BOUND, Deliveries, Host, SHUTDOWN};
use crate::invariants::SLOW;
use crate::workload::{Task, Workload, id_of};

const PLUGINS: &[&str] = &["faulty"];
/// The minimum that the broker allows.
const SESSION: &[&str] = &["-X", "session.timeout.ms=6000"];
/// The number of calls in flight at the signal, and their duration.
const SLOW_CALLS: usize = 20;
const CALL: Duration = Duration::from_secs(4);
/// The attempt whose retries wait at the signal, for 8 s each.
const WAITING: u32 = 5;

#[test]
fn calls_in_flight_end_and_waiting_retries_come_back_when_due() {
    let retried = (0..10).map(|_| Task::Flaky(WAITING - 1));
    let work =
        Workload::new(retried.chain(
            (0..SLOW_CALLS).map(|_| Task::Slow(CALL.as_millis().try_into().expect("a call's length"))),
        ));
    let kafka = Kafka::start();
    kafka.create_topic(SLOW.source(), 3, &[]);
    let host = Host::start(&kafka, PLUGINS, &[]);
    host.ready(BOUND);
    kafka.produce(SLOW.source(), work.records(0..10));
    eventually(BOUND, || kafka.read_all(&SLOW.topic(WAITING)).len() == 10);
    let begun = host.handled();
    kafka.produce(SLOW.source(), work.records(10..work.len()));
    host.wait_handled(begun + SLOW_CALLS, CALL);
    let signalled = Instant::now();
    let mut lines = host.stop();
    let took = signalled.elapsed();
    println!("drained in {took:?}");
    assert!(took > CALL / 2 && took < SHUTDOWN, "the drain did not take as long as the calls: {took:?}");
    assert_eq!(SLOW.lag(&kafka, 1), 0, "the messages of the calls are committed");
    assert_eq!(SLOW.lag(&kafka, WAITING), 10, "waiting retries are not committed");
    let before = Deliveries::of(&lines);
    assert!((0..10).all(|id| before.count(id, WAITING) == 0), "a retry ran before it was due");

    let host = Host::start(&kafka, PLUGINS, &[]);
    SLOW.settle(&kafka, BOUND);
    let after = host.stop();
    for record in kafka.read_all(&SLOW.topic(WAITING)) {
        let early = since_midnight_ms(&after, id_of(&record)) - due_ms(&record).rem_euclid(DAY_MS);
        assert!(
            (0..DAY_MS / 2).contains(&early.rem_euclid(DAY_MS)),
            "{} was {} ms early",
            record.text(),
            -early
        );
    }
    lines.extend(after);
    SLOW.check_ends(&kafka, &work, &Deliveries::of(&lines), &[]).check_exactly_once();
}

/// An interrupted call is repeated, not lost.
#[test]
fn a_second_signal_ends_the_host_without_a_drain() {
    let work = Workload::new([Task::Slow(9_000)]);
    let kafka = Kafka::start();
    kafka.create_topic(SLOW.source(), 1, &[]);
    let mut host = Host::start(&kafka, PLUGINS, &["-X", "group.instance.id=drained"]);
    kafka.produce(SLOW.source(), work.records(work.ids()));
    host.wait_handled(1, BOUND);
    host.terminate();
    eventually(BOUND, || host.count(|line| line.starts_with("Draining")) == 1);
    // The handler of the second signal is installed after this line.
    sleep(Duration::from_millis(300));
    let signalled = Instant::now();
    host.terminate();
    let (code, mut lines) = host.ended(SHUTDOWN);
    assert_eq!(code, Some(1));
    assert!(signalled.elapsed() < Duration::from_secs(2), "{:?}", signalled.elapsed());
    assert_eq!(SLOW.lag(&kafka, 1), 1);
    let host = Host::start(&kafka, PLUGINS, &["-X", "group.instance.id=drained"]);
    SLOW.settle(&kafka, BOUND);
    lines.extend(host.stop());
    SLOW.check_ends(&kafka, &work, &Deliveries::of(&lines), &[]).print("stopped at once");
}

/// A draining member stays in its group until it is done, even beyond its session timeout.
#[test]
fn a_call_may_take_longer_than_the_session() {
    let work = Workload::new([Task::Slow(9_000)]);
    let kafka = Kafka::start();
    kafka.create_topic(SLOW.source(), 1, &[]);
    let host = Host::start(&kafka, PLUGINS, SESSION);
    host.ready(BOUND);
    kafka.produce(SLOW.source(), work.records(work.ids()));
    host.wait_handled(1, BOUND);
    let other = Host::start(&kafka, PLUGINS, SESSION);
    other.ready(BOUND);
    let mut lines = host.stop();
    SLOW.settle(&kafka, BOUND);
    lines.extend(other.stop());
    SLOW.check_ends(&kafka, &work, &Deliveries::of(&lines), &[]).check_exactly_once();
}

/// The broker delays its JoinGroup until every member has drained, which takes one of them longer than its
/// session.
#[test]
fn a_member_stopped_in_a_rebalance_leaves_its_group() {
    let work = Workload::new([Task::Slow(9_000)]);
    let kafka = Kafka::start();
    kafka.create_topic(SLOW.source(), 1, &[]);
    // Every member revokes its partitions and rejoins, independently of the others.
    let range = [SESSION[0], SESSION[1], "-X", "partition.assignment.strategy=range"];
    let join = || Host::start(&kafka, PLUGINS, &range);
    let busy = join();
    busy.ready(BOUND);
    let leaver = join();
    leaver.ready(BOUND);
    kafka.produce(SLOW.source(), work.records(work.ids()));
    eventually(BOUND, || busy.handled() + leaver.handled() == 1);
    // A member without a call in flight has rejoined when it logs this line.
    let (busy, leaver) = if busy.handled() == 1 { (busy, leaver) } else { (leaver, busy) };
    let given_back = || leaver.count(|line| line.contains("partitions revoked group=\"faulty-group\""));
    let before = given_back();
    let newcomer = join();
    eventually(BOUND, || given_back() > before);
    sleep(Duration::from_millis(300));
    let mut lines = leaver.stop();
    let members = kafka.members(&SLOW.group(1));
    assert_eq!(members.len(), 2, "{members:?}");
    newcomer.ready(BOUND);
    SLOW.settle(&kafka, BOUND);
    [busy, newcomer].into_iter().for_each(|host| lines.extend(host.stop()));
    SLOW.check_ends(&kafka, &work, &Deliveries::of(&lines), &[]).check_exactly_once();
}

const DAY_MS: i64 = 86_400_000;

/// The time of the delivery on the waiting attempt, by the clock of the log, in milliseconds since midnight
/// UTC.
fn since_midnight_ms(lines: &[String], id: usize) -> i64 {
    let handled = format!("handled id={id} attempt={WAITING} ");
    let line = lines.iter().find(|line| line.contains(&handled)).unwrap_or_else(|| panic!("no {handled}"));
    let time = line.split(['T', 'Z']).nth(1).expect("a timestamp");
    let seconds: f64 = time
        .split(':')
        .map(|part| part.parse::<f64>().expect("a number"))
        .fold(0.0, |sum, part| sum * 60.0 + part);
    (seconds * 1000.0) as i64
}

/// The due time of the record: a big-endian two's complement number of milliseconds.
fn due_ms(record: &Record) -> i64 {
    let bytes = record.header("retry_topic-backoff-timestamp").expect("a due time");
    bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}
