//! Several messages in one call.

use std::collections::HashMap;
use std::process::Command;

use testkit::{Kafka, Record, binary, eventually};

use crate::support::{BOUND, Guest, Host, attempts, between, body, deliveries, file, id_of, patched};

/// A configuration that lists one guest.
fn config(guest: &Guest, more: &str) -> String {
    let text =
        format!("[[plugin]]\npath = {:?}\ntopic = {:?}\nconcurrency = 1\n{more}\n", guest.path, guest.topic);
    file(&format!("{}.toml", guest.topic), text.as_bytes()).display().to_string()
}

fn start(kafka: &Kafka, config: &str) -> Host {
    Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap()], &[])
}

/// The number of messages that an instance had handled, with each message that it handled.
fn counts(lines: &[String]) -> Vec<usize> {
    lines.iter().filter_map(|line| between(line, "plugin: count=", " ")?.parse().ok()).collect()
}

/// Lengths of the runs 1, 2, 3, … in the counts.
fn runs(counts: &[usize]) -> Vec<usize> {
    let mut runs: Vec<usize> = Vec::new();
    for count in counts {
        match runs.last_mut() {
            Some(last) if *count == *last + 1 => *last += 1,
            _ => {
                assert_eq!(*count, 1, "an instance continues: {counts:?}");
                runs.push(1);
            }
        }
    }
    runs
}

