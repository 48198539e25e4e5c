//! Two consumer groups on one topic: each has its own retries and dead letters.

use std::collections::HashMap;

use testkit::{Kafka, Record};

use crate::support::{BOUND, FAST_TIERS, Guest, Host, attempts, body, deliveries, file, id_of};

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
    testkit::eventually(BOUND, || groups.iter().all(|group| settled(group)));
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
