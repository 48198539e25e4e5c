//! Plugins that publish records, which are effects like e-mails: once per message, recorded, captured in dry runs.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Kafka, Process, Record, eventually};

use crate::doctor::doctor;
use crate::mail_servers::value;
use crate::plugin_command::{host as command, stdout, text};
use crate::support::{BOUND, Guest, Host, between, body, file, fresh, sqlite};
use crate::topics::{delete, frequent_refresh};

/// A configuration that grants a guest these topics.
fn config(guest: &Guest, topics: &[&str], settings: &str) -> String {
    let allow: Vec<String> = topics.iter().map(|topic| format!("produce:{topic}")).collect();
    let lines = format!(
        "[[plugin]]\npath = {:?}\ntopic = {:?}\nallow = {allow:?}\n{settings}\n",
        guest.path, guest.topic
    );
    text(&file(&format!("{}.toml", guest.topic), lines.as_bytes())).to_owned()
}

fn start(kafka: &Kafka, guest: &Guest, topics: &[&str], settings: &str) -> Host {
    start_with(kafka, guest, topics, settings, &[])
}

fn start_with(kafka: &Kafka, guest: &Guest, topics: &[&str], settings: &str, more: &[&str]) -> Host {
    let (config, store) = (config(guest, topics, settings), sqlite(&fresh(&guest.topic)));
    let args = ["--config", &config, "--bootstrap-servers", kafka.bootstrap(), "--store", &store];
    // A producer believes for half a minute by default that a topic which is gone is only not known yet.
    let soon = ["-X", "topic.metadata.propagation.max.ms=2000"];
    Host::run(&[&args, frequent_refresh(), &soon, more].concat(), &[])
}

