//! Two consumer groups on one topic: each has its own retries and dead letters.

use std::collections::HashMap;
use std::process::Command;

use serde_json::Value;
use testkit::{Kafka, Record, binary, eventually, free_port};

use crate::support::{
    BOUND, FAST_TIERS, Guest, Host, attempts, body, deliveries, file, fresh, id_of, sqlite,
};

const MESSAGES: usize = 40;
const GROUP: &str = "kafka_dlt-original-consumer-group";

/// A configuration that runs one component once per group, on the topic of the guest.
fn config(guest: &Guest, name: &str, groups: &[&str]) -> String {
    let path = guest.path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
    let entry = |group: &&str| {
        format!("[[plugin]]\npath = \"{path}\"\ntopic = \"{}\"\ngroup = \"{group}\"\n", guest.topic)
    };
    let lines: String = groups.iter().map(entry).collect();
    let path = file(&format!("{name}.toml"), lines.as_bytes());
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn host(kafka: &Kafka, config: &str) -> Host {
    Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap()], &[])
}

fn ids() -> impl Iterator<Item = String> {
    (0..MESSAGES).map(|number| number.to_string())
}

fn publish(kafka: &Kafka, guest: &Guest) {
    kafka.create_topic(&guest.topic, 2, &[]);
    let record = |id: String| Record::new(body(&id, "retry", "")).with_key(id);
    kafka.produce(&guest.topic, ids().map(record));
}

/// Waits until both groups have no lag. Every retry record and dead letter names its group.
fn check_records(kafka: &Kafka, guest: &Guest, groups: [&str; 2]) {
    let settled = |group: &str| {
        let retries = format!("{group}-retry");
        kafka.lag(group, &guest.topic) == 0
            && guest.retry_topics.iter().all(|topic| kafka.lag(&retries, topic) == 0)
    };
    eventually(BOUND, || groups.iter().all(|group| settled(group)));
    // Each group retries a message once per tier, then dead-letters it: twelve records per message.
    for topic in guest.retry_topics.iter().chain([&guest.dead]) {
        let mut found: HashMap<(String, String), usize> = HashMap::new();
        for record in kafka.read_all(topic) {
            *found.entry((record.header_text(GROUP).unwrap_or_default(), id_of(&record))).or_default() += 1;
        }
        assert_eq!(found.len(), 2 * MESSAGES, "{topic}");
        for (group, id) in groups.iter().flat_map(|group| ids().map(move |id| (*group, id))) {
            assert_eq!(found.get(&(group.to_owned(), id.clone())), Some(&1), "{topic}: {group}, {id}");
        }
    }
    assert_eq!(guest.retry_topics.len(), FAST_TIERS.len());
}

#[test]
fn two_hosts_on_one_topic_separate_their_failures() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("two-hosts");
    let groups = ["two-hosts-a", "two-hosts-b"];
    publish(kafka, &guest);
    let hosts = groups.map(|group| host(kafka, &config(&guest, group, &[group])));
    check_records(kafka, &guest, groups);
    for host in hosts {
        let all = deliveries(&host.stop());
        assert_eq!(all.len(), MESSAGES);
        for id in ids() {
            assert_eq!(attempts(&all, &id), [1, 2, 3, 4, 5, 6], "{id}");
        }
    }
}

#[test]
fn two_groups_in_one_host_separate_their_failures() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("two-groups");
    let groups = ["two-groups-a", "two-groups-b"];
    publish(kafka, &guest);
    let host = host(kafka, &config(&guest, "two-groups", &groups));
    check_records(kafka, &guest, groups);
    let all = deliveries(&host.stop());
    assert_eq!(all.len(), MESSAGES);
    for id in ids() {
        let mut attempts = attempts(&all, &id);
        attempts.sort_unstable();
        assert_eq!(attempts, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], "{id}");
    }
}

/// Runs `host groups describe` and asks the host at this port. Returns standard output and standard error.
fn describe(kafka: &Kafka, group: &str, port: u16, more: &[&str]) -> (String, String) {
    let api = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(binary("host"));
    command.args(["groups", "describe", group, "--bootstrap-servers", kafka.bootstrap(), "--api", &api]);
    let output = command.args(more).env_remove("HOST_TOKEN").output().expect("a command");
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{err}");
    (out, err)
}

#[test]
fn a_group_is_described_with_the_state_of_the_partitions_of_its_host() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("state"));
    kafka.create_topic(&guest.topic, 2, &[]);
    let text = format!(
        "[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\nordering = \"key\"\non-dead = \"hold\"\n",
        guest.path.display(),
        guest.topic
    );
    let config = file("state.toml", text.as_bytes());
    let store = sqlite(&fresh("state"));
    let config = config.to_str().expect("a path in UTF-8");
    let host =
        Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap(), "--store", &store], &[]);
    // More keys wait for retries in partition 0 than a commit has room for; in partition 1, one is held.
    let waiting = (0..400).map(|id: i32| {
        let message = body(&id.to_string(), "retry", r#","after-ms":3600000"#);
        Record::new(message).with_key(id.to_string()).on(0)
    });
    let rejected = Record::new(body("rejected", "reject", "")).with_key("rejected").on(1);
    kafka.produce(&guest.topic, waiting.chain([rejected]));
    let described = || {
        let (json, _) = describe(kafka, &guest.group, host.port, &["-o", "json"]);
        serde_json::from_str::<Value>(&json).expect("JSON")["partitions"].clone()
    };
    eventually(BOUND, || {
        let partitions = described();
        partitions[0]["state"] == "resting" && partitions[0]["lag"] == 400 && partitions[1]["held_keys"] == 1
    });
    let partitions = described();
    let reason = "a commit has no room for more waiting messages of an order by key";
    assert_eq!(partitions[0]["reason"], reason);
    assert!(partitions[0]["since_ms"].is_i64(), "{partitions}");
    assert_eq!((&partitions[1]["state"], &partitions[1]["reason"]), (&"reading".into(), &Value::Null));
    let (table, note) = describe(kafka, &guest.group, host.port, &[]);
    assert!(table.contains("HELD KEYS") && table.contains("resting") && note.is_empty(), "{table}{note}");
    // Without its host, Kafka's side is shown.
    let (table, note) = describe(kafka, &guest.group, free_port(), &[]);
    assert!(table.contains("COMMITTED") && !table.contains("HELD KEYS"), "{table}");
    assert!(table.contains("HELD KEY ") && table.contains("rejected"), "{table}");
    assert!(note.contains("without the state of the partitions") && note.contains("--api URL"), "{note}");
    host.stop();
}
