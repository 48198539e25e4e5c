//! Retries that wait are listed, run now, postponed and given up.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Kafka, Record, eventually, get, post};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, file, fresh, id_of, sqlite};

/// Long enough to see a message that is handled by mistake.
pub const QUIET: Duration = Duration::from_secs(2);
/// A killed host leaves its groups after this time.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];

/// A guest whose retries wait for an hour and then for two, and the file of its configuration.
pub struct Slow {
    pub guest: Guest,
    config: String,
    store: String,
}

impl Slow {
    pub fn new(kafka: &Kafka, name: &'static str, partitions: usize) -> Self {
        Self::with_retries(kafka, name, partitions, 3)
    }

    pub fn with_retries(kafka: &Kafka, name: &'static str, partitions: usize, retries: usize) -> Self {
        let guest = Guest::fast(name);
        kafka.create_topic(&guest.topic, partitions, &[]);
        let text = format!(
            "[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\n[plugin.retry]\nretries = {retries}\ndelay = \"1h\"\nmultiplier = 2.0\n\
             max-delay = \"2h\"\n[[plugin.rule]]\ncode = \"asked-reject\"\naction = \"retry\"\n",
            guest.path.display(),
            guest.topic
        );
        let config = file(&format!("{name}.toml"), text.as_bytes());
        let (config, store) = (config.to_str().expect("UTF-8").to_owned(), sqlite(&fresh(name)));
        Self { guest, config, store }
    }

    pub fn host(&self, kafka: &Kafka) -> Host {
        self.host_with(kafka, &["--store", &self.store])
    }

    pub fn host_with(&self, kafka: &Kafka, more: &[&str]) -> Host {
        let own = ["--config", &self.config, "--bootstrap-servers", kafka.bootstrap()];
        Host::run(&[&own[..], &SESSION, more].concat(), &[])
    }

    pub fn tier(&self, number: usize) -> String {
        format!("{}-retry-{}", self.guest.topic, 3_600_000 * number)
    }

    /// The ids of the dead letters in Kafka, in order.
    pub fn dead(&self, kafka: &Kafka) -> Vec<String> {
        let mut ids: Vec<String> = kafka.read_all(&self.guest.dead).iter().map(id_of).collect();
        ids.sort();
        ids
    }
}

pub fn list(host: &Host, query: &str) -> Value {
    let answer = get(host.port, &format!("/api/v1/waiting?{query}")).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Waits until this number of messages wait, and returns the list.
#[track_caller]
pub fn waits(host: &Host, count: u64) -> Value {
    eventually(BOUND, || list(host, "limit=500")["total"] == count);
    list(host, "limit=500")
}

/// The record of the message whose value has this id. Its key is the id.
#[track_caller]
pub fn record(list: &Value, id: &str) -> String {
    let messages = list["messages"].as_array().expect("messages");
    let found = messages.iter().find(|message| message["key"] == id);
    found.unwrap_or_else(|| panic!("no {id}: {list}"))["record"].as_str().expect("a record").to_owned()
}

pub fn decide(host: &Host, action: &str, request: &Value) -> (u16, Value) {
    let answer =
        post(host.port, &format!("/api/v1/waiting/{action}"), &request.to_string()).expect("an answer");
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text())))
}

/// A decision that must be stored.
#[track_caller]
pub fn decided(host: &Host, action: &str, request: &Value) -> Value {
    let (status, answer) = decide(host, action, request);
    assert_eq!(status, 200, "{answer}");
    answer
}

pub fn keyed(id: &str, action: &str, more: &str) -> Record {
    Record::new(body(id, action, more)).with_key(id)
}

