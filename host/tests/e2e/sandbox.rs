//! What a guest can do to a host, and what it costs: its own message.

use std::collections::HashMap;

use testkit::{Kafka, Record};

use crate::support::{Guest, Host, attempts, body, deliveries, id_of};

/// What a message asks for, the exception and the code it fails with.
const HARM: [(&str, &str, &str); 8] = [
    ("loop", "consumer.plugin.Timeout", "timeout"),
    ("panic", "consumer.plugin.Trap", "trap"),
    ("trap", "consumer.plugin.Trap", "trap"),
    // A Rust guest's stack lies in its memory, and is used up before the sandbox's own.
    ("recurse", "consumer.plugin.Trap", "trap"),
    ("memory", "consumer.plugin.OutOfMemory", "out-of-memory"),
    ("exit", "consumer.plugin.Exit", "exit"),
    ("outcomes", "consumer.plugin.Outcome", "wrong-outcome-count"),
    // Beyond the bound on a call, in the host: nothing that epochs could stop.
    ("sleep", "consumer.plugin.Timeout", "timeout"),
];
const BESIDE: usize = 20;

fn code(record: &Record) -> (String, String) {
    let text = |name: &str| record.header_text(name).unwrap_or_default();
    (text("kafka_exception-fqcn"), text("host-failure-code"))
}

#[test]
fn harm_costs_its_own_message_only() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("harm");
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = Host::start(kafka, &[&guest.path]);
    let beside = |number: usize| Record::new(body(&format!("beside{number}"), "sleep", r#","ms":500"#));
    let harm = HARM.iter().map(|(action, ..)| Record::new(body(action, action, r#","until":1,"ms":60000"#)));
    let before = (0..BESIDE / 2).map(beside);
    // All of them fit the calls under way, so each harm is done while others sleep.
    kafka.produce(&guest.topic, before.chain(harm).chain((BESIDE / 2..BESIDE).map(beside)));
    guest.settle(kafka);
    let lines = host.stop();
    let all = deliveries(&lines);
    for number in 0..BESIDE {
        assert_eq!(attempts(&all, &format!("beside{number}")), [1], "beside{number}");
    }
    for (action, ..) in HARM {
        assert_eq!(attempts(&all, action), [1, 2], "{action}");
    }
    // The harm was done while the others were in flight: all began before the shortest ended.
    let began: Vec<i64> = all.values().map(|deliveries| deliveries[0].at_us).collect();
    let spread = began.iter().max().expect("deliveries") - began.iter().min().expect("deliveries");
    println!("all began within {spread} us");

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
fn a_dead_letter_says_what_the_guest_did() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("harm-dead");
    let host = Host::start(kafka, &[&guest.path]);
    // On its last attempt, as a record on a retry topic says.
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
    for (action, said) in [
        ("panic", "asked to panic"),
        ("recurse", "out of bounds"),
        ("exit", "status"),
        ("outcomes", "0 outcomes"),
        ("loop", "computed for more than 2 s"),
        ("sleep", "no outcome after 10 s"),
    ] {
        let detail = text(action, "kafka_exception-message");
        assert!(detail.contains(said), "{action}: {detail}");
    }
    let backtrace = text("recurse", "kafka_exception-stacktrace");
    assert!(backtrace.contains("descend") && backtrace.len() <= 4 << 10, "{backtrace}");
}
