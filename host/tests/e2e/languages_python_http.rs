//! HTTP requests with the SDK for Python, against a double of the server. `make test-languages` builds the plugin and runs
//! this test.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use testkit::{Kafka, Record, plugin};

use crate::http_server::{HttpServer, Request, answer};
use crate::sms::{codes, settle};
use crate::support::{Host, between, file};

const TOPIC: &str = "webhook-py";
/// Part of each URL, and of no log line and no detail.
const SECRET: &str = "secret-of-the-test";
/// The number of 503 with Retry-After before the server accepts: more than the retries of the policy.
const BUSY: usize = 3;
/// Longer than the part of a body that a detail has.
const LONG: usize = 5000;
/// Longer than the plugin waits for a response, and shorter than a call may last.
const TOO_LONG: Duration = Duration::from_secs(9);

/// The messages by what the server does, with the number of requests and the failure code. A message has 3 attempts.
const CASES: [(&str, usize, &str); 11] = [
    ("accepted", 1, ""),
    // A delay that the server asks for spends no attempt.
    ("busy", BUSY + 1, ""),
    ("error-once", 2, ""),
    // The connection ends without a response.
    ("closed-once", 2, ""),
    ("slow-once", 2, ""),
    ("closed", 3, "http-transient"),
    ("error", 3, "http-503"),
    ("unknown", 1, "http-404"),
    // To another server, which is not granted.
    ("redirect", 1, "http-302"),
    ("denied", 0, "http-denied"),
    ("password", 0, "http-invalid"),
];

#[test]
#[ignore = "needs make guests-py"]
fn languages_python_requests_end_each_message_as_the_server_answers() {
    let kafka = Kafka::shared();
    let elsewhere = HttpServer::start(|_, stream| answer(stream, 200, &[], "stolen"));
    let target = format!("http://{}/in", elsewhere.address);
    let server = serve(target.clone());
    let host = start(kafka, &server);
    let url_of = |name: &str| match name {
        "denied" => format!("{target}?token={SECRET}"),
        "password" => format!("http://user:{SECRET}@{}/in", server.address),
        _ => format!("http://{}/in?token={SECRET}", server.address),
    };
    let record =
        |name: &str| Record::new(json!({ "url": url_of(name), "do": name }).to_string()).with_key(name);
    kafka.produce(TOPIC, CASES.iter().map(|(name, ..)| record(name)));
    settle(kafka, TOPIC);
    let lines = host.stop();
    assert_eq!(lines.iter().find(|line| line.contains(SECRET)), None);
    assert_eq!(elsewhere.connections(), 0, "a request that is not granted was sent");

    let (requests, codes) = (server.requests(), codes(kafka, TOPIC));
    for (name, tries, code) in CASES {
        let requests: Vec<_> = requests.iter().filter(|request| name_of(request) == name).collect();
        assert_eq!((requests.len(), codes.get(name).map_or("", String::as_str)), (tries, code), "{name}");
        let keys: BTreeSet<_> = requests.iter().map(|request| request.header("idempotency-key")).collect();
        assert!(keys.len() == tries.min(1) && !keys.contains(&None), "{name}: {keys:?}");
    }
    assert!(requests.iter().all(|request| request.header("content-type") == Some("application/json")));
    details_are_short_and_have_no_secret(kafka, &server);
}

fn details_are_short_and_have_no_secret(kafka: &Kafka, server: &HttpServer) {
    let detail = |name: &str| {
        let dead_letters = kafka.read_all(&format!("{TOPIC}.dlt"));
        let of_name = |record: &&Record| record.key.as_deref() == Some(name.as_bytes());
        let found = dead_letters.iter().find(of_name).unwrap_or_else(|| panic!("{name}: no dead letter"));
        found.header_text("kafka_exception-message").unwrap_or_default()
    };
    let place = format!("POST http://{}/in", server.address);
    assert_eq!(detail("unknown"), format!("{place} answered 404: {}", "x".repeat(200)));
    assert_eq!(detail("error"), format!("{place} answered 503: maintenance"));
    assert!(detail("closed").starts_with(&format!("{place}: ")), "{}", detail("closed"));
    for (name, ..) in CASES.iter().filter(|(.., code)| !code.is_empty()) {
        assert!(!detail(name).contains(SECRET), "{name}: {}", detail(name));
    }
}

fn name_of(request: &Request) -> &str {
    between(&request.body, "\"do\":\"", "\"").unwrap_or_default()
}

fn serve(elsewhere: String) -> HttpServer {
    let seen = Mutex::new(Vec::new());
    HttpServer::start(move |request: &Request, stream: &mut TcpStream| {
        let name = name_of(request).to_owned();
        let before = {
            let mut seen = seen.lock().expect("no panic");
            let before = seen.iter().filter(|one| **one == name).count();
            seen.push(name.clone());
            before
        };
        match name.as_str() {
            "busy" if before < BUSY => answer(stream, 503, &[("Retry-After", "1")], "busy"),
            "error-once" if before == 0 => answer(stream, 500, &[], "<html>"),
            "closed-once" if before == 0 => {}
            "slow-once" if before == 0 => {
                sleep(TOO_LONG);
                answer(stream, 200, &[], "late");
            }
            "closed" => {}
            "error" => answer(stream, 503, &[], "maintenance"),
            "unknown" => answer(stream, 404, &[], &"x".repeat(LONG)),
            "redirect" => answer(stream, 302, &[("Location", &elsewhere)], ""),
            _ => answer(stream, 200, &[], "ok"),
        }
    })
}

fn start(kafka: &Kafka, server: &HttpServer) -> Host {
    kafka.create_topic(TOPIC, 1, &[]);
    let url = format!("http://{}/in", server.address);
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = {TOPIC:?}\ngroup = \"{TOPIC}-group\"\n\
         dead-letter-topic = \"{TOPIC}.dlt\"\nallow = [\"{url}\"]\n\
         retry = {{ retries = 2, delay = \"100ms\", multiplier = 1.0 }}\n\
         [plugin.http.\"{url}\"]\nbreaker = 0\n",
        plugin("webhook_py"),
    );
    let config = file(&format!("{TOPIC}.toml"), text.as_bytes());
    let config = config.to_str().expect("a path in UTF-8").to_owned();
    Host::run(&["--config", &config, "--bootstrap-servers", kafka.bootstrap()], &[])
}
