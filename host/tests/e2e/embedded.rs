//! The embedded broker: the demo, and the retry path on a broker that is not Apache Kafka.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use testkit::{Process, binary, eventually, get, post, request};

use crate::support::{BOUND, Guest, SHUTDOWN, between, body, file};

const ANY_PORT: &str = "127.0.0.1:0";

/// The port in the first line with this start.
fn port(process: &Process, start: &str, after: &str) -> u16 {
    let line = process.wait_for(|line| line.starts_with(start), BOUND);
    let port =
        between(&line, "http://127.0.0.1:", after).or_else(|| line.rsplit_once(':').map(|(_, port)| port));
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {line}"))
}

#[test]
fn the_demo_catches_e_mails_in_its_mailbox() {
    let mut demo = Process::start("host", &["demo", "--listen", ANY_PORT, "--producer-listen", ANY_PORT]);
    demo.wait_for(|line| line.starts_with("Ready in"), BOUND);
    let producer = port(&demo, "  producer", "/none");
    let mailbox = port(&demo, "  mailbox", "/demo");
    let body = r#"{"from":"me@example.com","to":"you@example.com","subject":"안녕 <b>","body":"It works."}"#;
    let answer = post(producer, "/api/emails/send", body).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "이메일 발송 요청 완료"));
    let sms =
        post(producer, "/api/sms/send", r#"{"from":"1588-0000","to":"010-1234-5678"}"#).expect("an answer");
    assert_eq!((sms.status, sms.text().as_str()), (200, "SMS 발송 요청 완료"));
    eventually(BOUND, || {
        get(mailbox, "/demo/mailbox").is_ok_and(|answer| answer.text().contains("It works."))
    });
    let mails = get(mailbox, "/demo/mailbox").expect("an answer").text();
    assert_eq!(mails.matches("\"id\":").count(), 1, "one mail: {mails}");
    let page = request(mailbox, "GET", "/demo/mailbox", &[("accept", "text/html")], b"").expect("a page");
    assert!(
        page.text().contains("안녕 &#60;b&#62;") || page.text().contains("안녕 &lt;b&gt;"),
        "{}",
        page.text()
    );
    // Who sends to whom, and what about, is not in the log unless somebody asks for it.
    for personal in ["me@example.com,", "010-1234-5678", "안녕"] {
        assert_eq!(demo.count(|line| line.contains(personal)), 0, "{personal}");
    }
    demo.terminate();
    assert!(demo.wait(SHUTDOWN).success());
}

#[test]
fn a_dead_letter_of_the_demo_can_be_edited_and_replayed() {
    let mut demo = Process::start("host", &["demo", "--listen", ANY_PORT, "--producer-listen", ANY_PORT]);
    demo.wait_for(|line| line.starts_with("With \"to\":\"nobody@example.com\" it fails"), BOUND);
    let (producer, host) = (port(&demo, "  producer", "/none"), port(&demo, "  mailbox", "/demo"));
    let body = r#"{"from":"me@example.com","to":"nobody@example.com","subject":"s","body":"It fails."}"#;
    assert_eq!(post(producer, "/api/emails/send", body).expect("an answer").status, 200);
    let open_dead_letter = || {
        let answer = get(host, "/api/v1/dead-letters?state=open").ok()?;
        let dead_letters: Value = serde_json::from_str(&answer.text()).ok()?;
        dead_letters["items"][0]["id"].as_str().map(str::to_owned)
    };
    eventually(BOUND, || open_dead_letter().is_some());
    let console = request(host, "GET", "/", &[("accept", "text/html")], b"").expect("a page").text();
    assert!(console.contains("there is no such mailbox"), "{console}");

    let corrected = file("embedded-corrected.json", body.replace("nobody", "you").as_bytes());
    let edit = Command::new(binary("host"))
        .args(["dlt", "edit", &open_dead_letter().expect("a dead letter"), "--replay", "--yes", "--value"])
        .arg(corrected)
        .env("HOST_API", format!("http://127.0.0.1:{host}"))
        .output()
        .expect("the exit of the command");
    assert!(edit.status.success(), "{edit:?}");
    eventually(BOUND, || get(host, "/demo/mailbox").is_ok_and(|answer| answer.text().contains("It fails.")));
    assert_eq!(demo.count(|line| line.contains(" WARN ")), 0, "a first start logs no warning");
    demo.terminate();
    assert!(demo.wait(SHUTDOWN).success());
}

