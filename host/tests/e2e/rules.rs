//! Failure settings of the configuration: rules by code, blocking tries, topic suffixes, concurrency.

use testkit::{Kafka, Process, Record, eventually, get};

use crate::support::{BOUND, Guest, Host, attempts, between, body, deliveries, file, id_of};

/// Starts the host with one plugin: its table, then `lines`.
#[track_caller]
fn start(kafka: &Kafka, guest: &Guest, lines: &str) -> Host {
    let name = guest.path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[kafka]\nbootstrap-servers = \"{}\"\n\
         [[plugin]]\npath = \"{name}\"\ntopic = \"{}\"\n{lines}",
        kafka.bootstrap(),
        guest.topic
    );
    let path = file(&format!("{}.toml", guest.topic), text.as_bytes());
    let process = Process::start("host", &["--config", path.to_str().expect("a path in UTF-8")]);
    process.wait_for(|line| line.starts_with("Ready in"), BOUND);
    let line = process.wait_for(|line| line.starts_with("  health"), BOUND);
    let port = between(&line, "http://127.0.0.1:", "/readyz").and_then(|port| port.parse().ok());
    Host { process, port: port.unwrap_or_else(|| panic!("no port in {line}")) }
}

/// The ids of a topic's records, sorted.
fn ids(kafka: &Kafka, topic: &str) -> Vec<String> {
    let mut ids: Vec<String> = kafka.read_all(topic).iter().map(id_of).collect();
    ids.sort();
    ids
}

#[test]
fn a_rule_changes_the_number_of_retries_or_the_end() {
    let kafka = Kafka::shared();
    let mut guest = Guest::fast("ruled");
    // Equal delays share one topic, named as by Spring.
    guest.retry_topics = vec![format!("{}-retry", guest.topic)];
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = start(
        kafka,
        &guest,
        "retry = { retries = 2, delay = \"20ms\", multiplier = 1.0 }\n\
         [[plugin.rule]]\ncode = \"asked-retry\"\nretries = 4\n\
         [[plugin.rule]]\ncode = \"asked-*\"\naction = \"retry\"\n\
         [[plugin.rule]]\ncode = \"tra*\"\nretries = 0\n\
         [[plugin.rule]]\ncode = \"exit\"\naction = \"reject\"\n\
         [[plugin.rule]]\ncode = \"invalid-*\"\naction = \"discard\"\n",
    );
    let actions = ["retry", "reject", "trap", "exit", "outcomes"];
    let records = actions.map(|action| Record::new(body(action, action, "")).on(0));
    kafka.produce(&guest.topic, records.into_iter().chain([Record::new("not JSON").on(1)]));
    guest.settle(kafka);
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    let lines = host.stop();
    let all = deliveries(&lines);
    // More retries than the two of the policy, retries of a rejected message, no retry, and those of the
    // policy.
    assert_eq!(attempts(&all, "retry"), [1, 2, 3, 4, 5]);
    assert_eq!(attempts(&all, "reject"), [1, 2, 3]);
    assert_eq!(attempts(&all, "trap"), [1]);
    assert_eq!(attempts(&all, "exit"), [1]);
    assert_eq!(attempts(&all, "outcomes"), [1, 2, 3]);
    assert_eq!(attempts(&all, "-"), [1], "a discarded message is not retried");
    assert_eq!(ids(kafka, &guest.dead), ["exit", "outcomes", "reject", "retry", "trap"]);
    let discarded = lines.iter().find(|line| line.contains("was discarded")).expect("a warning");
    let topic = format!("topic=\"{}\"", guest.topic);
    for part in ["WARN", &guest.topic, &topic, "partition=1", "offset=0", "code=\"invalid-message\""] {
        assert!(discarded.contains(part), "{part} in {discarded}");
    }
    for (outcome, count) in [("discarded", 1), ("dead", 5), ("done", 0)] {
        let series =
            format!("host_messages_total{{plugin=\"{}\",outcome=\"{outcome}\"}} {count}", guest.topic);
        assert!(metrics.contains(&series), "{series} in\n{metrics}");
    }
}

