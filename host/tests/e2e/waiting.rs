//! Memory of messages that wait.

use std::time::Duration;

use testkit::{Kafka, Record, Usage, eventually, get, scale};

use crate::support::{BOUND, Guest, Host, body, deliveries, file};

/// The maximum resident memory of a host, whatever waits.
const MAX_RSS: u64 = 300 << 20;

#[test]
fn large_messages_that_wait_take_little_memory_and_the_partition_says_that_it_rests() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("large"));
    let count = scale(400, 10_000);
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    let value = body("large", "retry", r#","after-ms":3600000"#);
    let record = || Record::new(value.clone()).with_header("h", vec![b'x'; 900_000]);
    for _ in 0..count / 100 {
        kafka.produce(&guest.topic, (0..100).map(|_| record()));
    }
    eventually(scale(2, 20) * BOUND, || retried(kafka, &guest) == count);
    let line = host.process.wait_for(|line| line.contains("the partition rests"), BOUND);
    assert!(line.contains("take all the memory"), "{line}");
    // They follow the log.
    let metrics = || get(host.port, "/metrics").expect("an answer").text();
    let resting = |line: &str| {
        line.starts_with("host_partition_state") && line.contains("resting") && line.ends_with(" 1")
    };
    eventually(BOUND, || metrics().lines().any(resting));
    let ready = || get(host.port, "/readyz").expect("an answer");
    eventually(BOUND, || ready().status == 200 && ready().text().contains("rest"));
    let used = host.process.usage();
    println!(
        "{count} waiting messages of 900 kB: {} MiB, at most {} MiB",
        used.rss >> 20,
        used.peak_rss >> 20
    );
    assert!(used.peak_rss < MAX_RSS, "{} MiB", used.peak_rss >> 20);
    host.stop();
}

/// The number of records in the retry topics.
fn retried(kafka: &Kafka, guest: &Guest) -> usize {
    let ends = guest.retry_topics.iter().flat_map(|topic| kafka.end_offsets(topic));
    usize::try_from(ends.sum::<i64>()).expect("a number of records")
}

/// Each is due at another time, so that a retry topic is read beyond messages that wait. A host that starts again
/// reads all that wait anew.
#[test]
fn many_messages_that_wait_take_little_memory() {
    const HOUR: usize = 3_600_000;
    let (kafka, guest) = (Kafka::shared(), Guest::fast("many"));
    let count = scale(20_000, 1_000_000);
    kafka.create_topic(&guest.topic, 4, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    for from in (0..count).step_by(10_000) {
        let record = |id: usize| {
            let wait = HOUR + id * 7_919 % HOUR;
            Record::new(body(&id.to_string(), "retry", &format!(r#","after-ms":{wait}"#)))
                .with_key(id.to_string())
        };
        kafka.produce(&guest.topic, (from..from + 10_000).map(record));
    }
    eventually(scale(2, 20) * BOUND, || retried(kafka, &guest) == count);
    let first = host.process.usage();
    host.stop();
    let again = Host::start(kafka, &[&guest.path]);
    std::thread::sleep(scale(Duration::from_secs(3), Duration::from_secs(60)));
    let second = again.process.usage();
    let mib = |used: &Usage| (used.rss >> 20, used.peak_rss >> 20);
    println!(
        "{count} waiting messages: {:?} MiB now and at most, {:?} after a restart",
        mib(&first),
        mib(&second)
    );
    assert!(first.peak_rss < MAX_RSS && second.peak_rss < MAX_RSS, "{first:?} {second:?}");
    assert_eq!(retried(kafka, &guest), count, "none is early");
    again.stop();
}

#[test]
fn pauses_of_fetching_lose_and_repeat_nothing_over_a_rebalance() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("flow"));
    let count = scale(2_400, 8_000);
    kafka.create_topic(&guest.topic, 2, &[]);
    for from in (0..count).step_by(100) {
        let record = |id: usize| {
            let value = body(&id.to_string(), "sleep", r#","ms":20"#);
            Record::new(value).with_key(id.to_string()).with_header("h", vec![b'x'; 200_000])
        };
        kafka.produce(&guest.topic, (from..from + 100).map(record));
    }
    let text = format!(
        "[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\nconcurrency = 2\n",
        guest.path.display(),
        guest.topic
    );
    let config = file("flow.toml", text.as_bytes());
    let config = config.to_str().expect("a path in UTF-8");
    let args = ["--config", config, "--bootstrap-servers", kafka.bootstrap()];
    let start = || Host::run(&args, &[("RUST_LOG", "info,kafka=debug")]);
    let first = start();
    first.process.wait_for(|line| line.contains("fetching") && line.contains("Resume"), BOUND);
    let second = start();
    second.process.wait_for(|line| line.contains("fetching") && line.contains("Resume"), BOUND);
    eventually(scale(2, 10) * BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
    println!(
        "{}",
        first
            .process
            .lines()
            .iter()
            .chain(second.process.lines().iter())
            .filter(|line| !line.contains("handled"))
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
    let all: Vec<_> = [first.stop(), second.stop()].map(|lines| deliveries(&lines)).into();
    for id in (0..count).map(|id| id.to_string()) {
        let handled: usize = all.iter().filter_map(|host| host.get(&id)).map(Vec::len).sum();
        assert_eq!(handled, 1, "{id}");
    }
}
