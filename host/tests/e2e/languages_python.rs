//! Plugins with the SDK for Python: exceptions, log levels, and what no plugin should do. `make test-languages` builds them
//! and runs these tests.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{Kafka, Record, eventually, plugin};

use crate::plugin_command::{config, host, stdout, text};
use crate::support::{BOUND, Host};

/// Actions of `hostile.py`, their failure codes, or "" if the message is done, and a part of the detail.
const HOSTILE: &[(&str, &str, &str)] = &[
    // Time and memory.
    ("loop", "cpu-timeout", ""),
    ("regular-expression", "cpu-timeout", ""),
    ("large-power", "cpu-timeout", ""),
    ("memory-at-once", "out-of-memory", ""),
    ("memory-in-small", "out-of-memory", ""),
    ("memory-caught", "", ""),
    ("recurse", "trap", "RecursionError: maximum recursion depth exceeded"),
    ("recurse-without-limit", "out-of-memory", ""),
    ("deep-repr", "stack-overflow", ""),
    ("cycles", "out-of-memory", ""),
    // Output and outcomes.
    ("print-endless", "log-too-large", ""),
    // A line is truncated at 8 KiB.
    ("print-giant", "", ""),
    ("log-endless", "log-too-large", ""),
    ("log-surrogate", "", ""),
    ("giant-receipt", "outcome-too-large", ""),
    ("giant-detail", "outcome-too-large", ""),
    ("surrogate-receipt", "", ""),
    ("receipt-of-another-type", "trap", "TypeError: the receipt of Done must be a text (str), not bytes"),
    ("outcome-of-another-type", "trap", "TypeError: the handler returned a dict; it must return Done,"),
    ("config-endless", "too-many-host-calls", ""),
    ("mail-of-another-type", "trap", "TypeError: to must be an address"),
    // Ends of a call.
    ("sys-exit", "exit", ""),
    ("sys-exit-text", "exit", ""),
    ("os-exit", "exit", ""),
    ("os-abort", "trap", ""),
    ("raise-base-exception", "trap", "BaseException: bad thing: x"),
    ("raise-keyboard-interrupt", "trap", "KeyboardInterrupt"),
    ("raise-unprintable", "trap", "hostile.Unprintable: <its text failed with Unprintable>"),
    ("raise-odd", "trap", "hostile.Odd: bad thing: x"),
    ("raise-giant", "trap", "ValueError: xxx"),
    ("raise-many-lines", "trap", "ValueError: bad thing: x | Traceback"),
    (
        "raise-group",
        "trap",
        "ExceptionGroup: two (2 sub-exceptions): ValueError: bad thing: x; ExceptionGroup",
    ),
    ("raise-in-hook", "trap", ""),
    ("stop-iteration", "trap", "StopIteration"),
    ("bad-signal", "trap", ""),
    // What is outside.
    ("reach-file", "denied", "FileNotFoundError"),
    ("reach-source", "denied", ""),
    ("reach-directory", "denied", ""),
    ("reach-write", "denied", ""),
    ("reach-socket", "denied", ""),
    ("reach-name", "denied", ""),
    ("reach-process", "denied", ""),
    ("reach-thread", "denied", "RuntimeError: can't start new thread"),
    ("reach-fork", "denied", "AttributeError"),
    ("reach-environment", "denied", ""),
    // The SDK itself: what is left of it answers, or traps.
    ("spoil-sdk", "trap", ""),
    ("spoil-json", "", ""),
    ("spoil-builtins", "trap", ""),
];

/// The results of dry runs in one process, in order.
fn invoke(name: &str, guest: &Path, more: &str, requests: &[Value]) -> Vec<Value> {
    let messages: String =
        requests.iter().map(|request| json!({ "value": request }).to_string() + "\n").collect();
    let config = config(name, guest, more);
    let args = ["plugin", "invoke", text(guest), "--message", "-", "-o", "json", "--config", text(&config)];
    let output = host(name, &args, &messages);
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
#[ignore = "needs make guests-py"]
fn languages_hostile_python_fails_only_its_own_message() {
    const LIMITS: &str = "limits = { log = \"64KiB\", host-calls = 1000 }";
    let guest = plugin("hostile_py");
    for isolation in ["message", "instance"] {
        // It ends well, so that its instance is used again, as it left it.
        let is_meant = |(action, ..): &&(&str, &str, &str)| isolation == "message" || *action != "spoil-json";
        let cases: Vec<_> = HOSTILE.iter().filter(is_meant).collect();
        let requests: Vec<Value> = cases
            .iter()
            .flat_map(|(action, ..)| [json!({ "do": action }), json!({ "do": "harmless" })])
            .collect();
        let more = format!("isolation = \"{isolation}\"\n{LIMITS}");
        let results = invoke(&format!("hostile-py-{isolation}"), &guest, &more, &requests);
        assert_eq!(results.len(), requests.len(), "{isolation}");
        let wrong: Vec<_> = cases
            .iter()
            .zip(results.chunks(2))
            .filter(|((_, code, detail), pair)| {
                let found = pair[0]["code"].as_str().unwrap_or_default();
                let text = pair[0]["detail"].as_str().unwrap_or_default();
                let next = &pair[1]["outcome"];
                found != *code || !text.contains(detail) || text.len() > 3000 || next != "done"
            })
            .collect();
        assert!(wrong.is_empty(), "{isolation}: {wrong:#?}");
    }
}

#[test]
#[ignore = "needs make guests-py"]
fn languages_failures_of_python_are_told_apart_in_the_desk() {
    let (kafka, topic) = (Kafka::shared(), "hostile-py-desk");
    for topic in [topic.to_owned(), format!("{topic}.dlt")] {
        kafka.create_topic(&topic, 1, &[]);
    }
    let more = format!(
        "group = \"{topic}-group\"\ndead-letter-topic = \"{topic}.dlt\"\nretry.retries = 0\nlimits.memory = \"96 MiB\""
    );
    let config = config(topic, &plugin("hostile_py"), &more);
    let host = Host::run(&["--config", text(&config), "--bootstrap-servers", kafka.bootstrap()], &[]);
    let actions = ["raise-base-exception", "raise-group", "stop-iteration"];
    kafka.produce(topic, actions.map(|action| Record::new(json!({ "do": action }).to_string())));
    eventually(BOUND, || kafka.lag(&format!("{topic}-group"), topic) == 0);
    host.stop();
    let dead = kafka.read_all(&format!("{topic}.dlt"));
    let mut details: Vec<_> =
        dead.iter().filter_map(|record| record.header_text("kafka_exception-message")).collect();
    details.sort();
    assert_eq!(
        details,
        [
            "BaseException: bad thing: x",
            "ExceptionGroup: two (2 sub-exceptions): ValueError: bad thing: x; ExceptionGroup: inner \
             (1 sub-exception): KeyError: 'y'",
            "StopIteration"
        ]
    );
    let trace = dead.iter().find_map(|record| record.header_text("kafka_exception-stacktrace"));
    assert!(trace.is_some_and(|trace| trace.contains("File \"hostile.py\", line ")));
}
