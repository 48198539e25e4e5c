//! Metrics for Prometheus.

use testkit::{Kafka, Record, eventually, get};

use crate::support::{BOUND, Guest, Host, body};

/// The sum of the series that have all of these labels. `None` if there is none.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let values = text
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .map(|line| line.rsplit_once(' ')?.1.parse().ok());
    values.reduce(|sum: Option<f64>, value: Option<f64>| Some(sum? + value?))?
}

#[test]
fn outcomes_failures_retries_and_lag_are_counted() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("metrics");
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    let records = (0..5).map(|number| (format!("d{number}"), "done"));
    let records =
        records.chain([("r1".to_owned(), "retry"), ("x1".to_owned(), "reject"), ("x2".to_owned(), "reject")]);
    kafka.produce(&guest.topic, records.map(|(id, action)| Record::new(body(&id, action, ""))));
    guest.settle(kafka);
    let text = || get(host.port, "/metrics").expect("an answer").text();
    let plugin = format!("plugin=\"{}\"", guest.topic);
    let count = |name: &str, label: &str| value(&text(), name, &[&plugin, label]);
    assert_eq!(count("host_messages_total", "outcome=\"done\""), Some(5.0), "{}", text());
    assert_eq!(count("host_messages_total", "outcome=\"dead\""), Some(3.0));
    assert_eq!(count("host_failures_total", "code=\"asked-retry\""), Some(6.0));
    assert_eq!(count("host_failures_total", "code=\"asked-reject\""), Some(2.0));
    for topic in &guest.retry_topics {
        let label = format!("topic=\"{topic}\"");
        assert_eq!(count("host_retries_total", &label), Some(1.0), "{topic}");
        assert_eq!(value(&text(), "host_lateness_seconds_count", &[&label]), Some(1.0), "{topic}");
    }
    let source = format!("topic=\"{}\"", guest.topic);
    eventually(BOUND, || value(&text(), "host_lag", &[&source]) == Some(0.0));
    assert_eq!(value(&text(), "host_in_flight", &[&source]), Some(0.0));
    // Messages in flight are counted, and so are the messages after them.
    kafka.produce(&guest.topic, [Record::new(body("slow", "sleep", r#","ms":6000"#))]);
    eventually(BOUND, || value(&text(), "host_in_flight", &[&source]) == Some(1.0));
    assert_eq!(value(&text(), "host_lag", &[&source]), Some(1.0), "{}", text());
    host.stop();
}

#[test]
fn records_that_cannot_be_published_are_counted() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("pubfail");
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    kafka.cli("topics", &["--bootstrap-server", kafka.bootstrap(), "--delete", "--topic", &guest.dead]);
    kafka.produce(&guest.topic, [Record::new(body("x", "reject", ""))]);
    let label = format!("topic=\"{}\"", guest.dead);
    let failures = || {
        let text = get(host.port, "/metrics").expect("an answer").text();
        value(&text, "host_publish_failures_total", &[&label])
    };
    eventually(BOUND, || failures().is_some_and(|count| count >= 1.0));
    // The host recreates the topic.
    guest.settle(kafka);
    assert_eq!(kafka.read_all(&guest.dead).len(), 1);
    host.stop();
}
