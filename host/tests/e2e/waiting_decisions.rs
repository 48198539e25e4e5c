//! Decisions about waiting retries: hosts that are killed, hostile records, the command line.

use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::{Kafka, Record, binary, eventually, get};

use crate::support::{BOUND, Host, attempts, deliveries};
use crate::waiting_retries::{QUIET, Slow, decided, keyed, list, record, waits};

fn command(host: &Host, args: &[&str]) -> Output {
    let mut command = Command::new(binary("host"));
    command.arg("waiting").args(args).env_remove("HOST_TOKEN");
    command.env("HOST_API", format!("http://127.0.0.1:{}", host.port)).env("USER", "ada");
    command.output().expect("a command")
}

/// The host that reads half of the partitions is stopped, a decision is made, and it is killed before it obeys.
#[test]
fn a_decision_outlives_the_host_that_should_have_obeyed() {
    let kafka = Kafka::shared();
    // One tier, so that both hosts have partitions with messages.
    let slow = Slow::with_retries(kafka, "wr-kill", 4, 1);
    let host = slow.host(kafka);
    let mut other = slow.host_with(kafka, &["--desk=false"]);
    let retry_group = format!("{}-retry", slow.guest.group);
    eventually(BOUND, || kafka.members(&retry_group).len() == 2);
    kafka.produce(&slow.guest.topic, (0..40).map(|n| keyed(&format!("m{n}"), "retry", r#","until":1"#)));
    let all = waits(&host, 40);
    // Both have read the topic of the decisions once.
    let first = decided(&host, "run-now", &json!({"records": [record(&all, "m0"), record(&all, "m1")]}));
    assert_eq!(first["decided"], 2);
    eventually(BOUND, || list(&host, "")["total"] == 38);
    other.process.signal("STOP");
    let half = all["messages"].as_array().expect("messages").iter().filter_map(|message| {
        let key = message["key"].as_str().expect("a key");
        let even = key.trim_start_matches('m').parse::<usize>().is_ok_and(|n| n > 1 && n.is_multiple_of(2));
        even.then(|| message["record"].clone())
    });
    let half: Vec<Value> = half.collect();
    let answer = decided(&host, "give-up", &json!({"records": half, "reason": "x"}));
    assert_eq!(answer["decided"], 19, "{answer}");
    let unanswered = answer["unanswered"].as_u64().expect("a number");
    assert!((1..19).contains(&unanswered), "the other host has some of them: {answer}");
    other.process.kill();
    // The partitions of the killed host are taken over, with their decisions.
    eventually(BOUND, || slow.dead(kafka).len() >= 19);
    waits(&host, 19);
    sleep(QUIET);
    let dead = slow.dead(kafka);
    assert_eq!(dead.len(), 19, "{dead:?}");
    assert!(dead.iter().all(|id| host.handled(id) <= 1), "given up, and not handled again");
    // The same, for a host that is killed itself, and starts again.
    let answer = decided(&host, "run-now", &json!({"filter": {}, "count": 19}));
    assert_eq!(answer["decided"], 19);
    let mut host = host;
    host.process.kill();
    let before: Vec<String> = host.process.lines();
    let host = slow.host(kafka);
    eventually(BOUND, || list(&host, "")["total"] == 0);
    let (before, after) = (deliveries(&before), deliveries(&host.process.lines()));
    for n in (3..40).step_by(2) {
        let id = format!("m{n}");
        let second =
            [&before, &after].map(|all| attempts(all, &id).iter().filter(|attempt| **attempt == 2).count());
        assert!(second[0] + second[1] >= 1, "{id}: {second:?}");
    }
    assert_eq!(slow.dead(kafka).len(), 19);
    host.stop();
}

#[test]
fn hostile_records_in_a_retry_topic_and_in_that_of_the_decisions_harm_nothing() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-evil", 1);
    let host = slow.host(kafka);
    kafka.produce(&slow.guest.topic, [keyed("good", "retry", r#","until":1"#), keyed("other", "retry", "")]);
    let all = waits(&host, 2);
    // Creates the topic.
    let later = json!({"records": [record(&all, "other")], "by_ms": 1000});
    assert_eq!(decided(&host, "postpone", &later)["obeyed"], 1);
    let far = (base::clock::now_ms() + 3_600_000).to_be_bytes();
    let evil = |id: &str| {
        keyed(id, "done", "")
            .with_header("retry_topic-backoff-timestamp", far[2..].to_vec())
            .with_header([0xff, 0xfe, 0], "a name that is not UTF-8")
            .with_header("host-failure-code", vec![b'<'; 100_000])
            .with_header("kafka_exception-message", [0xff; 1000])
            .with_header("host-id", "가".repeat(10_000))
    };
    let foreign = evil("foreign").with_header("kafka_dlt-original-consumer-group", "another");
    kafka.produce(&slow.tier(1), [evil("evil"), foreign]);
    let waiting = format!("{}-waiting", slow.guest.topic);
    let key = |offset: i64| {
        let (group, topic) = (&slow.guest.group, slow.tier(1));
        json!({"group": group, "topic": topic, "partition": 0, "offset": offset}).to_string()
    };
    let wrong =
        json!({"number": 1, "message": "x", "action": "give-up", "by": "evil", "reason": "", "at_ms": 0});
    kafka.produce(
        &waiting,
        [
            Record::new("{").with_key("{"),
            Record::new("{}").with_key(key(0)),
            // About another message than the one at this offset.
            Record::new(wrong.to_string()).with_key(key(0)),
            Record::new(wrong.to_string()).with_key(key(i64::MAX)),
            Record::new([0xff; 1000]).with_key([0xff; 1000]),
        ],
    );
    let all = waits(&host, 3);
    let evil =
        all["messages"].as_array().expect("messages").iter().find(|it| it["key"] == "evil").expect("evil");
    assert!(evil["message"].as_str().expect("an id").len() <= 256, "{evil}");
    assert!(evil["code"].as_str().expect("a code").len() <= 64, "{evil}");
    let page = get(host.port, "/waiting").expect("an answer");
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("<<<") && page.text().contains("&#60;&#60;"), "escaped");
    let run = json!({"records": [record(&all, "good"), record(&all, "evil")]});
    let answer = decided(&host, "run-now", &run);
    assert_eq!((&answer["obeyed"], &answer["too_late"]), (&json!(2), &json!(0)), "{answer}");
    eventually(BOUND, || host.handled("good") == 2 && host.handled("evil") == 1);
    waits(&host, 1);
    assert!(slow.dead(kafka).is_empty());
    host.stop();
}

#[test]
fn the_command_line_lists_and_decides() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-cli", 1);
    let host = slow.host(kafka);
    kafka.produce(&slow.guest.topic, ["a", "b", "c"].map(|id| keyed(id, "retry", r#","until":1"#)));
    let all = waits(&host, 3);
    let texts = |output: &Output| {
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (table, _) = texts(&command(&host, &["list"]));
    for text in ["asked-retry", "1h", &record(&all, "a"), "MESSAGES"] {
        assert!(table.contains(text), "{text}: {table}");
    }
    let (text, _) = texts(&command(&host, &["list", "-o", "json", "--code", "asked-*", "--limit", "1"]));
    let listed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&listed["total"], listed["messages"].as_array().map(Vec::len)), (&json!(3), Some(1)));
    let refused = command(&host, &["run-now"]);
    assert_eq!(refused.status.code(), Some(2), "{}", texts(&refused).1);
    assert!(texts(&refused).1.contains("--count 3"), "{}", texts(&refused).1);
    let refused = command(&host, &["give-up", &record(&all, "a")]);
    assert!(texts(&refused).1.contains("requires a reason"), "{}", texts(&refused).1);
    let done = command(&host, &["give-up", &record(&all, "a"), "--reason", "wrong"]);
    assert!(texts(&done).1.contains("give-up 1 message: 1 applied"), "{}", texts(&done).1);
    waits(&host, 2);
    let done = command(&host, &["postpone", "--by", "10m", "--count", "5", "-o", "json"]);
    let answer: Value = serde_json::from_str(&texts(&done).0).expect("JSON");
    assert_eq!(answer["decided"], 2, "{answer}");
    let done = command(&host, &["run-now", "--plugin", &slow.guest.topic, "--count", "2"]);
    assert_eq!(done.status.code(), Some(0), "{}", texts(&done).1);
    eventually(BOUND, || host.handled("b") == 2 && host.handled("c") == 2);
    eventually(BOUND, || slow.dead(kafka) == ["a"]);
    let log = get(host.port, "/api/v1/audit-log").expect("an answer").text();
    assert!(log.contains("\"ada\"") && log.contains("give-up"), "{log}");
    eventually(BOUND, || texts(&command(&host, &["list"])).1.contains("no message is waiting"));
    host.stop();
}

#[test]
fn a_hundred_thousand_messages_are_counted_and_each_is_decided_about_once() {
    let kafka = Kafka::shared();
    let slow = Slow::with_retries(kafka, "wr-many", 4, 1);
    let host = slow.host(kafka);
    let due_ms = base::clock::now_ms() + 3_600_000;
    let record = |n: usize| {
        keyed(&format!("m{n}"), "done", "")
            .on(i32::try_from(n % 4).expect("small"))
            .with_header("retry_topic-attempts", [2])
            .with_header("retry_topic-backoff-timestamp", due_ms.to_be_bytes())
            .with_header("host-failure-code", if n.is_multiple_of(100) { "rare" } else { "usual" })
            .with_header("kafka_exception-message", "the server says: 421 try again later")
    };
    kafka.produce(&format!("{}-retry", slow.guest.topic), (0..100_000).map(record));
    let began = Instant::now();
    eventually(BOUND, || list(&host, "limit=1")["total"] == 100_000);
    println!("counted after {:?}", began.elapsed());
    let began = Instant::now();
    let all = list(&host, "");
    println!("listed in {:?}", began.elapsed());
    let groups: Vec<_> =
        all["groups"].as_array().expect("groups").iter().map(|it| it["messages"].as_u64()).collect();
    assert_eq!(
        (groups, all["messages"].as_array().map(Vec::len)),
        (vec![Some(99_000), Some(1000)], Some(50))
    );
    // Some lie too far behind those that wait, and are given up when reading comes to them.
    let rare = json!({"filter": {"code": "rare"}, "count": 1000, "reason": "x"});
    let answer = decided(&host, "give-up", &rare);
    assert_eq!((&answer["decided"], &answer["too_late"]), (&json!(1000), &json!(0)), "{answer}");
    let answer = decided(&host, "run-now", &json!({"filter": {"code": "usual"}, "count": 99_000}));
    assert_eq!(answer["decided"], 99_000, "{answer}");
    eventually(BOUND, || list(&host, "limit=1")["total"] == 0);
    assert_eq!(slow.dead(kafka).len(), 1000);
    assert_eq!(host.process.count(|line| line.contains("handled id=")), 99_000);
    host.stop();
}
