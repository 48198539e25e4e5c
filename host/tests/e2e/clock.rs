//! A wall clock that is set while the host runs, or is wrong from the start.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use testkit::{Kafka, Record, WallClock, binary, eventually, get};

use crate::support::{BOUND, Guest, Host, body};

fn start(kafka: &Kafka, guest: &Guest, clock: &WallClock) -> Host {
    let plugin = guest.path.to_str().expect("a path in UTF-8");
    Host::run(&["--bootstrap-servers", kafka.bootstrap(), "--plugin", plugin], &clock.env())
}

/// A host with the right clock and a message that waits for a retry in this many milliseconds.
fn wait_for_retry(kafka: &Kafka, guest: &Guest, clock: &WallClock, after_ms: u32) -> Host {
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = start(kafka, guest, clock);
    let message = body("waits", "retry", &format!(r#","after-ms":{after_ms}"#));
    kafka.produce(&guest.topic, [Record::new(message)]);
    // The lag is known once the retry record was fetched.
    let waits =
        |line: &str| line.starts_with("host_lag{") && line.contains("-retry-") && line.ends_with(" 1");
    eventually(BOUND, || get(host.port, "/metrics").expect("an answer").text().lines().any(waits));
    host
}

#[test]
fn a_retry_comes_after_its_delay_although_the_clock_is_set_back() {
    let (kafka, guest, clock) = (Kafka::shared(), Guest::fast("set-back"), WallClock::new("+0"));
    let host = wait_for_retry(kafka, &guest, &clock, 10_000);
    let before = host.handled("waits");
    clock.set("-1h");
    eventually(BOUND, || host.handled("waits") > before);
    // What fails from now on is retried too.
    kafka.produce(&guest.topic, [Record::new(body("later", "retry", ""))]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    host.stop();
}

#[test]
fn a_retry_is_not_late_by_the_error_of_the_clock_with_which_it_was_written() {
    let (kafka, guest, clock) = (Kafka::shared(), Guest::fast("ahead"), WallClock::new("+50m"));
    let host = wait_for_retry(kafka, &guest, &clock, 10_000);
    host.stop();
    clock.set("+0");
    let host = start(kafka, &guest, &clock);
    eventually(BOUND, || host.handled("waits") > 0);
    host.stop();
}

#[test]
fn a_retry_comes_when_the_clock_is_set_forward_past_its_due_time() {
    let (kafka, guest, clock) = (Kafka::shared(), Guest::fast("forward"), WallClock::new("-1h"));
    let host = wait_for_retry(kafka, &guest, &clock, 50 * 60_000);
    clock.set("+0");
    eventually(BOUND, || host.handled("waits") > 1);
    host.stop();
}

/// Kafka refuses records whose time is more than an hour ahead of its own.
#[test]
fn failed_messages_are_published_although_the_clock_is_hours_ahead() {
    const MESSAGES: usize = 100;
    let (kafka, guest, clock) = (Kafka::shared(), Guest::fast("hours-ahead"), WallClock::new("+9h"));
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = start(kafka, &guest, &clock);
    let message =
        |number| Record::new(body(&format!("m{number}"), "retry", "")).with_key(format!("{number}"));
    kafka.produce(&guest.topic, (0..MESSAGES).map(message));
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == MESSAGES);
    let sent: HashSet<i64> = kafka.read_all(&guest.topic).iter().map(|record| record.timestamp_ms).collect();
    let dead = kafka.read_all(&guest.dead);
    assert!(dead.iter().all(|record| sent.contains(&record.timestamp_ms)), "not the times of the sources");
    let lines = host.stop();
    let about = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert!((1..5).contains(&about("refuses the time of this machine's clock")), "{lines:?}");
    assert_eq!(about("Invalid timestamp") + about("failed to validate record"), 0);
}

#[test]
fn produced_lines_that_kafka_refuses_for_their_time_name_the_clock() {
    let (kafka, clock) = (Kafka::shared(), WallClock::new("+9h"));
    kafka.create_topic("clock-lines", 1, &[]);
    kafka.create_topic("clock-compacted", 1, &[("cleanup.policy", "compact")]);
    let refused = |topic, lines: &[u8]| {
        let mut host = Command::new(binary("host"));
        host.args(["produce", topic, "--bootstrap-servers", kafka.bootstrap()]).envs(clock.env());
        let mut host = host.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the host");
        host.stdin.take().expect("a pipe").write_all(lines).expect("written");
        let output = host.wait_with_output().expect("an exit");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    const HELP: [&str; 2] = ["help: compare this machine's clock", "help: a compacted topic needs keys"];
    let helps = |error: &str| HELP.map(|help| error.contains(help));
    let error = refused("clock-lines", b"a\n");
    assert!(error.contains("(1: Invalid timestamp, line 1)"), "{error}");
    assert_eq!(helps(&error), [true, false], "{error}");
    assert_eq!(helps(&refused("clock-lines", b"a\nb\n")), [true, true]);
    clock.set("+0");
    assert_eq!(helps(&refused("clock-compacted", b"a\n")), [true, true]);
}
