//! Hostile components over HTTP. As in `hostile_components.rs`, each case is one line.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::{Kafka, Record, eventually, plugin};

use crate::http_server::{HttpServer, Request, answer};
use crate::support::{BOUND, Host, deliveries, file};

/// Actions of `hostile`, their targets and their failure codes. `{open}` is granted.
const CASES: &[(&str, &str, &str)] = &[
    ("http-get", "http://{open}/open/ok", "reached"),
    // Not granted: another server, path, name or kind of address.
    ("http-get", "http://{closed}/open/ok", "denied"),
    ("http-get", "http://{open}/shut", "denied"),
    ("http-get", "http://{open}/open/../shut", "denied"),
    ("http-get", "http://{open}/open/%2e%2e/shut", "denied"),
    ("http-get", "http://{open}/openly", "denied"),
    ("http-get", "http://localhost:{port}/open/ok", "denied"),
    // A granted name that resolves to this machine.
    ("http-get", "http://localhost:{port}/named/ok", "denied"),
    ("http-get", "http://127.1:{shut}/open/ok", "denied"),
    ("http-get", "http://2130706433:{shut}/open/ok", "denied"),
    ("http-get", "http://[::ffff:127.0.0.1]:{shut}/open/ok", "denied"),
    ("http-get", "http://{open}@{closed}/open/ok", "denied"),
    ("http-get", "http://169.254.169.254/latest/meta-data/", "denied"),
    ("http-get", "http://[::1]:{port}/open/ok", "denied"),
    // A redirect is an ordinary response. Its target needs a grant, too.
    ("http-follow", "http://{open}/open/to-metadata", "denied"),
    ("http-follow", "http://{open}/open/to-closed", "denied"),
    ("http-follow", "http://{open}/open/to-name", "denied"),
    // Header lines smuggled into the request.
    ("http-header-value", "http://{open}/open/ok", "refused"),
    ("http-header-name", "http://{open}/open/ok", "refused"),
    ("http-host-header", "http://{open}/open/ok", "refused"),
    ("http-proxy-header", "http://{open}/open/ok", "refused"),
    ("http-path", "http://{open}/open/ok", "refused"),
    ("http-headers", "http://{open}/open/ok", "trap"),
    // A server that delays its response.
    ("http-get", "http://{open}/open/never", "timeout"),
    ("http-read", "http://{open}/open/drip", "timeout"),
    ("http-read", "http://{open}/open/endless", "http-response-too-large"),
    // Handles of many requests, which are the host's once it has them.
    ("http-options", "http://{closed}/open/ok", "denied"),
    ("http-flood", "http://{closed}/open/ok", "too-many-host-calls"),
];
/// The number of harmless messages in flight meanwhile, and the duration of each in milliseconds.
const HARMLESS: usize = 10;
const HARMLESS_MS: u64 = 2000;

#[test]
fn an_http_attempt_fails_only_its_own_message_in_a_clean_instance() {
    suite("message");
}

#[test]
fn an_http_attempt_fails_only_its_own_message_in_a_new_instance() {
    suite("new-instance");
}

#[test]
fn an_http_attempt_fails_only_its_own_message_in_a_reused_instance() {
    suite("instance");
}