/// On other interfaces the console requires a token.
#[test]
fn the_demo_serves_its_console_on_loopback_only() {
    let mut demo = Process::start("host", &["demo", "--listen", "0.0.0.0:0", "--producer-listen", ANY_PORT]);
    demo.wait_for(|line| line.starts_with("Ctrl-C stops the demo."), BOUND);
    assert_eq!(demo.count(|line| line.contains("console") || line.contains("nobody")), 0);
    let line = demo.wait_for(|line| line.starts_with("  mailbox"), BOUND);
    let host = between(&line, "http://0.0.0.0:", "/demo").and_then(|port| port.parse().ok()).expect("a port");
    for path in ["/", "/api/v1/dead-letters"] {
        assert_eq!(get(host, path).expect("an answer").status, 404, "{path}");
    }
    let page = request(host, "GET", "/demo/mailbox", &[("accept", "text/html")], b"").expect("a page");
    assert!(page.status == 200 && !page.text().contains("nobody"), "{}", page.text());
    demo.terminate();
    assert!(demo.wait(SHUTDOWN).success());
}

#[test]
fn retries_and_dead_letters_work_on_the_embedded_broker() {
    let broker = MockCluster::new(1).expect("an embedded broker");
    let servers = broker.bootstrap_servers();
    let guest = Guest::fast("embedded");
    let path = guest.path.to_str().expect("a path in UTF-8");
    let mut host = Process::start(
        "host",
        &[
            "--plugin",
            path,
            "--bootstrap-servers",
            &servers,
            "--listen",
            ANY_PORT,
            "-X",
            "allow.auto.create.topics=true",
            "-X",
            "fetch.wait.max.ms=20",
        ],
    );
    host.wait_for(|line| line.starts_with("Ready in"), BOUND);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &servers).set("group.id", "reader").set("auto.offset.reset", "earliest");
    let producer: BaseProducer = config.create().expect("a producer");
    for body in [
        r#"{"id":"late","do":"retry","until":2}"#,
        r#"{"id":"dead","do":"retry"}"#,
        r#"{"id":"now","do":"reject"}"#,
    ] {
        producer.send(BaseRecord::<(), str>::to(&guest.topic).payload(body)).expect("taken");
    }
    producer.flush(Duration::from_secs(10)).expect("published");
    let dead = read(&config, &guest.dead, 2);
    assert!(dead.iter().any(|value| value.contains("\"dead\"")), "{dead:?}");
    assert!(dead.iter().any(|value| value.contains("\"now\"")), "{dead:?}");
    let deliveries = |id: &str| host.count(|line| line.contains(&format!("handled id={id} ")));
    eventually(BOUND, || deliveries("late") == 3);
    assert_eq!((deliveries("late"), deliveries("dead"), deliveries("now")), (3, 6, 1));
    host.terminate();
    assert!(host.wait(SHUTDOWN).success());
}

#[test]
fn the_demo_runs_another_plugin_alone() {
    let guest = Guest::fast("demo");
    let plugin = guest.path.to_str().expect("a path in UTF-8");
    let args = ["demo", "--listen", ANY_PORT, "--producer-listen", ANY_PORT, "--plugin", plugin, "--alone"];
    let mut demo = Process::start("host", &args);
    let hint = format!("| host produce {} --bootstrap-servers ", guest.topic);
    let line = demo.wait_for(|line| line.contains(&hint), BOUND);
    let broker = line.rsplit_once(' ').map(|(_, broker)| broker.to_owned()).expect("a broker");
    let mut produce = Command::new(binary("host"));
    produce.args(["produce", &guest.topic, "--bootstrap-servers", &broker]).stdin(Stdio::piped());
    let mut produce = produce.spawn().expect("it starts");
    let message = body("one", "done", "") + "\n";
    produce.stdin.take().expect("a pipe").write_all(message.as_bytes()).expect("written");
    assert!(produce.wait().expect("it ends").success());
    demo.wait_for(|line| line.contains("handled id=one "), BOUND);
    assert_eq!(demo.count(|line| line.contains("email@") || line.contains("/api/emails/send")), 0);
    demo.terminate();
    assert!(demo.wait(SHUTDOWN).success());
    let mut demo = Process::start("host", &["demo", "--plugin", "/nowhere.wasm"]);
    demo.wait_for(|line| line.contains("/nowhere.wasm does not exist"), BOUND);
    assert_eq!(demo.wait(BOUND).code(), Some(2));
}

fn read(config: &ClientConfig, topic: &str, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let (mut values, end) = (Vec::new(), Instant::now() + BOUND);
    while values.len() < count && Instant::now() < end {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
        }
    }
    assert_eq!(values.len(), count, "dead letters in {topic}");
    values
}
