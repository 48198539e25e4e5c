//! The test tools themselves, on a real Apache Kafka.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Kafka, Process, Record, eventually};

const BOUND: Duration = Duration::from_secs(30);

#[test]
fn acknowledged_records_survive_a_kill() {
    let started = Instant::now();
    let kafka = Kafka::start_with(&[("num.partitions", "3")]);
    println!("started in {:?}", started.elapsed());
    kafka.create_topic("t", 2, &[("retention.ms", "-1")]);
    kafka.produce("t", (0..100).map(|number| Record::new(format!("{number}")).on(number % 2)));
    assert_eq!(kafka.end_offsets("t"), [50, 50]);
    let before = kafka.read_all("t");
    assert_eq!(before.len(), 100);
    assert_eq!((before[1].partition, before[1].offset, before[1].text().as_str()), (0, 1, "2"));
    kafka.kill();
    assert_eq!(kafka.read_all("t"), before);
    let started = Instant::now();
    kafka.start_again();
    println!("started again in {:?}", started.elapsed());
    assert_eq!(kafka.end_offsets("t"), [50, 50]);
    kafka.produce("t", [Record::new("after").on(1)]);
    kafka.restart();
    assert_eq!(kafka.end_offsets("t"), [50, 51]);
    let dir = kafka.dir().to_owned();
    drop(kafka);
    assert!(!dir.exists(), "{} is left", dir.display());
}

#[test]
fn hostile_records_are_read_byte_for_byte() {
    let kafka = Kafka::shared();
    kafka.create_topic("hostile", 1, &[]);
    let sent = [
        Record::new("v")
            .with_key("k")
            .with_header([0xff, 0xfe], "not UTF-8")
            .with_header("a\0b", "NUL")
            .with_header("", "no name")
            .with_header("twice", "1")
            .with_header("twice", "")
            .with_null_header("null"),
        Record::new("").with_key(""),
        Record::tombstone().with_key([0, 159, 146, 150]),
    ];
    kafka.produce("hostile", sent.clone());
    let read = kafka.read_all("hostile");
    assert_eq!(read.len(), sent.len());
    for (read, sent) in read.iter().zip(&sent) {
        assert_eq!((&read.key, &read.value, &read.headers), (&sent.key, &sent.value, &sent.headers));
        assert!(read.timestamp_ms > 1_700_000_000_000, "{}", read.timestamp_ms);
    }
    assert_eq!(read[0].header("twice"), Some(&b""[..]));
    assert_eq!(read[0].header("null"), None);
}

#[test]
fn transactions_leave_markers_that_count_as_offsets() {
    let kafka = Kafka::shared();
    kafka.create_topic("tx", 1, &[]);
    kafka.produce_transaction("tx", [Record::new("a"), Record::new("b")], true);
    kafka.produce_transaction("tx", [Record::new("aborted")], false);
    // The broker answers before it writes the last marker.
    eventually(Duration::from_secs(10), || kafka.end_offsets("tx") == [5]);
    let offsets: Vec<i64> = kafka.read_all("tx").iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 1, 3]);
}

#[test]
fn offsets_of_a_group_are_reported() {
    let kafka = Kafka::shared();
    kafka.create_topic("grouped", 2, &[]);
    kafka.produce("grouped", (0..10).map(|number| Record::new("x").on(number % 2)));
    assert_eq!(kafka.committed("g", "grouped"), [None, None]);
    assert_eq!(kafka.lag("g", "grouped"), 10);
    kafka.cli(
        "groups",
        &[
            "--bootstrap-server",
            kafka.bootstrap(),
            "--group",
            "g",
            "--topic",
            "grouped:1",
            "--reset-offsets",
            "--to-latest",
            "--execute",
        ],
    );
    assert_eq!(kafka.committed("g", "grouped"), [None, Some(5)]);
    assert_eq!(kafka.lag("g", "grouped"), 5);
    kafka.delete_group("g");
    assert_eq!(kafka.committed("g", "grouped"), [None, None]);
    kafka.delete_group("g");
}

#[test]
fn a_suspended_broker_answers_again_when_resumed() {
    let kafka = Kafka::start();
    kafka.create_topic("t", 1, &[]);
    kafka.suspend();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| kafka.end_offsets("t"));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!request.is_finished(), "a suspended broker answered");
        kafka.resume();
        assert_eq!(request.join().expect("an answer"), [0]);
    });
}

#[test]
fn output_signals_and_exit_codes_of_a_process() {
    let script =
        "trap 'echo bye; exit 3' TERM; echo one; echo two >&2; echo three; while :; do sleep 0.01; done";
    let mut process = Process::start_with(Path::new("/bin/sh"), &["-c", script], &[]);
    process.wait_for(|line| line == "three", BOUND);
    eventually(BOUND, || process.count(|line| line == "two") == 1);
    process.terminate();
    assert_eq!(process.wait(BOUND).code(), Some(3));
    assert_eq!(process.lines().last().map(String::as_str), Some("bye"));
    assert_eq!(process.lines().len(), 4);
}

/// Set if this executable runs one of its tests again in a child process, which fails.
const INNER: &str = "TESTKIT_INNER";

fn inner(test: &str) -> String {
    let exe = std::env::current_exe().expect("this executable");
    let output = Command::new(exe).args(["--exact", test, "--nocapture"]).env(INNER, "1").output();
    let output = output.expect("running this executable");
    assert!(!output.status.success(), "the inner test passed");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

fn ended(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn a_child_dies_with_its_parent() {
    if is_inner() {
        let child = Process::start_with(Path::new("/bin/sh"), &["-c", "echo here; exec sleep 600"], &[]);
        child.wait_for(|line| line == "here", BOUND);
        println!("child={}", child.pid());
        Command::new("sh").args(["-c", "kill -KILL $PPID"]).status().expect("sh");
        unreachable!("killed");
    }
    let text = inner("a_child_dies_with_its_parent");
    let pid =
        text.lines().find_map(|line| line.split("child=").nth(1)).unwrap_or_else(|| panic!("no pid: {text}"));
    eventually(BOUND, || ended(pid.trim()));
}

#[test]
fn a_failed_test_keeps_the_data_of_its_broker() {
    if is_inner() {
        let kafka = Kafka::shared();
        kafka.create_topic("evidence", 1, &[]);
        panic!("as planned");
    }
    let text = inner("a_failed_test_keeps_the_data_of_its_broker");
    let dir = text.lines().find_map(|line| line.split("are kept in ").nth(1));
    let dir = Path::new(dir.unwrap_or_else(|| panic!("no directory: {text}")).trim());
    assert!(dir.join("data/evidence-0").is_dir(), "{} is gone", dir.display());
    std::fs::remove_dir_all(dir).expect("removing the kept directory");
}
