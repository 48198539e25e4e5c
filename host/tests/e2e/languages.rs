//! Plugins in JavaScript (StarlingMonkey and QuickJS) and Python. `make test-languages` builds them and runs these tests.

use serde_json::{Value, json};
use testkit::plugin;

use crate::instances::sleeps;
use crate::plugin_command::{host, stdout, text};

const ENGINES: [&str; 3] = ["js", "qjs", "py"];

#[test]
#[ignore = "needs make guests-js guests-py"]
fn languages_sleeping_messages_cost_no_attempt() {
    for engine in ENGINES {
        for (how, settings) in [("all", ""), ("one", "concurrency = 1")] {
            let topic = format!("sleep-{engine}-{how}");
            let path = plugin(&format!("faulty-{engine}"));
            sleeps(&topic, &format!("{topic}.dlt"), &path, settings, |_| {
                r#"{"do":"sleep","ms":50}"#.to_owned()
            });
        }
    }
}

/// The outcome and the log of a dry run.
#[track_caller]
fn invoke(engine: &str, request: &Value) -> Value {
    let (path, name) = (plugin(&format!("faulty-{engine}")), format!("language-{engine}"));
    let message = json!({ "value": request }).to_string();
    let output = host(&name, &["plugin", "invoke", text(&path), "--message", "-", "-o", "json"], &message);
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

#[test]
#[ignore = "needs make guests-js guests-py"]
fn languages_exceptions_can_be_read() {
    const THROW: &str = "throw";
    for (engine, action, detail, stack) in [
        ("js", THROW, "TypeError: bad thing: x", &["fail@faulty.js:", "act@faulty.js:"][..]),
        ("js", "reject-promise", "TypeError: bad thing: x", &["fail@faulty.js:", "rejectLater@faulty.js:"]),
        ("js", "cause", "Error: outer", &["failWithCause@faulty.js:", "Caused by: TypeError: bad thing: x"]),
        ("js", "throw-text", "bad thing: x", &[]),
        ("js", "recurse", "InternalError: too much recursion", &["recurse@faulty.js:"]),
        ("js", "log-throw", "TypeError: bad thing: x", &["fail@faulty.js:"]),
        ("qjs", THROW, "TypeError: bad thing: x", &["at fail (faulty.js:", "at act (faulty.js:"]),
        ("qjs", "throw-text", "bad thing: x", &[]),
        ("py", THROW, "ValueError: bad thing: x", &["faulty.py\", line ", "in fail"]),
        ("py", "cause", "RuntimeError: outer", &["ValueError: bad thing: x", "direct cause"]),
        ("py", "recurse", "RecursionError: maximum recursion depth exceeded", &["in recurse"]),
        ("py", "log-throw", "ValueError: bad thing: x", &["in fail"]),
    ] {
        let result = invoke(engine, &json!({"do": action, "message": "bad thing: x"}));
        let case = format!("{engine} {action}: {result}");
        assert_eq!((&result["code"], &result["detail"]), (&json!("trap"), &json!(detail)), "{case}");
        let backtrace = result["backtrace"].as_str().unwrap_or_default();
        assert!(stack.iter().all(|part| backtrace.contains(part)), "{case}");
        for noise in ["wasm trap", "initializer.js", "mozalloc", "RUST_BACKTRACE", "wasm function"] {
            assert!(!backtrace.contains(noise), "{case}");
        }
    }
}

#[test]
#[ignore = "needs make guests-js guests-py"]
fn languages_log_levels_are_their_own() {
    for (engine, lines) in [
        ("js", &[("debug", "console debug"), ("info", "console log"), ("error", "console error")][..]),
        (
            "py",
            &[
                ("debug", "DEBUG:root:logging debug"),
                ("info", "INFO:root:logging info"),
                ("warn", "WARNING:root:logging warning"),
                ("error", "ERROR:root:logging error"),
            ],
        ),
    ] {
        let result = invoke(engine, &json!({"do": "log"}));
        let log = result["log"].as_array().expect("a log");
        for (level, text) in lines {
            let is_there = |line: &Value| line["level"] == *level && line["text"] == *text;
            assert!(log.iter().any(is_there), "{level} {text}: {log:?}");
        }
    }
}