/// Waits until all messages of a guest without retry topics have ended.
fn settle(kafka: &Kafka, guest: &Guest) {
    eventually(BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
}

/// Asks the guest to publish to these topics.
fn ask(kafka: &Kafka, guest: &Guest, id: &str, action: &str, to: &[&str], more: &str) {
    let more = format!(r#","to":{}{more}"#, json!(to));
    kafka.produce(&guest.topic, [Record::new(body(id, action, &more)).with_key(id)]);
}

/// What the guest got for its records of this message, in order, over all attempts.
fn answers(lines: &[String], id: &str) -> Vec<String> {
    let own = lines.iter().filter_map(|line| between(line, &format!("produced id={id} "), " ."));
    own.filter_map(|text| text.split_once("answer=")).map(|(_, answer)| answer.to_owned()).collect()
}

fn metrics(host: &Host) -> String {
    testkit::get(host.port, "/metrics").expect("metrics").text()
}

fn produced(metrics: &str, guest: &Guest, topic: &str, result: &str) -> i64 {
    let labels = format!(r#"plugin="{}",topic="{topic}",result="{result}""#, guest.topic);
    value(metrics, &format!("host_produced_total{{{labels}}}"))
}

fn only(kafka: &Kafka, topic: &str) -> Record {
    let mut all = kafka.read_all(topic);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn records_go_to_granted_topics_once_over_all_attempts() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("prod-once"));
    let (one, two) = ("prod-once.one", "prod-once.two");
    kafka.create_topic(one, 4, &[]);
    kafka.create_topic(two, 1, &[]);
    let host = start(kafka, &guest, &[one, two], "");
    ask(kafka, &guest, "foobar", "produceretry", &[one, two], r#","header":"x-own""#);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    guest.settle(kafka);
    assert_eq!(host.handled("foobar"), 6);
    let (first, second) = (only(kafka, one), only(kafka, two));
    // As Java's murmur2 of `foobar`, 1357151166, modulo 4.
    assert_eq!((first.partition, second.partition), (2, 0));
    assert_eq!(first.key.as_deref(), Some(&b"foobar"[..]));
    assert!(first.text().starts_with(r#"{"id":"foobar""#), "{first:?}");
    assert_eq!(first.header_text("x-own").as_deref(), Some("of the plugin"));
    let id = |record: &Record| record.header_text("host-id").expect("an id");
    assert!(id(&first).len() == 32 && id(&first) != id(&second), "{} {}", id(&first), id(&second));
    let metrics = metrics(&host);
    assert_eq!(produced(&metrics, &guest, one, "published"), 6);
    let remembered = format!(r#"host_effects_total{{group="{}",result="remembered"}} 10"#, guest.group);
    assert!(metrics.contains(&remembered), "{metrics}");
    let lines = host.stop();
    assert_eq!(answers(&lines, "foobar"), ["2/0", "0/0"].repeat(6), "remembered with their positions");
}

#[test]
fn a_host_that_consumes_a_record_knows_a_repetition_by_its_id() {
    let (kafka, guest, next) = (Kafka::shared(), Guest::fast("prod-from"), Guest::fast("prod-next"));
    kafka.create_topic(&next.topic, 1, &[]);
    let upstream = start(kafka, &guest, &[&next.topic], "");
    ask(kafka, &guest, "passed", "produce", &[&next.topic], "");
    eventually(BOUND, || kafka.read_all(&next.topic).len() == 1);
    let id = only(kafka, &next.topic).header_text("host-id").expect("an id");
    let downstream = start(kafka, &next, &[], "");
    let line = downstream.process.wait_for(|line| line.contains("handled id=passed"), BOUND);
    assert!(line.contains(&format!("message={id}")), "{line}");
    upstream.stop();
    downstream.stop();
}

#[test]
fn a_record_that_may_not_be_published_does_not_stop_the_others() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("prod-bad"));
    let (one, two, other, small) = ("prod-bad.one", "prod-bad.two", "prod-bad.other", "prod-bad.small");
    [one, two, other].iter().for_each(|topic| kafka.create_topic(topic, 1, &[]));
    kafka.create_topic(small, 1, &[("max.message.bytes", "2000")]);
    let host = start(kafka, &guest, &[one, two, small], "");
    ask(kafka, &guest, "mixed", "produce", &[one, other, two, &guest.topic], "");
    ask(kafka, &guest, "reserved", "produce", &[one], r#","header":"host-replay""#);
    ask(kafka, &guest, "of-spring", "produce", &[one], r#","header":"kafka_original-topic""#);
    ask(kafka, &guest, "own-id", "produce", &[two], r#","header":"host-id""#);
    ask(kafka, &guest, "large", "produce", &[one, small, two], r#","bytes":20000"#);
    guest.settle(kafka);
    let metrics = metrics(&host);
    for (topic, result, count) in [
        (one, "published", 2),
        (one, "permanent", 2),
        (two, "published", 3),
        (small, "permanent", 1),
        ("other", "denied", 2),
    ] {
        assert_eq!(produced(&metrics, &guest, topic, result), count, "{topic} {result}: {metrics}");
    }
    assert!(!metrics.contains(other), "no label of a topic that is not granted");
    let ready = testkit::get(host.port, "/readyz").expect("an answer");
    assert!(ready.status == 200 && !ready.text().contains(small), "{}", ready.text());
    let lines = host.stop();
    let mixed = answers(&lines, "mixed");
    assert!(mixed[0].starts_with("0/") && mixed[2].starts_with("0/"), "{mixed:?}");
    assert_eq!(mixed[1], format!("denied: `produce:{other}` is not in the plugin's `allow`"));
    assert!(mixed[3].starts_with("denied: "), "{mixed:?}");
    assert_eq!(answers(&lines, "reserved"), [r#"permanent: only the host writes the header "host-replay""#]);
    assert!(answers(&lines, "of-spring")[0].starts_with("permanent: "));
    let large = answers(&lines, "large");
    assert_eq!(large[1], format!("permanent: {small}: Message size too large"), "{large:?}");
    assert!(large[0].starts_with("0/") && large[2].starts_with("0/"), "{large:?}");
    assert_eq!(kafka.end_offsets(other), [0]);
    let ids: Vec<_> = kafka.read_all(two).iter().filter_map(|record| record.header_text("host-id")).collect();
    assert_eq!(ids.iter().filter(|id| *id == "of the plugin").count(), 1, "{ids:?}");
}

#[test]
fn a_limit_bounds_the_records_of_a_call() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("prod-limit"));
    let topic = "prod-limit.one";
    kafka.create_topic(topic, 1, &[]);
    let limits = "limits = { produce = \"10 KiB\" }\nretry = { retries = 0 }";
    let host = start(kafka, &guest, &[topic], limits);
    ask(kafka, &guest, "fits", "produce", &[topic], r#","bytes":9000"#);
    ask(kafka, &guest, "too-large", "produce", &[topic, topic], r#","bytes":9000"#);
    ask(kafka, &guest, "too-many", "produce", &[topic; 1001], "");
    settle(kafka, &guest);
    let dead: Vec<_> = kafka.read_all(&guest.dead);
    let mut codes: Vec<_> =
        dead.iter().filter_map(|record| record.header_text("host-failure-code")).collect();
    codes.sort();
    assert_eq!(codes, ["produce-too-large", "too-many-records"]);
    assert_eq!(kafka.end_offsets(topic), [1]);
    host.stop();
}

#[test]
fn a_dry_run_captures_records_and_a_plugin_without_a_grant_is_denied() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("prod-dry"));
    let topic = "prod-dry.one";
    kafka.create_topic(topic, 1, &[]);
    let config = config(&guest, &[topic], "");
    let invoke = |more: &[&str]| {
        let input =
            json!({ "value": body("dry", "produce", &format!(r#","to":["{topic}","no"],"header":"x""#)) });
        let args = ["plugin", "invoke", text(&guest.path), "--message", "-"];
        let output = command("prod-dry", &[&args[..], more].concat(), &format!("{input}\n"));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        stdout(&output)
    };
    let result: Value = serde_json::from_str(&invoke(&["--config", &config, "-o", "json"])).expect("JSON");
    let effects = result["effects"].as_array().expect("effects");
    let [effect] = effects.as_slice() else { panic!("{result}") };
    let value = json!(r#"{"id":"dry","path":""}"#);
    let expected = json!({ "kind": "produce", "topic": topic, "key": "dry", "value": value,
        "headers": [["x", "of the plugin"]], "host_id": effect["host_id"] });
    assert_eq!(*effect, expected);
    let shown = invoke(&["--config", &config]);
    for line in
        [&format!("record to {topic}"), "  key dry", "  x: of the plugin", "answer=denied: `produce:no`"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(invoke(&[]).contains(&format!("answer=denied: `produce:{topic}` is not in")));
    let inspected = command("prod-dry", &["plugin", "inspect", text(&guest.path), "--config", &config], "");
    let inspected = stdout(&inspected);
    assert!(inspected.contains("  wants        mail, produce\n"), "{inspected}");
    assert!(inspected.contains(&format!("  granted here produce:{topic} (")), "{inspected}");
    assert_eq!(kafka.end_offsets(topic), [0]);
}

/// What a start says that fails.
fn refused(args: &[&str]) -> String {
    let mut host = Process::start("host", &[args, &["--listen", "127.0.0.1:0"]].concat());
    let code = host.wait(BOUND).code();
    let output = host.lines().join("\n");
    assert_eq!(code, Some(2), "{output}");
    output
}

#[test]
fn topics_that_are_missing_or_not_for_plugins_are_refused_at_the_start() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("prod-start"));
    kafka.create_topic(&guest.topic, 1, &[]);
    let start = |topic: &str| {
        let config = config(&guest, &[topic], "");
        let store = sqlite(&fresh(&guest.topic));
        refused(&["--config", &config, "--bootstrap-servers", kafka.bootstrap(), "--store", &store])
    };
    let missing = start("prod-start.no");
    assert!(missing.contains("topic prod-start.no does not exist"), "{missing}");
    let cure = format!("host topics create prod-start.no --bootstrap-servers {}", kafka.bootstrap());
    assert!(missing.contains(&cure), "{missing}");
    let store = sqlite(&fresh(&guest.topic));
    let config = config(&guest, &["prod-start.no"], "");
    let found = doctor(kafka.bootstrap(), &guest.path, &["--store", &store, "--config", &config]);
    let found = (found.status.code(), String::from_utf8_lossy(&found.stdout).into_owned());
    assert!(found.0 == Some(1) && found.1.contains(&cure), "{found:?}");
    for (topic, why) in [
        (guest.topic.as_str(), "which is its source topic"),
        (&guest.dead, "which is its dead-letter topic"),
        (&guest.retry_topics[0], "which is a retry topic"),
        ("orders-held", "only the host publishes"),
        ("orders.*", "there are no wildcards"),
    ] {
        let output = start(topic);
        assert!(output.contains(why) && output.contains(topic), "{topic}: {output}");
    }
}

/// Waits until `/readyz` contains a text.
#[track_caller]
fn wait_ready(host: &Host, text: &str) -> String {
    let answer = || testkit::get(host.port, "/readyz").expect("an answer").text();
    eventually(BOUND, || answer().contains(text));
    answer()
}

#[test]
fn without_the_topic_messages_wait_and_spend_no_attempt() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("prod-gone"));
    let topic = "prod-gone.one";
    kafka.create_topic(topic, 2, &[]);
    let host = start(kafka, &guest, &[topic], "retry = { retries = 0 }");
    ask(kafka, &guest, "before", "produce", &[topic], "");
    eventually(BOUND, || kafka.end_offsets(topic).iter().sum::<i64>() == 1);
    delete(kafka, topic);
    let ids: Vec<String> = (0..20).map(|number| format!("gone-{number}")).collect();
    ids.iter().for_each(|id| ask(kafka, &guest, id, "produce", &[topic], ""));
    host.process.wait_for(|line| line.contains(&format!("topic {topic} does not work")), BOUND);
    let ready = wait_ready(&host, &format!("create it: host topics create {topic}"));
    assert!(ready.contains(&format!("topic {topic} has not worked for")), "{ready}");
    let works = format!(r#"host_destination_works{{destination="topic {topic}"}}"#);
    assert!(metrics(&host).contains(&format!("{works} 0")), "{}", metrics(&host));
    kafka.create_topic(topic, 2, &[]);
    host.process.wait_for(|line| line.contains(&format!("topic {topic} works again")), BOUND);
    settle(kafka, &guest);
    assert_eq!(kafka.end_offsets(topic).iter().sum::<i64>(), 20);
    assert!(kafka.read_all(&guest.dead).is_empty());
    assert!(ids.iter().all(|id| host.handled(id) == 1));
    host.stop();
}

#[test]
fn an_outage_of_kafka_costs_no_attempt_and_repeats_no_record() {
    const COUNT: usize = 300;
    let (kafka, guest) = (Kafka::start(), Guest::fast("prod-away"));
    let topics = ["prod-away.one", "prod-away.two"];
    kafka.create_topic(&guest.topic, 4, &[]);
    topics.iter().for_each(|topic| kafka.create_topic(topic, 3, &[]));
    // A broker that starts again on a busy machine may be away for longer than the default of 45 s. A member that loses its
    // partitions leaves its records without an answer, and the next one repeats those.
    let session = ["-X", "session.timeout.ms=300000"];
    let host = start_with(&kafka, &guest, &topics, "retry = { retries = 0 }", &session);
    let ids = || (0..COUNT).map(|number| number.to_string());
    let more = format!(r#","to":{}"#, json!(topics));
    let records = ids().map(|id| Record::new(body(&id, "produce", &more)).with_key(id));
    kafka.produce(&guest.topic, records);
    host.process.wait_for(|line| line.contains("produced id="), BOUND);
    kafka.kill();
    // Longer than the 5 s after which a record without an acknowledgement counts as stalled.
    sleep(Duration::from_secs(20));
    assert_eq!(testkit::get(host.port, "/readyz").expect("an answer").status, 503);
    kafka.start_again();
    settle(&kafka, &guest);
    for topic in topics {
        let mut keys: Vec<String> = kafka.read_all(topic).iter().map(crate::support::id_of).collect();
        assert_eq!(keys.len(), COUNT, "{topic}");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), COUNT, "{topic}: repeated");
    }
    assert!(kafka.read_all(&guest.dead).is_empty());
    let lines = host.stop();
    for id in ids() {
        assert!(answers(&lines, &id).iter().all(|answer| answer.contains('/')), "{id}");
    }
}
