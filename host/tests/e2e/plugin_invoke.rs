//! `host plugin invoke`: the real binary on the real guests; and that nothing is sent, wherever the
//! configuration leads.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use consumer::dry_run::{DryRun, Input};
use consumer::load;
use sandbox::capabilities::mail::CapturedMail;
use sandbox::capture::Answers;
use serde_json::{Value, json};
use testkit::{Kafka, Record, binary, eventually, plugin};

use crate::support::{BOUND, Guest, Host, between, body, file};

/// A server that must not be reached.
struct Silence(TcpListener);

impl Silence {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        listener.set_nonblocking(true).expect("a listener that does not wait");
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    /// Nobody has connected: a connection would wait here, also after who made it is gone.
    #[track_caller]
    fn assert_kept(self) {
        let reached = self.0.accept().map(|(_, from)| from);
        assert!(reached.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{reached:?}");
        drop(TcpStream::connect(self.address()).expect("this test reaches it"));
        assert!(self.0.accept().is_ok(), "a connection that has ended would have been seen");
    }
}

/// Runs the host in an empty directory, which must be empty afterwards: no store was made.
#[track_caller]
pub fn host(name: &str, args: &[&str], input: &str) -> Output {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(format!("{name}.dir"));
    std::fs::create_dir_all(&directory).expect("a directory");
    let mut command = Command::new(binary("host"));
    command.args(args).current_dir(&directory).env("SECRET", "hush-hush");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the host starts");
    // One that refuses what it was given does not read its input.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the host ends");
    let left: Vec<_> = std::fs::read_dir(&directory).expect("the directory").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    let all = stdout(&output) + &stderr(&output);
    assert!(!all.contains("hush-hush") && !all.contains("panicked at host/"), "{all}");
    output
}

/// What it printed.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What it said.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Invokes a plugin and reads the JSON of every message.
#[track_caller]
fn invoke(name: &str, path: &Path, more: &[&str], code: i32, input: &str) -> Vec<Value> {
    let args = [&["plugin", "invoke", text(path), "--message", "-", "-o", "json"], more].concat();
    let output = host(name, &args, input);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A configuration file with one plugin, whose topic is the file's name.
pub fn config(name: &str, plugin: &Path, more: &str) -> PathBuf {
    let entry = format!("[[plugin]]\npath = {plugin:?}\ntopic = \"{name}\"\n{more}\n");
    file(&format!("{name}.toml"), entry.as_bytes())
}

/// A message for a guest of the tests.
fn message(value: Value) -> String {
    json!({ "value": value }).to_string() + "\n"
}

const EMAIL: &str = r#"{"from":"me@example.com","to":"you@example.org","subject":"제목","body":"본문"}"#;

#[test]
fn an_email_is_shown_and_not_sent() {
    let (silence, email) = (Silence::listen(), plugin("email"));
    let url = format!("smtp://me:hush-hush@{}", silence.address());
    let input = message(Value::String(EMAIL.to_owned()));
    let [told] = &invoke("invoked-email", &email, &["--mail-url", &url], 0, &input)[..] else {
        panic!("not one result")
    };
    assert_eq!((&told["outcome"], &told["receipt"]), (&json!("done"), &json!("captured, not sent")));
    assert_eq!((&told["id"], &told["topic"]), (&json!("email.send/0/0/0"), &json!("email.send")));
    assert_eq!(told["next"], json!({ "action": "finish" }));
    let log = json!([{ "level": "info", "text": "이메일 발송: from=me@example.com, to=you@example.org, subject=제목" }]);
    assert_eq!(told["log"], log);
    let effects = told["effects"].as_array().expect("a list");
    assert_eq!(effects.len(), 1, "{told}");
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
    assert!(effects[0]["id"].as_str().is_some_and(|id| id.ends_with("@example.com>")), "{told}");
    assert!(told["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{told}");
    assert!(told["time_ms"].as_f64().is_some_and(|time| time > 0.0), "{told}");

    // For a person, and from a file that holds the value as JSON.
    let path = file("invoked-email.json", format!("{{\n  \"value\": {EMAIL}\n}}\n").as_bytes());
    let args = ["plugin", "invoke", text(&email), "--message", text(&path), "--mail-url", &url];
    let output = host("invoked-email", &args, "");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for line in [
        "email.send/0/0/0  email.send partition 0 offset 0, attempt 1",
        "  outcome  done: captured, not sent",
        "  captured e-mail from me@example.com to you@example.org",
        "             subject 제목",
        "               본문",
    ] {
        assert!(stdout(&output).lines().any(|told| told == line), "{line:?} in\n{}", stdout(&output));
    }
    silence.assert_kept();
}

#[test]
fn grants_hold_for_an_email_that_is_not_sent() {
    let (silence, email) = (Silence::listen(), plugin("email"));
    let url = format!("smtp://{}", silence.address());
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
        let told = invoke(name, &email, &["--config", text(&path), "--mail-url", &url], failed, &input);
        assert_eq!(told[0]["outcome"], outcome, "{name}: {told:?}");
        assert_eq!(told[0]["code"].as_str().unwrap_or_default(), code, "{name}");
        assert_eq!(told[0]["effects"].as_array().map(Vec::len), Some(effects), "{name}");
        assert_eq!(told[0]["effects"][0]["redirected_to"], redirected, "{name}");
    }
    // A rate holds within a message, and one message does not use up another's.
    let hostile = plugin("hostile");
    let path = config("dry-rate", &hostile, "allow = [\"mail\"]\nmail.per-minute = 1");
    let input = message(json!({ "do": "mail-body" })).repeat(3);
    let told = invoke("dry-rate", &hostile, &["--config", text(&path), "--mail-url", &url], 0, &input);
    assert_eq!(told.iter().map(|told| &told["outcome"]).collect::<Vec<_>>(), ["done"; 3]);
    // What a server would never be asked is refused as ever.
    let input = message(json!({ "do": "mail-subject" }));
    let told = invoke("dry-rate", &hostile, &["--config", text(&path), "--mail-url", &url], 1, &input);
    assert_eq!((&told[0]["code"], &told[0]["effects"]), (&json!("refused"), &json!([])));
    silence.assert_kept();
}

const SMS: &str = r#"{"from":"02-930-2266","to":"01012340001","body":"본문"}"#;
const TAKEN: &str = r#"{"statusCode":"2000","messageId":"M4V"}"#;

#[test]
fn a_request_is_shown_without_its_credentials_and_not_sent() {
    let (silence, sms) = (Silence::listen(), plugin("sms"));
    let url = format!("http://{}", silence.address());
    let more = format!(
        "config = {{ gateway = \"solapi\", url = \"{url}\" }}\nallow = [\"{url}\"]\n\
         [plugin.http.\"{url}\"]\nheaders = {{ x-account = {{ env = \"SECRET\" }} }}\n\
         solapi = {{ key = \"key\", secret = {{ env = \"SECRET\" }} }}"
    );
    let path = config("sms.send", &sms, &more);
    let answered = |response: String, code: i32| {
        let with = ["--config", text(&path), "--http-response", &response];
        let told = invoke("invoked-sms", &sms, &with, code, &message(Value::String(SMS.to_owned())));
        told.into_iter().next().expect("a result")
    };
    let told = answered(format!("200:{TAKEN}"), 0);
    assert_eq!((&told["outcome"], &told["receipt"]), (&json!("done"), &json!("M4V")));
    let request = &told["effects"][0];
    assert_eq!((&request["kind"], &request["method"]), (&json!("http"), &json!("POST")));
    assert_eq!(request["url"], json!(format!("{url}/messages/v4/send")));
    assert_eq!(request["host_headers"], json!(["authorization", "x-account"]));
    assert!(request["body"].as_str().is_some_and(|body| body.contains("\"to\":\"01012340001\"")), "{told}");
    let names: Vec<_> = request["headers"].as_array().into_iter().flatten().map(|pair| &pair[0]).collect();
    assert!(names.contains(&&json!("content-type")), "{told}");
    assert!(!names.contains(&&json!("authorization")) && !names.contains(&&json!("x-account")), "{told}");
    // The same for the same message.
    let key = request["idempotency_key"].as_str().expect("a key").to_owned();
    let told = answered("429:slow down".to_owned(), 1);
    assert_eq!(told["effects"][0]["idempotency_key"], json!(key));
    assert_eq!((&told["outcome"], &told["code"]), (&json!("retry"), &json!("rate-limited")));
    let next =
        json!({ "action": "retry", "topic": "sms.send-retry-1000", "number": 1, "of": 5, "after_ms": 1000 });
    assert_eq!(told["next"], next);
    assert_eq!(
        answered("400".to_owned(), 1)["next"],
        json!({ "action": "dead-letter", "topic": "sms.send.dlt" })
    );
    silence.assert_kept();

    let silence = Silence::listen();
    let more = format!("config = {{ gateway = \"solapi\", url = \"http://{}\" }}", silence.address());
    let path = config("sms.denied", &sms, &more);
    let input = message(Value::String(SMS.to_owned()));
    let told = invoke("invoked-sms", &sms, &["--config", text(&path)], 1, &input);
    assert_eq!((&told[0]["code"], &told[0]["effects"]), (&json!("http-denied"), &json!([])));
    silence.assert_kept();
}

#[test]
fn whatever_a_guest_tries_is_checked_and_not_sent() {
    let (open, closed, hostile) = (Silence::listen(), Silence::listen(), plugin("hostile"));
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
        for ((action, at, code, effects), told) in cases.iter().zip(&all) {
            assert_eq!(told["code"], *code, "{action} {at}: {told}");
            assert_eq!(told["effects"].as_array().map(Vec::len), Some(*effects), "{action} {at}");
        }
        assert_eq!(all[0]["effects"][0]["idempotency_key"], Value::Null);
    }
    open.assert_kept();
    closed.assert_kept();
}

#[test]
fn failures_are_told_with_what_would_follow() {
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
    // On a busy machine the whole call may be over before the guest's own time is.
    let limits = config("faulty", &faulty, "limits = { guest-time = \"200ms\", call-time = \"100s\" }");
    let all = invoke("dry-faulty", &faulty, &["--config", text(&limits)], 1, &input);
    let told: Vec<_> = all
        .iter()
        .map(|told| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            [text(&told["outcome"]), text(&told["code"]), text(&told["next"]["topic"])].join(" ")
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
    assert_eq!(told, expected);
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
fn what_is_wrong_is_refused_with_what_was_meant() {
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
    // Only what the file lists may run.
    let path = config("dry-listed", &plugin("sms"), "");
    let args = ["plugin", "invoke", text(&email), "--message", "-", "--config", text(&path)];
    let output = host("dry-wrong", &args, "{}");
    assert!(output.status.code() == Some(2) && stderr(&output).contains("is not listed in"));
}

/// As `host dlt try` uses it: loaded once, many calls side by side.
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
fn a_record_that_was_consumed_is_the_message_that_the_host_delivered() {
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
        let told = invoke("taken-back", &guest.path, &[], 1, &consumed);
        assert_eq!((&told[0]["code"], &told[0]["topic"]), (&json!("asked-reject"), &json!(guest.topic)));
        assert_eq!(told[0]["log"][0]["text"], json!(format!("handled id=bad {delivered}")), "{topic}");
    }
}
