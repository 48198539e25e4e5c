//! A wall clock that is set while the host runs, or is wrong from the start.

use testkit::{Kafka, Record, WallClock, eventually, get};

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
