//! Plugins in JavaScript (StarlingMonkey and QuickJS) and Python. `make test-languages` builds them and runs these tests.

use std::collections::BTreeMap;

use mail_parser::MessageParser;
use serde_json::{Value, json};
use testkit::{Kafka, Postfix, eventually, plugin};

use crate::instances::sleeps;
use crate::mail_servers::{produce, run};
use crate::plugin_command::{host, stdout, text};
use crate::support::BOUND;

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

/// A real Postfix gets each e-mail once, at default settings, without retries.
#[test]
#[ignore = "needs make guests-js guests-py"]
fn languages_deliver_each_e_mail_once() {
    const EMAILS: usize = 1000;
    let kafka = Kafka::shared();
    for (engine, how, more) in
        ENGINES.iter().flat_map(|engine| [(engine, "all", ""), (engine, "one", "concurrency = 1\n")])
    {
        let topic = format!("mailer-{engine}-{how}");
        produce(kafka, &topic, EMAILS);
        let postfix = Postfix::start();
        let text = format!(
            "[mail]\nurl = {:?}\nca = {:?}\n[[plugin]]\npath = {:?}\ntopic = {topic:?}\ngroup = \"{topic}-group\"\n\
             dead-letter-topic = \"{topic}.dlt\"\nallow = [\"mail\"]\n{more}[plugin.retry]\nretries = 0\n",
            postfix.starttls(),
            postfix.ca(),
            plugin(&format!("mailer-{engine}")),
        );
        let host = run(kafka, &topic, &text);
        eventually(BOUND * 3, || kafka.lag(&format!("{topic}-group"), &topic) == 0);
        host.stop();
        eventually(BOUND, || postfix.is_idle());
        let mut copies = BTreeMap::new();
        for mail in postfix.mails() {
            let mail = MessageParser::default().parse(&mail).expect("an e-mail");
            *copies.entry(mail.subject().expect("a subject").to_owned()).or_insert(0) += 1;
        }
        let dead: i64 = kafka.end_offsets(&format!("{topic}.dlt")).iter().sum();
        let doubled = copies.values().filter(|copies| **copies > 1).count();
        assert_eq!((copies.len(), doubled, dead), (EMAILS, 0, 0), "{topic}: (delivered, doubled, dead)");
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
