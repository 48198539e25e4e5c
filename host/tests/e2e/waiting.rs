//! Memory of messages that wait.

use testkit::{Kafka, Record, eventually, get, scale};

use crate::support::{BOUND, Guest, Host, body};

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
    let waiting = || {
        let ends = guest.retry_topics.iter().map(|topic| kafka.end_offsets(topic)[0]);
        ends.sum::<i64>()
    };
    eventually(scale(2, 20) * BOUND, || waiting() == count as i64);
    let line = host.process.wait_for(|line| line.contains("the partition rests"), BOUND);
    assert!(line.contains("take all the memory"), "{line}");
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    let resting = |line: &str| {
        line.starts_with("host_partition_state") && line.contains("resting") && line.ends_with(" 1")
    };
    assert!(metrics.lines().any(resting), "{metrics}");
    let ready = get(host.port, "/readyz").expect("an answer");
    assert!(ready.status == 200 && ready.text().contains("rest"), "{}", ready.text());
    let used = host.process.usage();
    println!(
        "{count} waiting messages of 900 kB: {} MiB, at most {} MiB",
        used.rss >> 20,
        used.peak_rss >> 20
    );
    assert!(used.peak_rss < MAX_RSS, "{} MiB", used.peak_rss >> 20);
    host.stop();
}
