//! A disk that becomes full for the host under load: for its log and its store.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use testkit::{
    Kafka, Process, Rng, TOLERATING_FULL_FILES, binary, eventually, free_port, get, plugin, scale,
};

use crate::fixture::{BOUND, SHUTDOWN, store};
use crate::invariants::FAST;
use crate::workload::{ATTEMPTS, End, Workload, id_of};

/// Nothing is killed, so nothing may be repeated either.
#[test]
fn a_full_disk_of_the_host_loses_and_repeats_no_message() {
    let work = Workload::mixed(&mut Rng::seeded(), scale(3_000, 50_000));
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), 4, &[]);
    kafka.produce(FAST.source(), work.records(work.ids()));
    let lag = || FAST.lag(&kafka, 1);
    let all = lag();
    let (mut process, port) = start(&kafka);
    eventually(BOUND, || lag() < all * 3 / 4);
    process.limit_files(Some(1));
    eventually(scale(1, 4) * BOUND, || lag() < all / 4);
    let dropped = metric(port, "host_log_lines_dropped_total");
    process.limit_files(None);
    FAST.settle(&kafka, scale(1, 4) * BOUND);
    assert!(dropped > 0, "the disk was never full");
    let done = metric(port, r#"host_messages_total{plugin="faulty-fast",outcome="done"}"#);
    process.terminate();
    assert_eq!(process.wait(SHUTDOWN).code(), Some(0));
    let last = |id| work.end(id, work.last_attempt(id));
    let ended = |end| work.ids().filter(move |id| last(*id) == end);
    assert_eq!(done, ended(End::Done).count(), "each is done once");
    FAST.check_commits(&kafka, &work, None, &[]);
    for attempt in 1..ATTEMPTS {
        // A message with a later attempt has failed in this one.
        let retried = work.ids().filter(|id| work.last_attempt(*id) > attempt);
        check_once(&kafka, &FAST.topic(attempt + 1), retried);
    }
    check_once(&kafka, &FAST.dead(), ended(End::Dead));
    println!("{} messages, {dropped} lines of the log dropped while the disk was full", work.len());
}

/// A host that writes its log to a file, and its port.
fn start(kafka: &Kafka) -> (Process, u16) {
    let (host, plugin, port) = (binary("host"), plugin("faulty_fast"), free_port());
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let (host, plugin, store, listen) =
        (text(&host), text(&plugin), store(kafka), format!("127.0.0.1:{port}"));
    let args = ["--plugin", &plugin, "--bootstrap-servers", kafka.bootstrap(), "--store", &store];
    let args = [&TOLERATING_FULL_FILES[..], &[&host], &args, &["--listen", &listen]].concat();
    let log = File::create(kafka.dir().join("host.log")).expect("a log file");
    let outputs = [Stdio::from(log.try_clone().expect("the log file")), Stdio::from(log)];
    (Process::start_into(Path::new("sh"), &args, &[], outputs), port)
}

/// Checks that a topic has these messages, each of them once.
fn check_once(kafka: &Kafka, topic: &str, expected: impl Iterator<Item = usize>) {
    let mut ids: Vec<usize> = kafka.read_all(topic).iter().map(id_of).collect();
    ids.sort_unstable();
    let expected: Vec<usize> = expected.collect();
    assert!(ids == expected, "{topic} has {} messages instead of {}", ids.len(), expected.len());
}

fn metric(port: u16, name: &str) -> usize {
    let text = get(port, "/metrics").expect("the metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}
