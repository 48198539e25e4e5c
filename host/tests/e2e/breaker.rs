//! The breaker of a plugin: while it asks for a retry of everything, it is only probed.

use std::time::Duration;

use testkit::{Kafka, Record, eventually, get};

use crate::pauses::{outputs, sum};
use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, file, fresh, sqlite};
use crate::test_desk::now_ms;

/// The duration of an outage.
const OUTAGE: Duration = Duration::from_secs(8);

/// Starts a host with this plugin, which rests after five failures.
fn start(kafka: &Kafka, guest: &Guest, settings: &str) -> Host {
    let name = &guest.topic;
    let text = format!("[[plugin]]\npath = {:?}\ntopic = {name:?}\n{settings}\n", guest.path);
    let (config, store) = (file(&format!("{name}.toml"), text.as_bytes()), sqlite(&fresh(name)));
    let config = config.to_str().expect("UTF-8");
    Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap(), "--store", &store], &[])
}

/// Messages for which the guest asks for a retry until the end of the outage.
fn busy(count: usize) -> impl Iterator<Item = Record> {
    let until = now_ms() + i64::try_from(OUTAGE.as_millis()).expect("short");
    (0..count).map(move |n| {
        Record::new(body(&format!("m{n}"), "busy", &format!(r#","ms":{until}"#))).with_key(format!("k{n}"))
    })
}

#[test]
fn an_outage_behind_a_plugin_costs_no_attempts_and_few_probes() {
    let kafka = Kafka::shared();
    for (name, ordering) in [("br-topics", "unordered"), ("br-key", "key")] {
        let guest = Guest::fast(name);
        let count = 500;
        kafka.create_topic(&guest.topic, 4, &[]);
        let host = start(kafka, &guest, &format!("breaker = 5\nconcurrency = 16\nordering = {ordering:?}"));
        kafka.produce(&guest.topic, busy(count));
        host.process.wait_for(|line| line.contains("asked for a retry too often in a row and rests"), BOUND);
        let text = get(host.port, "/readyz").expect("an answer").text();
        assert!(text.contains("has been resting for") && text.contains("busy"), "{text}");
        let list = outputs(host.port, 0, &["list"]);
        assert!(list.contains("resting") && list.contains("busy"), "{list}");
        let metrics = || get(host.port, "/metrics").expect("an answer").text();
        assert_eq!(sum(&metrics(), "host_plugin_resting{"), 1);
        let calls = host.process.count(|line| line.contains("handled id="));
        host.process.wait_for(|line| line.contains("the plugin works again"), BOUND);
        let probes = host.process.count(|line| line.contains("handled id=")) - calls;
        eventually(BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
        assert_eq!(sum(&metrics(), "host_plugin_resting{"), 0);
        if ordering == "unordered" {
            guest.settle(kafka);
        }
        let all = deliveries(&host.stop());
        assert_eq!(all.len(), count);
        let last = |n: usize| attempts(&all, &format!("m{n}")).last().copied().unwrap_or_default();
        let spent = (0..count).filter(|n| last(*n) > 1).count();
        // The failures before it rested, and none of the probes.
        assert!(spent <= 4, "{ordering}: {spent} messages spent an attempt");
        let given_back: usize = all.values().map(|one| one.len() - 1).sum();
        println!(
            "{ordering}: {given_back} calls were repeated, {spent} spent an attempt, {probes} lines of probes"
        );
        assert!(given_back <= 4 + 16 + 30, "{ordering}: {given_back} calls were repeated");
        assert_eq!(kafka.end_offsets(&guest.dead).iter().sum::<i64>(), 0, "{ordering}");
    }
}

#[test]
fn messages_of_retry_topics_are_not_tried_while_the_plugin_rests() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("br-retry"));
    kafka.create_topic(&guest.topic, 1, &[]);
    // Three messages are in the retry topic when the fourth failure opens the breaker.
    let settings =
        "breaker = 4\nconcurrency = 1\n[plugin.retry]\nretries = 3\ndelay = \"500ms\"\nmultiplier = 1.0";
    let host = start(kafka, &guest, settings);
    kafka.produce(&guest.topic, busy(4));
    host.process.wait_for(|line| line.contains("too often in a row and rests"), BOUND);
    host.process.wait_for(|line| line.contains("the plugin works again"), BOUND);
    eventually(BOUND, || {
        let lines = host.process.lines();
        let all = deliveries(&lines);
        (0..4).all(|n| all.get(&format!("m{n}")).is_some_and(|one| one.len() > 1))
    });
    eventually(BOUND, || {
        kafka.lag(&format!("{}-retry", guest.group), &format!("{}-retry", guest.topic)) == 0
    });
    let all = deliveries(&host.stop());
    (0..3).for_each(|n| assert_eq!(attempts(&all, &format!("m{n}")).last(), Some(&2), "m{n}"));
    assert_eq!(attempts(&all, "m3").last(), Some(&1), "the one that opened the breaker");
    assert_eq!(kafka.end_offsets(&guest.dead).iter().sum::<i64>(), 0);
}

#[test]
fn rejections_and_traps_let_no_plugin_rest() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("br-own"));
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = start(kafka, &guest, "breaker = 2\nconcurrency = 1");
    let action = |n: usize| if n.is_multiple_of(2) { "reject" } else { "trap" };
    kafka.produce(&guest.topic, (0..20).map(|n| Record::new(body(&format!("m{n}"), action(n), ""))));
    eventually(BOUND, || kafka.end_offsets(&guest.dead).iter().sum::<i64>() == 20);
    assert_eq!(host.process.count(|line| line.contains("and rests")), 0);
    host.stop();
}
