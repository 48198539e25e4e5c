//! Alerts of a running host, sent to an HTTP server and a real mail server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use mail_parser::MessageParser;
use serde_json::{Value, json};
use testkit::{Kafka, Postfix, Record, binary, eventually, post};

use crate::support::{BOUND, Guest, Host, body, file, fresh, sqlite};

/// A webhook: its URL, and the alerts it receives.
fn webhook() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/services/T0/secret", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
            loop {
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
                    if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = text.trim().parse().expect("a length");
                    }
                    line.clear();
                }
                if line.is_empty() {
                    break;
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                let json: Value = serde_json::from_slice(&body).expect("JSON");
                let _ = sender.send(json["text"].as_str().expect("a text").to_owned());
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("answered");
            }
        }
    });
    (url, receiver)
}

/// A configuration with both channels.
fn config(postfix: &Postfix) -> PathBuf {
    let text = format!(
        "[mail]\nurl = \"{}\"\nca = \"{}\"\n[alerts]\nwebhook = {{ env = \"HOOK\" }}\nmail-to = [\"oncall@example.com\"]\n\
         mail-from = \"host@example.com\"\nconsole = \"https://host.example.com/\"\nwait = \"2s\"\n",
        postfix.starttls(),
        postfix.ca().display()
    );
    file("alerts.toml", text.as_bytes())
}

pub fn open_dead_letters(host: &Host) -> Option<u64> {
    let answer = testkit::get(host.port, "/api/v1/dead-letters/count?state=open").expect("an answer");
    serde_json::from_slice::<Value>(&answer.body).expect("JSON")["dead_letters"].as_u64()
}

/// Sends a test alert over both channels.
fn send_test_alert(host: &Host) {
    let test = Command::new(binary("host"))
        .args(["alerts", "test"])
        .env("HOST_API", format!("http://127.0.0.1:{}", host.port))
        .output()
        .expect("its end");
    let printed = String::from_utf8_lossy(&test.stdout).into_owned();
    assert!(test.status.success() && printed == "webhook  accepted\nmail  accepted\n", "{test:?}");
}

/// The subjects of all received e-mails, sorted.
fn subjects(postfix: &Postfix) -> Vec<String> {
    let subject = |mail: &Vec<u8>| {
        let mail = MessageParser::default().parse(mail).expect("an e-mail");
        mail.subject().expect("a subject").to_owned()
    };
    let mut subjects: Vec<String> = postfix.mails().iter().map(subject).collect();
    subjects.sort();
    subjects
}

#[test]
fn a_storm_of_ten_thousand_is_one_alert_and_one_recovery_on_each_channel() {
    const COUNT: usize = 10_000;
    let (kafka, guest, postfix) = (Kafka::shared(), Guest::fast("storm"), Postfix::start());
    let (url, alerts) = webhook();
    let config = config(&postfix).display().to_string();
    let store = sqlite(&fresh("alerts"));
    let plugin = guest.path.display().to_string();
    let args = [
        "--config",
        &config,
        "--bootstrap-servers",
        kafka.bootstrap(),
        "--plugin",
        &plugin,
        "--store",
        &store,
    ];
    let start = || {
        let host = Host::run(&args, &[("HOOK", &url)]);
        host.process.wait_for(|line| line.starts_with("Ready in"), BOUND);
        host
    };
    let host = start();
    kafka.produce(&guest.topic, (0..COUNT).map(|id| Record::new(body(&id.to_string(), "reject", ""))));
    let first = alerts.recv_timeout(BOUND).expect("an alert");
    assert!(
        first.contains("NEW: asked-reject (") && first.contains("https://host.example.com/failures/"),
        "{first}"
    );
    let failure = first.rsplit("/failures/").next().expect("an id").trim().to_owned();
    eventually(BOUND, || open_dead_letters(&host) == Some(COUNT as u64));
    // Another process does not repeat alerts.
    host.stop();
    let host = start();
    let reply = post(
        host.port,
        "/api/v1/dead-letters/discard",
        &json!({ "filter": { "failure": failure }, "reason": "fixed" }).to_string(),
    );
    assert_eq!(reply.expect("an answer").status, 200);
    let second = alerts.recv_timeout(BOUND).expect("a recovery");
    assert!(second.contains("RECOVERED: asked-reject"), "{second}");
    eventually(BOUND, || postfix.count() == 2);
    send_test_alert(&host);
    assert!(alerts.recv_timeout(BOUND).expect("a test").contains("Nothing has failed"));
    eventually(BOUND, || postfix.count() == 3);
    let lines = host.stop();
    assert!(alerts.try_recv().is_err(), "no further alerts");
    assert!(!lines.iter().any(|line| line.contains("secret")), "the webhook's URL is a secret");
    let subjects = subjects(&postfix);
    let name = &guest.topic;
    assert_eq!(subjects[0], format!("host: 1 new failure: asked-reject ({name}@0.1.0)"));
    assert_eq!(subjects[1], format!("host: 1 recovery: asked-reject ({name}@0.1.0)"));
    assert_eq!(subjects[2], "host: test alert");
}

#[test]
fn invalid_alert_settings_are_rejected_at_start() {
    for (name, text, why) in [
        ("url", "webhook = \"hooks.slack.com/T0/secret\"", "alerts.webhook: not a URL"),
        ("sender", "mail-to = [\"a@example.com\"]", "requires alerts.mail-from"),
        ("server", "mail-to = [\"a@example.com\"]\nmail-from = \"b@example.com\"", "requires a mail server"),
        ("growth", "growth = 1", "at least 2"),
        ("console", "console = \"host\"", "not a URL"),
        ("unknown-key", "webhok = \"x\"", "did you mean webhook?"),
    ] {
        let config = file(&format!("alerts-{name}.toml"), format!("[alerts]\n{text}\n").as_bytes());
        let guest = Guest::fast("alerts-no");
        let output = Command::new(binary("host"))
            .args(["--config", &config.display().to_string(), "--plugin", &guest.path.display().to_string()])
            .output()
            .expect("its end");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(why) && !stderr.contains("secret"), "{name}: {stderr}");
    }
}
