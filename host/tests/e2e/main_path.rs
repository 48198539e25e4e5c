//! The main path: requests become log lines, and every offset is committed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use testkit::{Kafka, Process, Record, eventually, plugin, post};

use crate::support::{BOUND, Guest, Host, SHUTDOWN, attempts, between, body, deliveries};

const POSTS: usize = 1000;
const CLIENTS: usize = 8;

fn producer(kafka: &Kafka) -> (Process, u16) {
    let process =
        Process::start("producer", &["--bootstrap-servers", kafka.bootstrap(), "--listen", "127.0.0.1:0"]);
    let line = process.wait_for(|line| line.contains("http://127.0.0.1:"), BOUND);
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
    (process, port.unwrap_or_else(|| panic!("no port in {line}")))
}

fn email(number: usize) -> String {
    format!(
        r#"{{"from":"a{number}@example.com","to":"b@example.com","subject":"제목 {number}","body":"본문"}}"#
    )
}

#[test]
fn a_thousand_requests_are_a_thousand_e_mails_and_no_lag_is_left() {
    let kafka = Kafka::shared();
    let (email_plugin, sms_plugin) = (plugin("email"), plugin("sms"));
    let plugins = [&email_plugin, &sms_plugin].map(|path| path.to_str().expect("a path in UTF-8"));
    let args = ["--bootstrap-servers", kafka.bootstrap(), "--plugin", plugins[0], "--plugin", plugins[1]];
    // The lines with addresses and subjects.
    let host = Host::run(&args, &[("RUST_LOG", "info,plugin=debug")]);
    let (_producer, port) = producer(kafka);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                for number in (client..POSTS).step_by(CLIENTS) {
                    let answer = post(port, "/api/emails/send", &email(number)).expect("an answer");
                    assert_eq!((answer.status, answer.text().as_str()), (200, "이메일 발송 요청 완료"));
                }
            });
        }
        for number in 0..10 {
            let sms = format!(r#"{{"from":"1588-000{number}","to":"114","body":"본문"}}"#);
            assert_eq!(post(port, "/api/sms/send", &sms).expect("an answer").status, 200);
        }
    });
    eventually(BOUND, || {
        kafka.lag("email-send-group", "email.send") == 0 && kafka.lag("sms-send-group", "sms.send") == 0
    });
    let ends = kafka.end_offsets("email.send");
    assert_eq!(ends.iter().sum::<i64>(), POSTS as i64);
    let committed = kafka.committed("email-send-group", "email.send");
    assert_eq!(committed.iter().map(|offset| offset.unwrap_or(0)).collect::<Vec<_>>(), ends);
    let lines = host.stop();

    let emails: Vec<&str> =
        lines.iter().filter_map(|line| between(line, "이메일 발송: from=", " plugin=")).collect();
    assert_eq!(emails.len(), POSTS);
    let expected: BTreeSet<String> = (0..POSTS)
        .map(|number| format!("a{number}@example.com, to=b@example.com, subject=제목 {number}"))
        .collect();
    assert_eq!(emails.iter().map(|line| line.to_string()).collect::<BTreeSet<_>>(), expected);
    let sms: BTreeSet<&str> =
        lines.iter().filter_map(|line| between(line, "SMS 발송: from=", " plugin=")).collect();
    assert_eq!(sms.len(), 10);
    assert!(sms.contains("1588-0007, to=114"), "{sms:?}");
    assert_eq!(kafka.read_all("email.send.dlt"), []);

    invalid_e_mails_are_rejected(kafka);
}

/// Uses the topics of the test above, so it runs after it.
fn invalid_e_mails_are_rejected(kafka: &Kafka) {
    let host = Host::start(kafka, &[&plugin("email")]);
    let blank = r#"{"from":" ","to":"b@example.com"}"#;
    let nobody = r#"{"from":"a@example.com","to":"nobody"}"#;
    let records = [
        Record::new("no JSON").with_key("a"),
        Record::new(blank).with_key("b"),
        Record::new(nobody).with_key("c"),
        Record::tombstone().with_key("d"),
    ];
    kafka.produce("email.send", records);
    eventually(BOUND, || kafka.lag("email-send-group", "email.send") == 0);
    host.stop();
    let mut dead = kafka.read_all("email.send.dlt");
    dead.sort_by(|one, other| one.key.cmp(&other.key));
    let codes: Vec<_> =
        dead.iter().map(|record| record.header_text("host-failure-code").unwrap_or_default()).collect();
    assert_eq!(codes, ["invalid-message", "missing-from", "invalid-to", "tombstone"]);
    let values: Vec<_> = dead.iter().map(|record| record.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"no JSON"[..]), Some(blank.as_bytes()), Some(nobody.as_bytes()), None]);
}

#[test]
fn sigterm_waits_for_calls_in_flight_and_commits_them() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("terminate");
    let mut host = Host::start(kafka, &[&guest.path]);
    kafka.produce(&guest.topic, [Record::new(body("slow", "sleep", r#","ms":1000"#))]);
    host.process.wait_for(|line| line.contains("handled id=slow"), BOUND);
    assert_eq!(kafka.lag(&guest.group, &guest.topic), 1);
    let signalled = Instant::now();
    host.process.terminate();
    let status = host.process.wait(SHUTDOWN);
    let lines = host.process.lines();
    assert_eq!(status.code(), Some(0), "{}", lines.join("\n"));
    println!("ended {:?} after SIGTERM", signalled.elapsed());
    assert!(signalled.elapsed() < Duration::from_secs(30));
    assert_eq!(kafka.committed(&guest.group, &guest.topic), [Some(1)]);
    assert_eq!(attempts(&deliveries(&lines), "slow"), [1]);

    let again = Host::start(kafka, &[&guest.path]);
    kafka.produce(&guest.topic, [Record::new(body("next", "done", ""))]);
    guest.settle(kafka);
    let all = deliveries(&again.stop());
    assert_eq!(all.keys().collect::<Vec<_>>(), ["next"], "a completed call is not repeated");
}

#[test]
fn a_second_signal_ends_the_host_at_once() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("impatient");
    let mut host = Host::start(kafka, &[&guest.path]);
    kafka.produce(&guest.topic, [Record::new(body("slow", "sleep", r#","ms":9000"#))]);
    host.process.wait_for(|line| line.contains("handled id=slow"), BOUND);
    host.process.terminate();
    host.process.wait_for(|line| line.starts_with("Draining"), BOUND);
    let signalled = Instant::now();
    host.process.terminate();
    assert_eq!(host.process.wait(SHUTDOWN).code(), Some(1));
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
    assert_eq!(kafka.lag(&guest.group, &guest.topic), 1, "an interrupted call is not committed");

    let again = Host::start(kafka, &[&guest.path]);
    guest.settle(kafka);
    assert_eq!(attempts(&deliveries(&again.stop()), "slow"), [1], "an interrupted call is repeated");
}
