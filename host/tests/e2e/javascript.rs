//! Plugins in JavaScript that use the SDK (plugins/sdk/js), on both engines. `make test-languages` builds them and runs
//! these tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::{Kafka, Record, eventually, plugin};

use crate::plugin_command::{config, host, stdout, text};
use crate::support::{BOUND, Host};

const ENGINES: [&str; 2] = ["js", "qjs"];

/// The result of a dry run.
#[track_caller]
fn invoke(engine: &str, request: &Value) -> Value {
    let (path, name) = (plugin(&format!("faulty-{engine}")), format!("javascript-{engine}"));
    let message = json!({ "value": request }).to_string();
    let output = host(&name, &["plugin", "invoke", text(&path), "--message", "-", "-o", "json"], &message);
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

#[test]
#[ignore = "needs make guests-js"]
fn javascript_exceptions_have_class_message_and_places_in_the_source() {
    for (action, detail, stack) in [
        ("throw", "TypeError: bad thing: x", &["fail", "faulty.js:"][..]),
        ("throw-own", "OwnError: bad thing: x", &["act", "faulty.js:"]),
        ("reject-promise", "TypeError: bad thing: x", &["fail", "faulty.js:"]),
        (
            "cause",
            "Error: outer",
            &["failWithCause", "Caused by: TypeError: bad thing: x", "fail", "faulty.js:"],
        ),
        ("throw-text", "bad thing: x", &[]),
        ("log-throw", "TypeError: bad thing: x", &["fail", "faulty.js:"]),
    ] {
        for engine in ENGINES {
            let result = invoke(engine, &json!({"do": action, "message": "bad thing: x"}));
            let case = format!("{engine} {action}: {result}");
            assert_eq!((&result["code"], &result["detail"]), (&json!("trap"), &json!(detail)), "{case}");
            let backtrace = result["backtrace"].as_str().unwrap_or_default();
            assert!(stack.iter().all(|part| backtrace.contains(part)), "{case}");
            for noise in ["plugin.js", "initializer.js", "kafka-host-plugin", "mozalloc", "wasm function"] {
                assert!(!backtrace.contains(noise), "{case}");
            }
            let printed = result["log"].as_array().map_or(0, |log| {
                log.iter()
                    .filter(|line| line["text"].as_str().is_some_and(|text| text.contains(detail)))
                    .count()
            });
            assert_eq!(printed, 1, "{case}");
        }
    }
}

#[test]
#[ignore = "needs make guests-js"]
fn javascript_outcomes_and_log_levels_are_the_same_on_both_engines() {
    for engine in ENGINES {
        let result = invoke(engine, &json!({"do": "retry", "message": "later", "ms": 5000}));
        assert_eq!((&result["code"], &result["detail"]), (&json!("busy"), &json!("later")), "{result}");
        let result = invoke(engine, &json!({"do": "reject", "message": "never"}));
        assert_eq!((&result["code"], &result["detail"]), (&json!("refused"), &json!("never")), "{result}");
        let log = invoke(engine, &json!({"do": "log"}))["log"].clone();
        let line = |level: &str, text: &str| json!({"level": level, "text": text});
        let expected = json!([
            line("debug", "console debug"),
            line("info", "console log"),
            line("info", "console info"),
            line("warn", "console warn"),
            line("error", "console error"),
        ]);
        assert_eq!(log, expected, "{engine}");
    }
}

/// Actions of `hostile.js`, and their failure codes in StarlingMonkey and in QuickJS: one or another, or "" if the message
/// is done.
const HOSTILE: &[(&str, &str, &str)] = &[
    // Time.
    ("loop", "cpu-timeout|timeout", "cpu-timeout|timeout"),
    ("regex", "cpu-timeout|timeout", "cpu-timeout|timeout"),
    ("jobs", "cpu-timeout|timeout|out-of-memory", "cpu-timeout|timeout|out-of-memory"),
    ("timers", "cpu-timeout|timeout|out-of-memory", "cpu-timeout|timeout|out-of-memory"),
    ("sleep", "timeout", "timeout"),
    // Memory.
    ("grow", "out-of-memory", "out-of-memory"),
    ("grow-text", "trap", "trap"),
    ("grow-objects", "cpu-timeout|timeout|out-of-memory", "cpu-timeout|timeout|out-of-memory"),
    ("recurse", "trap", "stack-overflow"),
    // Output. A line is cut.
    ("log", "log-too-large", "log-too-large"),
    ("console", "log-too-large", "log-too-large"),
    ("console-large", "|out-of-memory", ""),
    ("config", "too-many-host-calls", "too-many-host-calls"),
    // Outcomes.
    ("receipt", "outcome-too-large|cpu-timeout|timeout", "outcome-too-large"),
    ("failure", "outcome-too-large|cpu-timeout|timeout", "outcome-too-large"),
    ("no-outcome", "trap", "trap"),
    ("number", "trap", "trap"),
    ("symbol-code", "Symbol(code)", "Symbol(code)"),
    ("getter", "trap", "trap"),
    // Promises.
    ("never", "trap", "trap"),
    ("unhandled", "", ""),
    ("thenable", "trap", "trap"),
    // Exceptions.
    ("null", "trap", "trap"),
    ("undefined", "trap", "trap"),
    ("symbol", "trap", "trap"),
    ("object", "trap", "trap"),
    ("no-text", "trap", "trap"),
    ("no-source", "trap", "trap"),
    ("getters", "trap", "trap"),
    ("proxy", "trap", "trap"),
    ("revoked", "trap", "trap"),
    ("large", "trap", "trap"),
    ("large-name", "trap", "trap"),
    ("large-stack", "trap", "trap"),
    ("lines", "trap", "trap"),
    ("causes", "trap", "trap"),
    ("cause-of-itself", "trap", "trap"),
    // What the SDK uses.
    ("pollute", "trap", "trap"),
    ("pollute-and-return", "trap", "trap"),
    ("pollute-object", "trap", "trap"),
    ("no-globals", "trap", "trap"),
];

#[test]
#[ignore = "needs make guests-js"]
fn javascript_harm_fails_only_its_own_message() {
    let kafka = Kafka::shared();
    for engine in ENGINES {
        let topic = format!("hostile-{engine}");
        kafka.create_topic(&topic, 1, &[]);
        let more =
            format!("group = \"{topic}-group\"\ndead-letter-topic = \"{topic}.dlt\"\nretry.retries = 0");
        let config = config(&topic, &plugin(&format!("hostile-{engine}")), &more);
        let host = Host::run(&["--config", text(&config), "--bootstrap-servers", kafka.bootstrap()], &[]);
        let record = |action: &str| Record::new(json!({ "do": action }).to_string()).with_key(action);
        // Between two of them, a harmless one.
        let records = HOSTILE.iter().flat_map(|(action, ..)| [record(action), record("harmless")]);
        kafka.produce(&topic, records);
        eventually(BOUND, || kafka.lag(&format!("{topic}-group"), &topic) == 0);
        host.stop();
        let mut found = codes(kafka, &topic);
        for (action, js, qjs) in HOSTILE {
            let code = found.remove(*action).unwrap_or_default();
            let expected = if engine == "js" { js } else { qjs };
            assert!(expected.split('|').any(|one| one == code), "{engine} {action}: {code:?}");
        }
        assert_eq!(found, BTreeMap::new(), "{engine}: harmless messages failed");
    }
}

/// The failure code of each dead letter, by its key.
fn codes(kafka: &Kafka, topic: &str) -> BTreeMap<String, String> {
    let code_by_key = |dead_letter: &Record| {
        let text = |name: &str| dead_letter.header_text(name).unwrap_or_default();
        let key = String::from_utf8_lossy(&dead_letter.key.clone().unwrap_or_default()).into_owned();
        println!("{topic} {key}: {}: {}", text("host-failure-code"), text("kafka_exception-message"));
        (key, text("host-failure-code"))
    };
    kafka.read_all(&format!("{topic}.dlt")).iter().map(code_by_key).collect()
}