/// Postpones a message, and then runs it after all: the last decision counts.
fn postponed_and_run(host: &Host, all: &Value) {
    let fourth = record(all, "fourth");
    let later = decided(host, "postpone", &json!({"records": [fourth], "by_ms": 7_200_000}));
    assert_eq!(later["obeyed"], 1);
    let left = waits(host, 3);
    let due = |list: &Value, id: &str| {
        let messages = list["messages"].as_array().expect("messages").clone();
        messages.iter().find(|it| it["key"] == id).expect("a message")["due_ms"].as_i64().expect("a time")
    };
    assert_eq!(due(&left, "fourth"), due(all, "fourth") + 7_200_000);
    let decision = left["messages"].as_array().expect("messages").last().expect("one")["decision"].clone();
    assert_eq!((&decision["action"], &decision["state"]), (&json!("postpone"), &json!("obeyed")), "{left}");
    assert_eq!(decided(host, "run-now", &json!({"records": [fourth]}))["obeyed"], 1);
    eventually(BOUND, || host.handled("fourth") == 2);
}

#[test]
fn each_action_applies_to_one_message_and_the_others_wait() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-each", 1);
    let host = slow.host(kafka);
    let ids = ["first", "second", "third", "fourth", "fifth"];
    kafka.produce(&slow.guest.topic, ids.map(|id| keyed(id, "retry", r#","until":1"#)));
    let all = waits(&host, 5);
    let group = &all["groups"][0];
    assert_eq!(
        (&group["plugin"], &group["code"]),
        (&json!(slow.guest.topic), &json!("asked-retry")),
        "{all}"
    );
    assert_eq!((&group["topic"], &group["delay_ms"]), (&json!(slow.tier(1)), &json!(3_600_000)));
    assert_eq!((&group["messages"], &group["recent"]), (&json!(5), &json!(5)));
    assert_eq!(all["messages"][0]["attempt"], 2);
    assert!(
        !kafka
            .cli("topics", &["--bootstrap-server", kafka.bootstrap(), "--list"])
            .contains("wr-each-waiting"),
        "created with a decision"
    );
    // In the middle of the partition.
    let run = decided(&host, "run-now", &json!({"records": [record(&all, "third")]}));
    assert_eq!((&run["decided"], &run["obeyed"]), (&json!(1), &json!(1)), "{run}");
    eventually(BOUND, || host.handled("third") == 2);
    let given = json!({"records": [record(&all, "second")], "reason": "the template is wrong"});
    assert_eq!(decided(&host, "give-up", &given)["obeyed"], 1);
    eventually(BOUND, || slow.dead(kafka) == ["second"]);
    let dead = &kafka.read_all(&slow.guest.dead)[0];
    assert_eq!(dead.header_text("host-failure-code").as_deref(), Some("given-up"));
    assert_eq!(dead.header_text("host-attempts").as_deref(), Some("1"), "no other attempt");
    let detail = dead.header_text("kafka_exception-message").expect("a detail");
    assert!(detail.starts_with("given up by api: the template is wrong (after asked-retry: "), "{detail}");
    postponed_and_run(&host, &all);
    waits(&host, 2);
    sleep(QUIET);
    assert_eq!(["first", "second", "fifth"].map(|id| host.handled(id)), [1, 1, 1]);
    let log = get(host.port, "/api/v1/audit-log").expect("an answer").text();
    for text in ["run-now", "postpone", "give-up", "the template is wrong", &slow.guest.topic] {
        assert!(log.contains(text), "{text}: {log}");
    }
    // A restart repeats none of what is done, and what waits goes on waiting.
    host.stop();
    let host = slow.host(kafka);
    waits(&host, 2);
    sleep(QUIET);
    assert_eq!(ids.map(|id| host.handled(id)), [0; 5]);
    assert_eq!(slow.dead(kafka), ["second"]);
    host.stop();
}

#[test]
fn a_message_that_is_postponed_for_a_moment_is_handled_then() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-until", 1);
    let host = slow.host(kafka);
    kafka.produce(&slow.guest.topic, [keyed("a", "retry", r#","until":1"#)]);
    let all = waits(&host, 1);
    let now_ms = base::clock::now_ms();
    let bad = |more: Value| {
        let mut request = json!({"records": [record(&all, "a")]});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        decide(&host, "postpone", &request).0
    };
    assert_eq!(bad(json!({})), 400);
    assert_eq!(bad(json!({"until_ms": now_ms - 1})), 400);
    assert_eq!(bad(json!({"until_ms": now_ms + 90_000_000})), 400);
    assert_eq!(bad(json!({"by_ms": 0})), 400);
    assert_eq!(bad(json!({"by_ms": 1, "until_ms": now_ms + 5000})), 400);
    let until_ms = base::clock::now_ms() + 5000;
    assert_eq!(bad(json!({"until_ms": until_ms})), 200);
    eventually(BOUND, || host.handled("a") == 2);
    assert!(base::clock::now_ms() >= until_ms, "early");
    host.stop();
}

#[test]
fn all_that_match_over_tiers_and_partitions_are_given_up_once() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-all", 4);
    let host = slow.host(kafka);
    let count = 400;
    let id = |n: usize| format!("m{n}");
    let action = |n: usize| if n.is_multiple_of(4) { "reject" } else { "retry" };
    kafka.produce(&slow.guest.topic, (0..count).map(|n| keyed(&id(n), action(n), "")));
    waits(&host, 400);
    // Half of those that were rejected go on to the second tier.
    let rejected = list(&host, "code=asked-rej*&limit=50");
    assert_eq!(rejected["total"], 100);
    let some: Vec<&Value> =
        rejected["messages"].as_array().expect("messages").iter().map(|it| &it["record"]).collect();
    assert_eq!(decided(&host, "run-now", &json!({"records": some}))["decided"], 50);
    eventually(BOUND, || list(&host, &format!("topic={}", slow.tier(2)))["total"] == 50);
    let all = waits(&host, 400);
    assert_eq!(all["groups"].as_array().expect("groups").len(), 3, "{}", all["groups"]);
    let filter = json!({"code": "asked-reject"});
    let (status, refused) = decide(&host, "give-up", &json!({"filter": filter, "count": 99, "reason": "x"}));
    assert_eq!(status, 409, "{refused}");
    assert!(refused["detail"].as_str().expect("a detail").contains("100 messages match"), "{refused}");
    assert_eq!(decide(&host, "give-up", &json!({"filter": filter, "count": 100})).0, 400, "no reason");
    assert_eq!(
        decide(&host, "give-up", &json!({"filter": filter, "reason": "x"})).0,
        400,
        "nothing selected"
    );
    let answer = decided(&host, "give-up", &json!({"filter": filter, "count": 100, "reason": "x"}));
    assert_eq!((&answer["decided"], &answer["obeyed"]), (&json!(100), &json!(100)), "{answer}");
    waits(&host, 300);
    let expected: Vec<String> = {
        let mut ids: Vec<String> = (0..count).filter(|n| n.is_multiple_of(4)).map(id).collect();
        ids.sort();
        ids
    };
    eventually(BOUND, || slow.dead(kafka).len() >= 100);
    let dead = slow.dead(kafka);
    assert_eq!(dead, expected, "each once");
    let answer = decided(&host, "run-now", &json!({"filter": {}, "count": 1000}));
    assert_eq!(answer["decided"], 300);
    eventually(BOUND, || list(&host, &format!("topic={}", slow.tier(2)))["total"] == 300);
    // Decisions that are done leave no records.
    let waiting = format!("{}-waiting", slow.guest.topic);
    eventually(BOUND, || {
        let mut last = std::collections::HashMap::new();
        for record in kafka.read_all(&waiting) {
            last.insert(record.key, record.value.is_some());
        }
        last.values().all(|is_there| !is_there)
    });
    let lines = host.stop();
    let all = deliveries(&lines);
    for n in (0..count).filter(|n| !n.is_multiple_of(4)) {
        assert_eq!(attempts(&all, &id(n)), [1, 2], "{n}");
    }
}

#[test]
fn messages_are_given_up_while_their_plugin_is_paused() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-pause", 1);
    let host = slow.host(kafka);
    kafka.produce(&slow.guest.topic, ["a", "b"].map(|id| keyed(id, "retry", r#","until":1"#)));
    let all = waits(&host, 2);
    let pause = format!("/api/v1/plugins/{}/pause", slow.guest.topic);
    assert_eq!(post(host.port, &pause, r#"{"reason": "x"}"#).expect("an answer").status, 200);
    let given = json!({"records": [record(&all, "a")], "reason": "x"});
    let answer = decided(&host, "give-up", &given);
    assert_eq!(answer["decided"], 1);
    eventually(BOUND, || slow.dead(kafka) == ["a"]);
    decided(&host, "run-now", &json!({"records": [record(&all, "b")]}));
    sleep(QUIET);
    assert_eq!(host.handled("b"), 1, "the plugin is paused");
    let resume = format!("/api/v1/plugins/{}/resume", slow.guest.topic);
    assert_eq!(post(host.port, &resume, "{}").expect("an answer").status, 200);
    eventually(BOUND, || host.handled("b") == 2);
    assert_eq!(host.handled("a"), 1);
    host.stop();
}

#[test]
fn a_topic_that_only_has_the_name_of_a_topic_of_decisions_is_left_alone() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-foreign", 1);
    // Somebody else's, with one partition as a topic of decisions has.
    let foreign = format!("{}-waiting", slow.guest.topic);
    kafka.create_topic(&foreign, 1, &[("cleanup.policy", "delete")]);
    kafka.produce(&foreign, ["theirs"].map(|text| Record::new(text.to_owned()).with_key("k")));
    let host = slow.host(kafka);
    host.process.wait_for(|line| line.contains("so it is not the topic of decisions about retries"), BOUND);
    kafka.produce(&slow.guest.topic, [keyed("a", "retry", r#","until":1"#)]);
    let all = waits(&host, 1);
    let (status, refused) = decide(&host, "run-now", &json!({"records": [record(&all, "a")]}));
    assert_eq!(status, 409, "{refused}");
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(detail.contains(&format!("topic {foreign} is used otherwise")), "{detail}");
    assert!(!get(host.port, "/api/v1/audit-log").expect("an answer").text().contains("run-now"));
    assert_eq!(kafka.read_all(&foreign).len(), 1, "nothing is published to it");
    host.stop();
}

#[test]
fn a_decision_that_comes_too_late_is_answered_so() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-late", 1);
    let host = slow.host(kafka);
    kafka.produce(
        &slow.guest.topic,
        // `wait` sleeps at its second delivery, and is done then.
        [keyed("gone", "retry", r#","until":1"#), keyed("busy", "retry", r#","until":1"#)],
    );
    let all = waits(&host, 2);
    let (gone, busy) = (record(&all, "gone"), record(&all, "busy"));
    decided(&host, "run-now", &json!({"records": [gone]}));
    waits(&host, 1);
    let answer = decided(&host, "give-up", &json!({"records": [gone, busy], "reason": "x"}));
    assert_eq!((&answer["decided"], &answer["gone"]), (&json!(1), &json!(1)), "{answer}");
    eventually(BOUND, || slow.dead(kafka) == ["busy"]);
    for bad in ["x", "wr-late", "wr-late/0", "wr-late/0/x", "wr-late/0/0/0"] {
        assert_eq!(decide(&host, "run-now", &json!({"records": [bad]})).0, 400, "{bad}");
    }
    let other = decided(&host, "run-now", &json!({"records": ["other-topic/0/0"]}));
    assert_eq!((&other["decided"], &other["gone"]), (&json!(0), &json!(1)), "{other}");
    host.stop();
}

#[test]
fn a_message_in_progress_is_not_given_up() {
    let kafka = Kafka::shared();
    let slow = Slow::new(kafka, "wr-busy", 1);
    let host = slow.host(kafka);
    kafka.produce(&slow.guest.topic, [keyed("a", "retry", r#","until":1"#)]);
    waits(&host, 1);
    host.stop();
    // A message that is handled slowly, in the retry topic itself.
    kafka.produce(&slow.tier(1), [keyed("slow", "sleep", r#","ms":6000"#)]);
    let host = slow.host(kafka);
    eventually(BOUND, || list(&host, "")["total"] == 2);
    let all = list(&host, "");
    sleep(Duration::from_millis(500));
    let answer = decided(&host, "give-up", &json!({"records": [record(&all, "slow")], "reason": "x"}));
    assert_eq!((&answer["decided"], &answer["too_late"]), (&json!(1), &json!(1)), "{answer}");
    waits(&host, 1);
    assert!(slow.dead(kafka).is_empty());
    host.stop();
}
