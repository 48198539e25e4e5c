//! Harmful guests: each harms only its own message.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use testkit::{Kafka, Record, eventually};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, id_of};

/// The requested action, and the exception and the code of its failure.
const HARM: [(&str, &str, &str); 8] = [
    ("loop", "consumer.plugin.Timeout", "cpu-timeout"),
    ("panic", "consumer.plugin.Trap", "trap"),
    ("trap", "consumer.plugin.Trap", "trap"),
    // The stack of a Rust guest is in its memory and overflows before that of the sandbox.
    ("recurse", "consumer.plugin.Trap", "trap"),
    ("memory", "consumer.plugin.OutOfMemory", "out-of-memory"),
    ("exit", "consumer.plugin.Exit", "exit"),
    ("outcomes", "consumer.plugin.Outcome", "wrong-outcome-count"),
    // Longer than the bound on a call, inside the host: epochs cannot stop it.
    ("sleep", "consumer.plugin.Timeout", "timeout"),
];
/// The number of harmless messages in flight meanwhile, and the duration of each in microseconds.
const HARMLESS: usize = 20;
const HARMLESS_US: i64 = 5_000_000;

fn code(record: &Record) -> (String, String) {
    let text = |name: &str| record.header_text(name).unwrap_or_default();
    (text("kafka_exception-fqcn"), text("host-failure-code"))
}

#[test]
fn harm_fails_only_its_own_message() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("harm");
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    let harmless_ids: Vec<String> = (0..HARMLESS).map(|number| format!("harmless{number}")).collect();
    let sleep = format!(r#","ms":{}"#, HARMLESS_US / 1000);
    kafka.produce(&guest.topic, harmless_ids.iter().map(|id| Record::new(body(id, "sleep", &sleep))));
    // All messages fit the concurrent calls of one thread.
    eventually(BOUND, || harmless_ids.iter().all(|id| host.handled(id) == 1));
    let harm = HARM.iter().map(|(action, ..)| Record::new(body(action, action, r#","until":1,"ms":60000"#)));
    let produced = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let produced_us = i64::try_from(produced.as_micros()).expect("not that late");
    kafka.produce(&guest.topic, harm);
    guest.settle(kafka);
    let lines = host.stop();
    let all = deliveries(&lines);
    for id in &harmless_ids {
        assert_eq!(attempts(&all, id), [1], "{id}");
    }
    for (action, ..) in HARM {
        assert_eq!(attempts(&all, action), [1, 2], "{action}");
    }
    let took = all["sleep"][1].at_us - all["sleep"][0].at_us;
    assert!(took < 30_000_000, "a call of {took} us, whose bound is 10 s");
    // The call began between the record and the plugin's own line, which is late on a busy machine.
    let since_produced = all["sleep"][1].at_us - produced_us;
    assert!(since_produced >= 10_000_000, "a call ended {since_produced} us after its record was produced");
    // The other messages were in flight during the harm.
    let began = |id: &str| all[id][0].at_us;
    let first = harmless_ids.iter().map(|id| began(id)).min().expect("some");
    for (action, ..) in HARM {
        let after = began(action) - first;
        assert!((0..HARMLESS_US).contains(&after), "{action} began {after} us after the others");
    }

    let retried: HashMap<String, (String, String)> =
        kafka.read_all(&guest.retry_topics[0]).iter().map(|record| (id_of(record), code(record))).collect();
    let expected: HashMap<String, (String, String)> = HARM
        .iter()
        .map(|(action, exception, code)| (action.to_string(), (exception.to_string(), code.to_string())))
        .collect();
    assert_eq!(retried, expected);
    assert_eq!(kafka.read_all(&guest.dead), []);
}

#[test]
fn a_dead_letter_names_the_harm() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("harm-dead");
    let host = Host::start(kafka, &[&guest.path]);
    // On the last attempt, according to the headers of the retry record.
    let last = HARM.iter().map(|(action, ..)| {
        Record::new(body(action, action, r#","ms":60000"#))
            .with_header("kafka_dlt-original-consumer-group", guest.group.as_str())
            .with_header("retry_topic-attempts", [0, 0, 0, 6])
    });
    kafka.produce(&guest.retry_topics[0], last);
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    let dead: HashMap<String, Record> =
        kafka.read_all(&guest.dead).into_iter().map(|record| (id_of(&record), record)).collect();
    assert_eq!(dead.len(), HARM.len());
    for (action, exception, name) in HARM {
        assert_eq!(attempts(&all, action), [6], "{action}");
        assert_eq!(code(&dead[action]), (exception.to_owned(), name.to_owned()), "{action}");
    }
    let text = |action: &str, name: &str| dead[action].header_text(name).unwrap_or_default();
    for (action, expected) in [
        ("panic", "asked to panic"),
        ("recurse", "out of bounds"),
        ("exit", "status"),
        ("outcomes", "0 outcomes"),
        ("loop", "computed for more than 2s"),
        ("sleep", "no outcome after 10s"),
    ] {
        let detail = text(action, "kafka_exception-message");
        assert!(detail.contains(expected), "{action}: {detail}");
    }
    let backtrace = text("recurse", "kafka_exception-stacktrace");
    assert!(backtrace.contains("descend") && backtrace.len() <= 4 << 10, "{backtrace}");
}
