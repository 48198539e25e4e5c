//! Log lines and standard output of guests.

use testkit::{Kafka, Record};

use crate::support::{Guest, Host, attempts, body, deliveries};

#[test]
fn every_message_has_an_instance_of_its_own() {
    const MESSAGES: usize = 500;
    let kafka = Kafka::shared();
    let guest = Guest::fast("count");
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    kafka.produce(
        &guest.topic,
        (0..MESSAGES)
            .map(|number| Record::new(body(&format!("c{number}"), "count", "")).on(number as i32 % 2)),
    );
    guest.settle(kafka);
    let lines = host.stop();
    let counts: Vec<&String> = lines.iter().filter(|line| line.contains("plugin: count=")).collect();
    assert_eq!(counts.len(), MESSAGES);
    assert_eq!(counts.iter().find(|line| !line.contains("plugin: count=1 ")), None);
}

#[test]
fn lines_of_a_guest_are_whole_and_cannot_forge_other_lines() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("log");
    let host = Host::start(kafka, &[&guest.path]);
    let fake = "x\n2026-01-01T00:00:00.000000Z ERROR host: faked";
    kafka.produce(&guest.topic, [Record::new(body("l", "log", "")).with_header("host-id", fake)]);
    guest.settle(kafka);
    let lines = host.stop();
    let of_plugin: Vec<&String> = lines.iter().filter(|line| line.contains(" plugin: ")).collect();
    let count_lines = |text: &str| of_plugin.iter().filter(|line| line.contains(text)).count();
    // The default filter shows info and above.
    assert_eq!((count_lines("level=trace"), count_lines("level=debug")), (0, 0));
    assert_eq!((count_lines("level=info"), count_lines("level=warn"), count_lines("level=error")), (1, 1, 1));
    assert_eq!(count_lines(r"log first\nlog second \u{1b}[31mred"), 1);
    assert_eq!(count_lines(r"message=x\n2026-01-01T00:00:00.000000Z ERROR host: faked"), 1);
    assert_eq!(
        lines.iter().find(|line| line.starts_with("log second") || line.starts_with("2026-01-01")),
        None
    );
    for line in of_plugin {
        let place = format!(r#"plugin="{}" topic="{}" partition=0 offset=0"#, guest.topic, guest.topic);
        assert!(line.ends_with(&place), "{line}");
    }
}

#[test]
fn a_flood_of_output_is_truncated_and_fails_its_message() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("flood");
    let host = Host::start(kafka, &[&guest.path]);
    kafka.produce(
        &guest.topic,
        [Record::new(body("f", "flood", r#","until":1"#)), Record::new(body("n", "done", ""))],
    );
    guest.settle(kafka);
    let lines = host.stop();
    let all = deliveries(&lines);
    assert_eq!((attempts(&all, "f"), attempts(&all, "n")), (vec![1, 2], vec![1]));
    let bytes: usize = lines.iter().filter(|line| line.contains("xxxxxxxx")).map(String::len).sum();
    assert!(bytes < 512 << 10, "{bytes} bytes of a flood are in the log");
    let dropped = lines.iter().filter(|line| line.contains("output is dropped")).count();
    assert_eq!(dropped, 1);
    let retried = kafka.read_all(&guest.retry_topics[0]);
    assert_eq!(retried.len(), 1);
    assert_eq!(retried[0].header_text("host-failure-code").as_deref(), Some("log-too-large"));
}
