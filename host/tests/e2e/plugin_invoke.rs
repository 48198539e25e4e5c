//! `host plugin invoke`: the real binary on the real guests. Nothing is sent, whatever the configuration
//! says.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use consumer::dry_run::{DryRun, Input};
use consumer::load;
use sandbox::capabilities::mail::CapturedMail;
use sandbox::capture::Answers;
use serde_json::{Value, json};
use testkit::{Kafka, Record, eventually, plugin};

use crate::plugin_command::{config, host, stderr, stdout, text};
use crate::support::{BOUND, Guest, Host, between, body, file};

/// A server that must not receive a connection.
struct UnreachedServer(TcpListener);

impl UnreachedServer {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    /// Checks that no connection was made. A closed connection would still be in the queue.
    #[track_caller]
    fn assert_unreached(self) {
        let reached = self.0.accept().map(|(_, from)| from);
        assert!(reached.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{reached:?}");
        drop(TcpStream::connect(self.address()).expect("this test reaches it"));
        assert!(self.0.accept().is_ok(), "the server does not see ended connections");
    }
}

/// Invokes a plugin and reads the JSON of every message.
#[track_caller]
fn invoke(name: &str, path: &Path, more: &[&str], code: i32, input: &str) -> Vec<Value> {
    let args = [&["plugin", "invoke", text(path), "--message", "-", "-o", "json"], more].concat();
    let output = host(name, &args, input);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A message for a guest of the tests.
fn message(value: Value) -> String {
    json!({ "value": value }).to_string() + "\n"
}

const EMAIL: &str = r#"{"from":"me@example.com","to":"you@example.org","subject":"제목","body":"본문"}"#;

#[test]
fn an_email_is_shown_and_not_sent() {
    let (server, email) = (UnreachedServer::listen(), plugin("email"));
    let url = format!("smtp://me:hush-hush@{}", server.address());
    let input = message(Value::String(EMAIL.to_owned()));
    let [result] = &invoke("invoked-email", &email, &["--mail-url", &url], 0, &input)[..] else {
        panic!("not one result")
    };
    assert_eq!((&result["outcome"], &result["receipt"]), (&json!("done"), &json!("captured, not sent")));
    assert_eq!((&result["id"], &result["topic"]), (&json!("email.send/0/0/-1"), &json!("email.send")));
    assert_eq!(result["next"], json!({ "action": "finish" }));
    let log = json!([{ "level": "debug", "text": "이메일 발송: from=me@example.com, to=you@example.org, subject=제목" }]);
    assert_eq!(result["log"], log);
    let effects = result["effects"].as_array().expect("a list");
    assert_eq!(effects.len(), 1, "{result}");
    for (key, value) in [
        ("kind", json!("mail")),
        ("sender", json!("me@example.com")),
        ("to", json!(["you@example.org"])),
        ("redirected_to", Value::Null),
        ("subject", json!("제목")),
        ("text", json!("본문")),
        ("attachments", json!([])),
    ] {
        assert_eq!(effects[0][key], value, "{key}");
    }
    assert!(effects[0]["id"].as_str().is_some_and(|id| id.ends_with("@example.com>")), "{result}");
    assert!(result["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{result}");
    assert!(result["time_ms"].as_f64().is_some_and(|time| time > 0.0), "{result}");

    // As text, and from a file that contains the value as JSON.
    let path = file("invoked-email.json", format!("{{\n  \"value\": {EMAIL}\n}}\n").as_bytes());
    let args = ["plugin", "invoke", text(&email), "--message", text(&path), "--mail-url", &url];
    let output = host("invoked-email", &args, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for line in [
        "email.send/0/0/-1  email.send partition 0 offset 0, attempt 1",
        "  outcome  done: captured, not sent",
        "  captured e-mail from me@example.com to you@example.org",
        "             subject 제목",
        "               본문",
    ] {
        assert!(stdout(&output).lines().any(|result| result == line), "{line:?} in\n{}", stdout(&output));
    }
    server.assert_unreached();
}

#[test]
fn grants_hold_for_an_email_that_is_not_sent() {
    let (server, email) = (UnreachedServer::listen(), plugin("email"));
    let url = format!("smtp://{}", server.address());
    for (name, more, outcome, code, effects, redirected) in [
        ("dry-none", "", "reject", "mail-denied", 0, Value::Null),
        (
            "dry-recipients",
            "allow = [\"mail\"]\nmail.recipients = [\"example.com\"]",
            "reject",
            "mail-denied",
            0,
            Value::Null,
        ),
        (
            "dry-redirected",
            "allow = [\"mail\"]\nmail.redirect-all = \"staging@example.com\"",
            "done",
            "",
            1,
            json!("staging@example.com"),
        ),
        (
            "dry-limit",
            "allow = [\"mail\"]\nlimits.mail = \"20 B\"",
            "failure",
            "mail-too-large",
            0,
            Value::Null,
        ),
    ] {
        let path = config(name, &email, more);
        let failed = i32::from(outcome != "done");
        let input = message(Value::String(EMAIL.to_owned()));
        let result = invoke(name, &email, &["--config", text(&path), "--mail-url", &url], failed, &input);
        assert_eq!(result[0]["outcome"], outcome, "{name}: {result:?}");
        assert_eq!(result[0]["code"].as_str().unwrap_or_default(), code, "{name}");
        assert_eq!(result[0]["effects"].as_array().map(Vec::len), Some(effects), "{name}");
        assert_eq!(result[0]["effects"][0]["redirected_to"], redirected, "{name}");
    }
    // A rate applies within one message. Messages do not share it.
    let hostile = plugin("hostile");
    let path = config("dry-rate", &hostile, "allow = [\"mail\"]\nmail.per-minute = 1");
    let input = message(json!({ "do": "mail-body" })).repeat(3);
    let result = invoke("dry-rate", &hostile, &["--config", text(&path), "--mail-url", &url], 0, &input);
    assert_eq!(result.iter().map(|result| &result["outcome"]).collect::<Vec<_>>(), ["done"; 3]);
    // An e-mail with an invalid subject is refused as by the host.
    let input = message(json!({ "do": "mail-subject" }));
    let result = invoke("dry-rate", &hostile, &["--config", text(&path), "--mail-url", &url], 1, &input);
    assert_eq!((&result[0]["code"], &result[0]["effects"]), (&json!("refused"), &json!([])));
    server.assert_unreached();
}

const SMS: &str = r#"{"from":"02-930-2266","to":"01012340001","body":"본문"}"#;
const ACCEPTED: &str = r#"{"statusCode":"2000","messageId":"M4V"}"#;

#[test]
fn a_request_is_shown_without_its_credentials_and_not_sent() {
    let (server, sms) = (UnreachedServer::listen(), plugin("sms"));
    let url = format!("http://{}", server.address());
    let more = format!(
        "config = {{ gateway = \"solapi\", url = \"{url}\" }}\nallow = [\"{url}\"]\n\
         [plugin.http.\"{url}\"]\nheaders = {{ x-account = {{ env = \"SECRET\" }} }}\n\
         solapi = {{ key = \"key\", secret = {{ env = \"SECRET\" }} }}"
    );
    let path = config("sms.send", &sms, &more);
    let answered = |response: String, code: i32| {
        let with = ["--config", text(&path), "--http-response", &response];
        let result = invoke("invoked-sms", &sms, &with, code, &message(Value::String(SMS.to_owned())));
        result.into_iter().next().expect("a result")
    };
    let result = answered(format!("200:{ACCEPTED}"), 0);
    assert_eq!((&result["outcome"], &result["receipt"]), (&json!("done"), &json!("M4V")));
    let request = &result["effects"][0];
    assert_eq!((&request["kind"], &request["method"]), (&json!("http"), &json!("POST")));
    assert_eq!(request["url"], json!(format!("{url}/messages/v4/send")));
    assert_eq!(request["host_headers"], json!(["authorization", "x-account"]));
    assert!(request["body"].as_str().is_some_and(|body| body.contains("\"to\":\"01012340001\"")), "{result}");
    let names: Vec<_> = request["headers"].as_array().into_iter().flatten().map(|pair| &pair[0]).collect();
    assert!(names.contains(&&json!("content-type")), "{result}");
    assert!(!names.contains(&&json!("authorization")) && !names.contains(&&json!("x-account")), "{result}");
    // The same message has the same key.
    let key = request["idempotency_key"].as_str().expect("a key").to_owned();
    let result = answered("429:slow down".to_owned(), 1);
    assert_eq!(result["effects"][0]["idempotency_key"], json!(key));
    assert_eq!((&result["outcome"], &result["code"]), (&json!("retry"), &json!("rate-limited")));
    let next =
        json!({ "action": "retry", "topic": "sms.send-retry-1000", "number": 1, "of": 5, "after_ms": 1000 });
    assert_eq!(result["next"], next);
    assert_eq!(
        answered("400".to_owned(), 1)["next"],
        json!({ "action": "dead-letter", "topic": "sms.send.dlt" })
    );
    server.assert_unreached();

    let server = UnreachedServer::listen();
    let more = format!("config = {{ gateway = \"solapi\", url = \"http://{}\" }}", server.address());
    let path = config("sms.denied", &sms, &more);
    let input = message(Value::String(SMS.to_owned()));
    let result = invoke("invoked-sms", &sms, &["--config", text(&path)], 1, &input);
    assert_eq!((&result[0]["code"], &result[0]["effects"]), (&json!("http-denied"), &json!([])));
    server.assert_unreached();
}

#[test]
fn every_effect_of_a_hostile_guest_is_checked_and_not_sent() {
    let (open, closed, hostile) = (UnreachedServer::listen(), UnreachedServer::listen(), plugin("hostile"));
    let (at, elsewhere) = (open.address(), closed.address());
    let cases = [
        ("http-get", format!("http://{at}/open/ok"), "reached", 1),
        ("http-read", format!("http://{at}/open/ok"), "reached", 1),
        ("http-get", format!("http://{elsewhere}/open/ok"), "denied", 0),
        ("http-get", format!("http://{at}/shut"), "denied", 0),
        ("http-get", format!("http://{at}/open/%2e%2e/shut"), "denied", 0),
        ("http-header-value", format!("http://{at}/open/ok"), "refused", 0),
        ("http-flood", format!("http://{at}/open/ok"), "too-many-host-calls", 100),
        ("reach-tcp", elsewhere.clone(), "denied", 0),
        ("mail-flood", String::new(), "too-many-host-calls", 0),
    ];
    for isolation in ["message", "instance"] {
        let more = format!(
            "isolation = \"{isolation}\"\nallow = [\"mail\", \"http://{at}/open/\"]\nlimits.host-calls = 100"
        );
        let path = config(&format!("dry-hostile-{isolation}"), &hostile, &more);
        let input: String =
            cases.iter().map(|(action, at, ..)| message(json!({ "do": action, "at": at }))).collect();
        let all = invoke("dry-hostile", &hostile, &["--config", text(&path)], 1, &input);
        assert_eq!(all.len(), cases.len());
        for ((action, at, code, effects), result) in cases.iter().zip(&all) {
            assert_eq!(result["code"], *code, "{action} {at}: {result}");
            assert_eq!(result["effects"].as_array().map(Vec::len), Some(*effects), "{action} {at}");
        }
        assert_eq!(all[0]["effects"][0]["idempotency_key"], Value::Null);
    }
    open.assert_unreached();
    closed.assert_unreached();
}

#[test]
fn failures_are_shown_with_the_next_step_of_the_host() {
    let faulty = plugin("faulty");
    let ask = |id: &str, action: &str| json!({ "id": id, "do": action });
    let lines = [
        json!({ "value": ask("fine", "done") }),
        json!({ "value": ask("passed", "skip") }),
        json!({ "value": ask("again", "retry"), "attempt": 2 }),
        json!({ "value": ask("last", "retry"), "attempt": 6 }),
        json!({ "value": ask("loop", "loop") }),
        json!({ "value": ask("trap", "trap") }),
        json!({ "value": ask("lines", "log") }),
    ];
    let input: String = lines.iter().map(|line| line.to_string() + "\n").collect();
    // On a busy machine the call time may end before the guest time.
    let limits = config("faulty", &faulty, "limits = { guest-time = \"200ms\", call-time = \"100s\" }");
    let all = invoke("dry-faulty", &faulty, &["--config", text(&limits)], 1, &input);
    let result: Vec<_> = all
        .iter()
        .map(|result| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            [text(&result["outcome"]), text(&result["code"]), text(&result["next"]["topic"])].join(" ")
        })
        .collect();
    let expected = [
        "done  ",
        "skipped  ",
        "retry asked-retry faulty-retry-2000",
        "retry asked-retry faulty.dlt",
        "failure cpu-timeout faulty-retry-1000",
        "failure trap faulty-retry-1000",
        "done  ",
    ];
    assert_eq!(result, expected);
    assert!(all[5]["backtrace"].as_str().is_some_and(|trace| trace.contains("faulty")), "{}", all[5]);
    let levels: Vec<_> = all[6]["log"].as_array().into_iter().flatten().map(|line| &line["level"]).collect();
    assert_eq!(levels, ["info", "trace", "debug", "info", "warn", "error", "info"]);
    let args = ["plugin", "invoke", text(&faulty), "-m", "-", "--config", text(&limits)];
    let output = host("dry-faulty", &args, &input);
    let (out, err) = (stdout(&output), stderr(&output));
    assert!(out.contains("  next     retry 2 of 5 after 2 s on faulty-retry-2000\n"), "{out}");
    assert!(out.contains("  next     dead letter in faulty.dlt\n"), "{out}");
    assert!(err.contains("error: 4 of 7 messages failed"), "{err}");
}

#[test]
fn invalid_input_is_refused_with_a_suggestion() {
    let email = plugin("email");
    for (more, input, what) in [
        (&[][..], "{\"valu\": 1}", "did you mean value?"),
        (&[], "", "contains no message"),
        (&[], "hello", "not JSON"),
        (&["--http-response", "9000"], "{}", "expected STATUS[:BODY]"),
        (&["--config", "/nowhere.toml"], "{}", "cannot read /nowhere.toml"),
    ] {
        let args = [&["plugin", "invoke", text(&email), "--message", "-"], more].concat();
        let output = host("dry-wrong", &args, input);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(what), "{what:?} in {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let nothing = ["plugin", "invoke", text(&email), "--message", "/nowhere.json"];
    let output = host("dry-wrong", &nothing, "");
    assert!(output.status.code() == Some(2) && stderr(&output).contains("cannot read /nowhere.json"));
    // Only plugins that the file lists may run.
    let path = config("dry-listed", &plugin("sms"), "");
    let args = ["plugin", "invoke", text(&email), "--message", "-", "--config", text(&path)];
    let output = host("dry-wrong", &args, "{}");
    assert!(output.status.code() == Some(2) && stderr(&output).contains("is not listed in"));
}

/// `host dlt try` loads a plugin once and makes many concurrent calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_has_its_own_effects() {
    const CALLS: usize = 300;
    let engines = load::engines(std::iter::once(None)).expect("engines");
    let dry = DryRun::load(&plugin("email"), None, &engines, Answers::new()).await.expect("it loads");
    let dry = std::sync::Arc::new(dry);
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let dry = std::sync::Arc::clone(&dry);
            let value = EMAIL.replace("제목", &format!("subject {number}"));
            let input = Input { value: Some(value.into_bytes()), attempt: 1, ..Input::default() };
            tokio::spawn(async move { dry.call(&input).await })
        })
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        let run = call.await.expect("no panic");
        let [effect] = &run.effects[..] else { panic!("{:?}", run.effects) };
        let mail = effect.get::<CapturedMail>().expect("an e-mail");
        assert_eq!(mail.subject, format!("subject {number}"));
        assert!(run.outcome.is_ok() && run.log.len() == 1);
    }
}

#[test]
fn a_consumed_record_is_the_message_that_the_host_delivered() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("taken-back");
    kafka.create_topic(&guest.topic, 1, &[]);
    let running = Host::start(kafka, &[&guest.path]);
    let record = Record::new(body("bad", "reject", "")).with_key(b"\xff").with_header("mine", "x");
    kafka.produce(&guest.topic, [record]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    let lines = running.stop();
    let delivered = lines.iter().find_map(|line| between(line, "plugin: handled id=bad ", " plugin="));
    let delivered = delivered.expect("it was delivered");
    for topic in [&guest.topic, &guest.dead] {
        let servers = ["--bootstrap-servers", kafka.bootstrap()];
        let consume = ["consume", topic, "--from-beginning", "--max-messages", "1", "-o", "json"];
        let consumed = stdout(&host("taken-back", &[&consume[..], &servers].concat(), ""));
        let result = invoke("taken-back", &guest.path, &[], 1, &consumed);
        assert_eq!((&result[0]["code"], &result[0]["topic"]), (&json!("asked-reject"), &json!(guest.topic)));
        assert_eq!(result[0]["log"][0]["text"], json!(format!("handled id=bad {delivered}")), "{topic}");
    }
}
