//! The example webhook-forwarder (TypeScript, on StarlingMonkey), against a double of the receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use testkit::{Kafka, Record, plugin};

use crate::http_server::{HttpServer, Request, answer};
use crate::sms::{codes, settle};
use crate::support::{Host, file};

const SECRET: &str = "webhook-secret-of-the-test";
/// The Retry-After of the receiver. The delays of the policy are far shorter.
const THROTTLED: Duration = Duration::from_secs(2);

/// The messages by what the receiver does, with the number of requests and the failure code.
const CASES: [(&str, usize, &str); 10] = [
    ("accepted", 1, ""),
    // 204 has no body.
    ("no-content", 1, ""),
    // 500, then accepted.
    ("error-once", 2, ""),
    // 429 with Retry-After, then accepted.
    ("throttled", 2, ""),
    // The connection ends without a response, then accepted.
    ("closed-once", 2, ""),
    ("refused", 1, "http-400"),
    // Another server, which is not granted; it is not followed.
    ("redirect", 1, "http-302"),
    ("error-always", 3, "http-503"),
    // The response takes longer than the call may.
    ("slow", 3, "timeout"),
    // Not HTTP.
    ("garbage", 3, "http-no-response"),
];

#[test]
#[ignore = "needs make guests-js"]
fn webhook_forwarder_ends_each_message_as_the_receiver_answers() {
    let (kafka, topic) = (Kafka::shared(), "webhooks");
    let elsewhere = HttpServer::start(|_, stream| answer(stream, 200, &[], "stolen"));
    let target = format!("http://{}/stolen", elsewhere.address);
    let server = serve(target);
    let host = start(kafka, topic, &server);
    kafka.produce(
        topic,
        CASES.iter().map(|(name, ..)| Record::new(format!("{{\"do\": \"{name}\"}}")).with_key(*name)),
    );
    kafka.produce(topic, [Record::tombstone().with_key("tombstone")]);
    settle(kafka, topic);
    let lines = host.stop();
    assert_eq!(lines.iter().find(|line| line.contains(SECRET)), None);
    assert_eq!(elsewhere.connections(), 0, "a redirect was followed");

    let requests = server.requests();
    let mut by_name: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in &requests {
        assert_eq!(request.line, "POST /in");
        assert!(is_signed(request), "{request:?}");
        by_name.entry(name_of(request)).or_default().push(request);
    }
    let codes = codes(kafka, topic);
    for (name, tries, code) in CASES {
        let requests = &by_name[name];
        assert_eq!((requests.len(), codes.get(name).map_or("", String::as_str)), (tries, code), "{name}");
        let same = |header: &str| {
            let values: BTreeSet<_> = requests.iter().map(|request| request.header(header)).collect();
            assert!(values.len() == 1 && !values.contains(&None), "{name}: {header} changed: {values:?}");
        };
        for header in ["idempotency-key", "webhook-id", "webhook-timestamp", "webhook-signature"] {
            same(header);
        }
        if name == "throttled" {
            let after = requests[1].at - requests[0].at;
            assert!(after >= THROTTLED, "after {after:?}");
        }
    }
    assert!(!by_name.contains_key("tombstone") && !codes.contains_key("tombstone"));
}

fn name_of(request: &Request) -> &str {
    crate::support::between(&request.body, "\"do\": \"", "\"").unwrap_or_default()
}

/// The signature covers id, timestamp and body.
fn is_signed(request: &Request) -> bool {
    let signed = || {
        let part = |name: &str| request.header(name);
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).ok()?;
        let (id, timestamp) = (part("webhook-id")?, part("webhook-timestamp")?);
        mac.update(format!("{id}.{timestamp}.{}", request.body).as_bytes());
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        Some(part("webhook-signature")? == format!("v1,{signature}"))
    };
    signed().unwrap_or(false)
}

/// The double of the receiver.
fn serve(elsewhere: String) -> HttpServer {
    let seen = Mutex::new(BTreeSet::new());
    HttpServer::start(move |request: &Request, stream: &mut TcpStream| {
        let name = name_of(request).to_owned();
        let is_first = seen.lock().expect("no panic").insert(name.clone());
        let seconds = THROTTLED.as_secs().to_string();
        match name.as_str() {
            "no-content" => _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
            "error-once" if is_first => answer(stream, 500, &[], "<html>"),
            "throttled" if is_first => answer(stream, 429, &[("Retry-After", &seconds)], "{}"),
            "closed-once" if is_first => {}
            "refused" => answer(stream, 400, &[], "{\"error\": \"unknown event\"}"),
            "redirect" => answer(stream, 302, &[("Location", &elsewhere)], ""),
            "error-always" => answer(stream, 503, &[], "maintenance"),
            "slow" => std::thread::sleep(Duration::from_secs(8)),
            "garbage" => _ = stream.write_all(b"220 mail.example.com ESMTP\r\n"),
            _ => answer(stream, 200, &[], "ok"),
        }
    })
}

fn start(kafka: &Kafka, topic: &str, server: &HttpServer) -> Host {
    kafka.create_topic(topic, 1, &[]);
    let url = format!("http://{}/in", server.address);
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = \"{topic}\"\ngroup = \"{topic}-group\"\n\
         dead-letter-topic = \"{topic}.dlt\"\nallow = [\"{url}\"]\n\
         config = {{ url = \"{url}\", secret = {{ env = \"SECRET\" }} }}\n\
         retry = {{ retries = 2, delay = \"100ms\", multiplier = 1.0 }}\n\
         limits = {{ call-time = \"3s\" }}\n[plugin.http.\"http://{}\"]\nbreaker = 0\n",
        plugin("webhook-forwarder"),
        server.address,
    );
    let path = file(&format!("{topic}.toml"), text.as_bytes());
    let args =
        ["--config", path.to_str().expect("a path in UTF-8"), "--bootstrap-servers", kafka.bootstrap()];
    Host::run(&args, &[("SECRET", SECRET)])
}
