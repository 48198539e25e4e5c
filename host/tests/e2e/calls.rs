//! Calls: what counts as the time of a guest, and which requests are done.

use std::collections::BTreeMap;

use testkit::{Kafka, Record, eventually, plugin};

use crate::http_server::{HttpServer, answer};
use crate::support::{BOUND, Host, file};

/// A record that requests an action of `hostile`. Its key names the action.
fn record(action: &str, at: &str) -> Record {
    Record::new(format!(r#"{{"do":"{action}","at":"{at}"}}"#)).with_key(action)
}

/// Starts `hostile` with further lines of its table.
fn start(kafka: &Kafka, topic: &str, lines: &str) -> Host {
    kafka.create_topic(topic, 1, &[]);
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = \"{topic}\"\ngroup = \"{topic}-group\"\n\
         dead-letter-topic = \"{topic}.dlt\"\n{lines}\n",
        plugin("hostile")
    );
    let config = file(&format!("{topic}.toml"), text.as_bytes());
    Host::run(&["--config", &config.display().to_string(), "--bootstrap-servers", kafka.bootstrap()], &[])
}

/// The failure code of each dead letter, by its key.
fn codes(kafka: &Kafka, topic: &str) -> BTreeMap<String, String> {
    let dead_letters = kafka.read_all(&format!("{topic}.dlt"));
    let code = |dead_letter: &Record| {
        let key = String::from_utf8_lossy(&dead_letter.key.clone().unwrap_or_default()).into_owned();
        (key, dead_letter.header_text("host-failure-code").unwrap_or_default())
    };
    dead_letters.iter().map(code).collect()
}

/// The waits take more than the guest's 2 s, each of them more than a tick.
#[test]
fn waiting_is_not_the_guests_time() {
    let (kafka, topic) = (Kafka::shared(), "calls.waits");
    let host = start(kafka, topic, "retry = { retries = 0 }");
    kafka.produce(topic, [record("waits", ""), record("waits-and-work", "")]);
    eventually(BOUND, || kafka.lag("calls.waits-group", topic) == 0);
    host.stop();
    let expected = [("waits-and-work".to_owned(), "cpu-timeout".to_owned())];
    assert_eq!(codes(kafka, topic), BTreeMap::from(expected));
}

/// Without `keep`, the outcome `retry` says that the request had no effect.
#[test]
fn a_request_that_the_plugin_keeps_is_not_repeated() {
    let (kafka, topic) = (Kafka::shared(), "calls.keep");
    let server = HttpServer::start(|_, stream| answer(stream, 200, &[], "done"));
    let url = format!("http://{}", server.address);
    let retry = "retry = { retries = 2, delay = \"50ms\", multiplier = 1.0 }";
    let host = start(kafka, topic, &format!("allow = [\"{url}\"]\n{retry}"));
    kafka.produce(topic, ["keep", "forget"].map(|action| record(action, &format!("{url}/{action}"))));
    let attempted = |action: &str| {
        let text = format!("handled id={action} attempt=2 ");
        host.process.count(|line| line.contains(&text))
    };
    eventually(BOUND, || ["keep", "forget"].iter().all(|action| attempted(action) == 1));
    eventually(BOUND, || kafka.lag("calls.keep-group-retry", "calls.keep-retry") == 0);
    host.stop();
    let count = |line: &str| server.requests().iter().filter(|request| request.line == line).count();
    assert_eq!((count("POST /keep"), count("POST /forget")), (1, 2));
    assert_eq!(codes(kafka, topic), BTreeMap::new());
}