#[test]
fn messages_of_a_batch_share_an_instance_that_is_new() {
    const MESSAGES: usize = 1000;
    let kafka = Kafka::shared();
    for (name, more, least, most) in [
        ("batches", "", 2, 64),
        ("batch-eight", "max-batch = 8", 2, 8),
        ("batch-one", "max-batch = 1", 1, 1),
        ("batch-order", "ordering = \"key\"", 1, 1),
    ] {
        let guest = Guest::batching(name);
        kafka.create_topic(&guest.topic, 1, &[]);
        let records = (0..MESSAGES).map(|number| Record::new(body(&format!("c{number}"), "count", "")));
        kafka.produce(&guest.topic, records);
        let host = start(kafka, &config(&guest, more));
        // With an order there are no retry topics.
        eventually(BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
        let lines = host.stop();
        let counts = counts(&lines);
        assert_eq!(counts.len(), MESSAGES, "{name}");
        let runs = runs(&counts);
        let longest = runs.iter().max().copied().unwrap_or_default();
        assert!((least..=most).contains(&longest), "{name}: {runs:?}");
        // A line of a batch has the offsets of all of its messages.
        let offset = |line: &str, name: &str| {
            let digits = line.split_once(name)?.1;
            digits.split(' ').next()?.parse::<usize>().ok()
        };
        for line in lines.iter().filter(|line| line.contains("handled id=")) {
            let number: usize =
                between(line, "handled id=c", " ").and_then(|id| id.parse().ok()).expect("an id");
            let first = offset(line, " offset=").expect("an offset");
            let last = offset(line, " last_offset=").unwrap_or(first);
            assert!((first..=last).contains(&number), "{line}");
        }
    }
}

/// Each of them in another batch, among messages that do no harm.
#[test]
fn only_the_message_that_fails_a_batch_pays_for_it() {
    const HARM: [(&str, &str); 7] = [
        ("panic", "trap"),
        ("loop", "cpu-timeout"),
        ("memory", "out-of-memory"),
        ("exit", "exit"),
        ("outcomes", "wrong-outcome-count"),
        ("retry", "asked-retry"),
        ("reject", "asked-reject"),
    ];
    const BETWEEN: usize = 130;
    let kafka = Kafka::shared();
    for isolation in ["message", "instance"] {
        let guest = Guest::batching(&format!("harm-{}", &isolation[..4]));
        kafka.create_topic(&guest.topic, 1, &[]);
        let records = HARM.iter().flat_map(|(action, _)| {
            let harmless = move |number| Record::new(body(&format!("{action}{number}"), "done", ""));
            (0..BETWEEN).map(harmless).chain([Record::new(body(action, action, r#","until":1"#))])
        });
        kafka.produce(&guest.topic, records);
        let more = format!(
            "isolation = \"{isolation}\"\nlimits = {{ call-time = \"60s\", guest-time = \"500ms\" }}"
        );
        let host = start(kafka, &config(&guest, &more));
        guest.settle(kafka);
        let lines = host.stop();
        let all = deliveries(&lines);
        let retried = kafka.read_all(&guest.retry_topics[0]);
        let dead = kafka.read_all(&guest.dead);
        let codes: HashMap<String, String> = retried
            .iter()
            .chain(&dead)
            .map(|record| (id_of(record), record.header_text("host-failure-code").unwrap_or_default()))
            .collect();
        let expected: HashMap<String, String> =
            HARM.iter().map(|(id, code)| ((*id).to_owned(), (*code).to_owned())).collect();
        assert_eq!(codes, expected, "{isolation}");
        assert_eq!((retried.len(), dead.len()), (HARM.len() - 1, 1), "{isolation}");
        let mut again = 0;
        for (action, _) in HARM {
            for number in 0..BETWEEN {
                let attempts = attempts(&all, &format!("{action}{number}"));
                assert!(attempts == [1] || attempts == [1, 1], "{isolation}, {action}{number}: {attempts:?}");
                again += usize::from(attempts.len() == 2);
            }
        }
        // At most those of five batches: messages that request a retry or are rejected do not fail theirs.
        assert!(again <= 5 * 63, "{isolation}: {again} were handled again");
    }
}

#[test]
fn a_host_killed_among_batches_loses_no_message() {
    const MESSAGES: usize = 20_000;
    let kafka = Kafka::shared();
    let guest = Guest::batching("kill-batch");
    kafka.create_topic(&guest.topic, 4, &[]);
    let record = |number: usize| {
        let action = if number.is_multiple_of(100) { "retry" } else { "done" };
        Record::new(body(&format!("k{number}"), action, r#","until":1"#)).on(number as i32 % 4)
    };
    kafka.produce(&guest.topic, (0..MESSAGES).map(record));
    let config = config(&guest, "");
    let mut attempts: HashMap<String, Vec<u32>> = HashMap::new();
    let mut add = |lines: &[String]| {
        for (id, of_id) in deliveries(lines) {
            attempts.entry(id).or_default().extend(of_id.iter().map(|delivery| delivery.attempt));
        }
    };
    // With an instance id, the next process takes over at once.
    let id = ["-X", "group.instance.id=batches"];
    let start_again = |config: &str| {
        Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap(), id[0], id[1]], &[])
    };
    for _ in 0..3 {
        let mut host = start_again(&config);
        eventually(BOUND, || host.process.count(|line| line.contains("handled id=")) > 500);
        host.process.kill();
        add(&host.process.lines());
    }
    let host = start_again(&config);
    guest.settle(kafka);
    add(&host.stop());
    assert_eq!(attempts.len(), MESSAGES);
    let retried = (0..MESSAGES).step_by(100).map(|number| format!("k{number}"));
    for id in retried {
        assert!(attempts[id.as_str()].contains(&2), "{id}: {:?}", attempts[id.as_str()]);
    }
    assert_eq!(kafka.read_all(&guest.dead), []);
}

#[test]
fn an_invalid_number_of_messages_is_an_error_at_the_start() {
    let path = patched("faulty_fast", "bad-batch", &[("max-batch=001", "max-batch=ten")]);
    let plugin = path.display().to_string();
    let config = config(&Guest::batching("batch-many"), "max-batch = 1001");
    for (arguments, problem) in [
        (["--plugin", &plugin], "its attribute max-batch is not a number from 1 to 1000"),
        (["--config", &config], "its max-batch exceeds 1000"),
    ] {
        let mut host = Command::new(binary("host"));
        host.args(arguments).args(["--bootstrap-servers", "127.0.0.1:1", "--listen", "127.0.0.1:0"]);
        let output = host.output().expect("the host");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(problem), "{text}");
    }
}
