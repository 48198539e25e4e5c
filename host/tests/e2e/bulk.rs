//! Actions on many dead letters: other writers of the store go on, and a kill leaves nothing half done.

use std::thread::{scope, sleep, spawn};
use std::time::{Duration, Instant};

use desk_api::{AuditEntry, DeadLetter, DeadLetterState, PageSelector};
use testkit::{Kafka, Record, eventually, post, scale};

use crate::ledger::Sink;
use crate::support::{BOUND, Guest, body};
use crate::test_desk::{TestDesk, crafted};

const DISCARD: &str = r#"{"filter":{"code":"asked-reject"},"reason":"obsolete"}"#;
/// The size of a dead letter's value, in bytes.
const SIZE: usize = 20_000;
/// Stores dead letters with large values.
fn fill(desk: &TestDesk, guest: &Guest, count: usize) {
    for first in (0..count).step_by(500) {
        let numbers = first..count.min(first + 500);
        let value =
            |number: usize| body(&number.to_string(), "done", &format!(r#","path":"{}""#, "x".repeat(SIZE)));
        let some: Vec<DeadLetter> =
            numbers.map(|number| crafted(guest, number as i64, value(number))).collect();
        desk.ingest(&some);
    }
}

/// Requests more e-mails than the host sends during the action, so that a pause is not one of the requests. Each call
/// takes a while, so that the host does not send them as fast as they are requested.
fn mail(kafka: &Kafka, guest: &Guest, count: usize) {
    for first in (0..count).step_by(1000) {
        let ids = (first..first + 1000).map(|number| format!("bulk-{number}"));
        kafka.produce(&guest.topic, ids.map(|id| Record::new(body(&id, "mail", r#","ms":150"#))));
    }
}

/// The longest time between two e-mails in this period.
fn longest_pause(times: &[Instant], from: Instant, to: Instant) -> Duration {
    let mut all = vec![from];
    all.extend(times.iter().copied().filter(|time| (from..to).contains(time)));
    all.push(to);
    all.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn entries(desk: &TestDesk) -> Vec<AuditEntry> {
    desk.runtime.block_on(desk.desk.audit_log(None, &PageSelector::First, 10)).expect("a store").items
}

#[test]
fn e_mails_go_on_while_many_dead_letters_are_discarded() {
    let count = scale(4_000, 100_000);
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("bulk-mail"));
    let desk = TestDesk::new("bulk-mail");
    fill(&desk, &guest, count);
    let host = desk.start(kafka, &guest, &["--mail-url", &sink.url()]);
    mail(kafka, &guest, scale(4_000, 40_000));
    scope(|scope| {
        eventually(BOUND, || sink.times().len() > 100);
        let started = Instant::now();
        sleep(Duration::from_secs(1));
        let began = Instant::now();
        // The request of a large action may time out; the action goes on.
        scope.spawn(|| post(host.port, "/api/v1/dead-letters/discard", DISCARD));
        // Rarely: a count of many dead letters slows the store down.
        let end = began + scale(1, 10) * BOUND;
        while desk.count(DeadLetterState::Discarded) < count as u64 {
            assert!(Instant::now() < end, "the action does not end");
            sleep(Duration::from_millis(500));
        }
        let (ended, times) = (Instant::now(), sink.times());
        let last = times.last().copied().unwrap_or(ended).min(ended);
        let sent = times.iter().filter(|time| (began..last).contains(time)).count();
        println!(
            "{count} dead letters of {SIZE} bytes discarded in {:.1} s, with {sent} e-mails in {:.1} s; longest pause of \
             e-mails: {} ms before, {} ms during the action",
            (ended - began).as_secs_f64(),
            (last - began).as_secs_f64(),
            longest_pause(&times, started, began).as_millis(),
            longest_pause(&times, began, last).as_millis()
        );
    });
    guest.settle(kafka);
    assert_eq!((entries(&desk).len(), entries(&desk)[0].dead_letters), (1, count as u64));
    let lines = host.stop();
    assert!(lines.iter().all(|line| !line.contains("is unavailable")), "the ledger was not available");
}

#[test]
fn a_bulk_action_of_a_killed_host_is_counted_and_its_repetition_does_the_rest() {
    const COUNT: usize = 3_000;
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("bulk-kill"), TestDesk::new("bulk-kill"));
    fill(&desk, &guest, COUNT);
    let mut host = desk.start(kafka, &guest, &[]);
    let discarded = || desk.count(DeadLetterState::Discarded);
    let port = host.port;
    let request = spawn(move || post(port, "/api/v1/dead-letters/discard", DISCARD));
    eventually(BOUND, || discarded() > 200);
    host.process.kill();
    let (first, answer) = (discarded(), request.join().expect("no panic"));
    println!("{first} of {COUNT} discarded before the kill; the client got {answer:?}");
    assert_eq!(entries(&desk)[0].dead_letters, first, "the audit log counts what was done");
    let host = desk.start(kafka, &guest, &[]);
    let answer = post(host.port, "/api/v1/dead-letters/discard", DISCARD).expect("an answer");
    assert_eq!((answer.status, discarded()), (200, COUNT as u64), "{}", answer.text());
    let counts: u64 = entries(&desk).iter().map(|entry| entry.dead_letters).sum();
    assert_eq!((counts, desk.count(DeadLetterState::Open)), (COUNT as u64, 0));
    host.stop();
}