fn suite(isolation: &str) {
    let kafka = Kafka::shared();
    let closed = HttpServer::start(|_, stream| answer(stream, 200, &[], "closed"));
    let other = closed.address;
    let open = HttpServer::start(move |request, stream| serve(request, stream, other));
    let topic = format!("hostile-http-{isolation}");
    kafka.create_topic(&topic, 1, &[]);
    let host = start(kafka, &topic, isolation, &open);
    let fill = |text: &str| {
        text.replace("{open}", &open.address.to_string())
            .replace("{closed}", &closed.address.to_string())
            .replace("{shut}", &closed.address.port().to_string())
            .replace("{port}", &open.address.port().to_string())
    };
    let harmless_ids: Vec<String> = (0..HARMLESS).map(|number| format!("harmless{number}")).collect();
    let record = |action: &str, at: &str, key: &str| {
        Record::new(format!(r#"{{"do":"{action}","at":"{at}"}}"#)).with_key(key)
    };
    kafka.produce(&topic, harmless_ids.iter().map(|id| record("sleep", &HARMLESS_MS.to_string(), id)));
    eventually(BOUND, || harmless_ids.iter().all(|id| host.handled(id) == 1));
    let cases = CASES.iter().map(|(action, at, _)| record(action, &fill(at), &format!("{action} {at}")));
    kafka.produce(&topic, cases);
    eventually(BOUND, || kafka.lag(&format!("{topic}-group"), &topic) == 0);
    let all = deliveries(&host.stop());
    for id in &harmless_ids {
        assert_eq!(all.get(id).map(Vec::len), Some(1), "{id}");
    }
    assert_codes(kafka, &topic);
    assert_eq!(closed.connections(), 0, "a server without a grant was reached");
    let lines: Vec<_> = open.requests().into_iter().map(|request| request.line).collect();
    let elsewhere = lines.iter().find(|line| !line.starts_with("GET /open/"));
    assert_eq!(elsewhere, None, "a request left the granted path");
    let smuggled = |request: &Request| request.header("x-smuggled").is_some();
    assert!(!open.requests().iter().any(smuggled), "a header was smuggled");
}

fn assert_codes(kafka: &Kafka, topic: &str) {
    let mut found = BTreeMap::new();
    for dead_letter in kafka.read_all(&format!("{topic}.dlt")) {
        let name = String::from_utf8_lossy(&dead_letter.key.clone().unwrap_or_default()).into_owned();
        let text = |name: &str| dead_letter.header_text(name).unwrap_or_default();
        println!("{name}: {}: {}", text("host-failure-code"), text("kafka_exception-message"));
        found.insert(name, text("host-failure-code"));
    }
    let expected: BTreeMap<String, String> =
        CASES.iter().map(|(action, at, code)| (format!("{action} {at}"), (*code).to_owned())).collect();
    assert_eq!(found, expected);
}

/// The server whose paths below `/open` are granted.
fn serve(request: &Request, stream: &mut TcpStream, closed: std::net::SocketAddr) {
    let to = |url: &str| [("Location", url.to_owned())];
    let redirect = match request.line.trim_start_matches("GET ") {
        "/open/to-metadata" => to("http://169.254.169.254/latest/meta-data/"),
        "/open/to-closed" => to(&format!("http://{closed}/open/ok")),
        "/open/to-name" => to(&format!("http://localhost:{}/open/ok", closed.port())),
        // Until the client disconnects.
        "/open/never" => {
            let _ = stream.read(&mut [0]);
            return;
        }
        "/open/drip" => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
            let mut left = stream.write_all(head.as_bytes());
            while left.is_ok() {
                std::thread::sleep(Duration::from_millis(100));
                left = stream.write_all(b"x");
            }
            return;
        }
        "/open/endless" => {
            let mut left = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            while left.is_ok() {
                left = stream.write_all(&[b'x'; 1 << 16]);
            }
            return;
        }
        _ => return answer(stream, 200, &[], "open"),
    };
    let [(name, url)] = &redirect;
    answer(stream, 302, &[(name, url)], "");
}

fn start(kafka: &Kafka, topic: &str, isolation: &str, open: &HttpServer) -> Host {
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = \"{topic}\"\ngroup = \"{topic}-group\"\n\
         dead-letter-topic = \"{topic}.dlt\"\nisolation = \"{isolation}\"\n\
         allow = [\"http://{}/open/\", \"http://localhost:{}/named/\"]\nretry = {{ retries = 0 }}\n\
         limits = {{ call-time = \"5s\", host-calls = 2000 }}\n",
        plugin("hostile"),
        open.address,
        open.address.port(),
    );
    let config = file(&format!("{topic}.toml"), text.as_bytes());
    let config = config.to_str().expect("a path in UTF-8");
    Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap()], &[])
}