#[test]
fn blocking_tries_are_one_attempt_and_bounded() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("in-place");
    let retry_topic = format!("{}-retry", guest.topic);
    let host = start(
        kafka,
        &guest,
        "retry = { retries = 1, delay = \"20ms\", blocking-tries = 2, blocking-delay = \"10ms\" }\n\
         [[plugin.rule]]\ncode = \"trap\"\nblocking-tries = 0\n\
         [[plugin.rule]]\ncode = \"cpu-timeout\"\nretries = 0\nblocking-tries = 10\n",
    );
    let records = [
        body("stuck", "retry", ""),
        body("trapped", "trap", ""),
        body("rejected", "reject", ""),
        // Each call ends after 2 s.
        body("endless", "loop", ""),
        body("chosen", "retry", r#","after-ms":600000"#),
    ];
    kafka.produce(&guest.topic, records.map(Record::new));
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 4);
    eventually(BOUND, || ids(kafka, &retry_topic) == ["chosen", "stuck", "trapped"]);
    let all = deliveries(&host.stop());
    assert_eq!(attempts(&all, "stuck"), [1, 1, 1, 2, 2, 2]);
    for pair in all["stuck"].windows(2) {
        let waited = pair[1].at_us - pair[0].at_us;
        assert!(waited >= 10_000, "called again after {waited} us");
    }
    assert_eq!(attempts(&all, "trapped"), [1, 2]);
    assert_eq!(attempts(&all, "rejected"), [1]);
    // The third call would begin more than 3 s after the first.
    let endless = attempts(&all, "endless");
    assert!(matches!(&endless[..], [1] | [1, 1]), "{endless:?}");
    assert_eq!(attempts(&all, "chosen"), [1]);
}

#[test]
fn with_a_concurrency_of_one_no_call_overlaps_another() {
    const CALL_MS: i64 = 100;
    let kafka = Kafka::shared();
    let guest = Guest::fast("one-by-one");
    kafka.create_topic(&guest.topic, 4, &[]);
    let host = start(kafka, &guest, "concurrency = 1\n");
    let slow = |number: i32| body(&format!("s{number}"), "sleep", &format!(r#","ms":{CALL_MS}"#));
    kafka.produce(&guest.topic, (0..12).map(|number| Record::new(slow(number)).on(number % 4)));
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    let mut begun: Vec<i64> = all.values().flatten().map(|delivery| delivery.at_us).collect();
    begun.sort_unstable();
    assert_eq!(begun.len(), 12);
    for pair in begun.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart >= CALL_MS * 1000, "{apart} us after the previous call, which takes {CALL_MS} ms");
    }
}

#[test]
fn suffixes_name_the_topics() {
    let kafka = Kafka::shared();
    let mut guest = Guest::fast("suffixed");
    guest.retry_topics = [20, 30].map(|delay| format!("{}.again-{delay}", guest.topic)).to_vec();
    guest.dead = format!("{}.dead", guest.topic);
    let host = start(
        kafka,
        &guest,
        "retry-suffix = \".again\"\ndead-letter-suffix = \".dead\"\n\
         retry = { retries = 3, delay = \"20ms\", max-delay = \"30ms\" }\n",
    );
    kafka.produce(&guest.topic, [Record::new(body("lost", "retry", ""))]);
    guest.settle(kafka);
    let lines = host.stop();
    assert_eq!(attempts(&deliveries(&lines), "lost"), [1, 2, 3, 4]);
    // Delays at the maximum share one topic.
    assert_eq!(kafka.read_all(&guest.retry_topics[0]).len(), 1);
    assert_eq!(kafka.read_all(&guest.retry_topics[1]).len(), 2);
    assert_eq!(ids(kafka, &guest.dead), ["lost"]);
    let chain = format!("{} -> .again-20 -> .again-30 -> {}", guest.topic, guest.dead);
    assert!(lines.iter().any(|line| line.ends_with(&chain)), "{chain} in\n{}", lines.join("\n"));
}

#[test]
fn a_stop_does_not_wait_for_blocking_tries() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("stopped");
    let host = start(
        kafka,
        &guest,
        "retry = { retries = 1, delay = \"1h\", blocking-tries = 10, blocking-delay = \"250ms\" }\n",
    );
    kafka.produce(&guest.topic, [Record::new(body("stuck", "retry", ""))]);
    eventually(BOUND, || host.handled("stuck") > 0);
    let lines = host.stop();
    let draining =
        lines.iter().position(|line| line.starts_with("Draining")).expect("a line about the drain");
    let after = lines[draining..].iter().filter(|line| line.contains("handled id=stuck")).count();
    // One call may have started before the partition was closed.
    assert!(after <= 2, "{after} calls after the stop");
    // A message whose blocking tries were interrupted is not lost.
    assert_eq!(ids(kafka, &format!("{}-retry", guest.topic)), ["stuck"]);
    assert_eq!(kafka.lag(&guest.group, &guest.topic), 0);
}
