//! `host dlt replay` and `host dlt replays` on a running host.

use std::time::Duration;

use base::bytes::Bytes;
use desk_api::DeadLetter;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use testkit::{Kafka, Process, eventually};

use crate::dlt::{Desk, dead_letter, texts};
use crate::support::{BOUND, Guest, body};

#[test]
fn a_replay_is_previewed_confirmed_started_and_followed() {
    let guest = Guest::fast("dlt-replays");
    let desk = Desk::start(&guest, &[]);
    desk.import(&(0..9).map(|at| dead_letter(&guest, at, "bad-address")).collect::<Vec<_>>());
    other_reader(&guest.topic);
    // Too slow to end during the test, though each resumption sends one at once; failures do not stop it.
    let slow = ["--rate", "0.01", "--max-failures", "100"];
    let asked = [&["replay", "--code", "bad-address"], &slow[..]].concat();
    let warned = format!(
        "group other-of-{} also reads {} and will receive these messages again; --to retry sends them to {} only",
        guest.topic, guest.topic, guest.group
    );
    // A preview waits for Kafka for a moment only, and the broker is busy with other tests.
    eventually(BOUND, || texts(&desk.run(&asked, b"")).1.contains(&warned));
    desk.fails(&asked, 2, &[&format!("9 dead letters to {}", guest.topic), "there is no terminal"]);
    desk.fails(
        &["replay", "--code", "smtp-421"],
        1,
        &["no dead letter matches", "codes of open dead letters: bad-address"],
    );
    desk.fails(&["replay", "--all", "--rate", "0"], 2, &["rate"]);
    let (first, printed) = desk.ok(&[&asked[..], &["--to", "retry", "--yes", "--detach"]].concat());
    assert!(
        printed.contains(&format!("9 dead letters to {}", guest.retry_topics[0]))
            && !printed.contains("also reads"),
        "{printed}"
    );
    desk.ok(&["replays", "cancel", first.trim()]);
    let (id, _) = desk.ok(&[&asked[..], &["--yes", "--detach", "--reason", "fixed"]].concat());
    let id = id.trim();
    let (replays, _) = desk.ok(&["replays"]);
    assert!(
        replays.lines().nth(1).is_some_and(|row| row.starts_with(&id[..8]) && row.ends_with("kim   fixed")),
        "{replays}"
    );
    desk.ok(&["replays", "pause", id]);
    desk.fails(&["replays", "pause", id], 1, &["already paused"]);
    let paused = desk.json(&["replays", "show", &id[..8]]);
    assert_eq!(
        (&paused["state"], &paused["plan"]["ramp"]),
        (&"paused".into(), &serde_json::json!([1, 2, 5, 20, 100, 500, 2000]))
    );
    desk.ok(&["replays", "resume", id]);
    let api = format!("http://127.0.0.1:{}", desk.host.port);
    let mut following = Process::start("host", &["dlt", "--api", &api, "replays", "follow", id]);
    following.wait_for(|line| line.starts_with("following replay"), BOUND);
    following.signal("INT");
    assert_eq!(following.wait(Duration::from_secs(30)).code(), Some(1));
    let printed = following.lines().join("\n");
    assert!(printed.contains(&format!("host dlt replays cancel {id}")), "{printed}");
    desk.ok(&["replays", "cancel", id]);
    desk.fails(&["replays", "follow", id], 1, &["is cancelled"]);
    desk.fails(&["replays", "show", "zz"], 2, &["not an id"]);
    desk.host.stop();
}

/// A stopped group with committed offsets of the topic.
fn other_reader(topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", Kafka::shared().bootstrap()).set("group.id", format!("other-of-{topic}"));
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(0)).expect("an offset");
    consumer.commit(&offsets, CommitMode::Sync).expect("committed");
}

/// Dead letters whose messages the guest rejects again.
fn rejected(guest: &Guest, count: i64) -> Vec<DeadLetter> {
    let one = |offset: i64| {
        let value = Bytes(body(&offset.to_string(), "reject", "").into_bytes());
        DeadLetter { value: Some(value), ..dead_letter(guest, offset, "asked-reject") }
    };
    (0..count).map(one).collect()
}

#[test]
fn the_failure_limit_stops_a_replay_within_its_only_step() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("dlt-within"));
    let desk = Desk::start(&guest, &[]);
    desk.import(&rejected(&guest, 171));
    let output = desk.run(&["replay", "--all", "--at-once", "--max-failures", "50", "--yes"], b"");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("failed, more than 50 %") && stderr.contains("host dlt replays resume"),
        "{stderr}"
    );
    let sent = kafka.read_all(&guest.topic).len();
    assert!((10..=20).contains(&sent), "{sent} of 171 were sent");
    desk.host.stop();
}

#[test]
fn a_replay_whose_dead_letters_fail_again_has_not_succeeded() {
    let guest = Guest::fast("dlt-again");
    let desk = Desk::start(&guest, &[]);
    let some = rejected(&guest, 2);
    desk.import(&some);
    let args = ["replay", "--all", "--max-failures", "100", "--yes"];
    let output = desk.run(&args, b"");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("2 of 2 dead letters failed again"), "{stderr}");
    // The new dead letters arrive through the dead-letter topic.
    eventually(BOUND, || desk.json(&["list", "--state", "open"]).as_array().map(Vec::len) == Some(2));
    let open = desk.json(&["list", "--state", "open"]);
    let again = |id: &str| {
        let shown = desk.json(&["show", id]);
        (
            shown["failed_again_of"].as_str().map(str::to_owned),
            shown["outcome"]["failed_as"].as_str().map(str::to_owned),
        )
    };
    let (new, old) = (open[0]["id"].as_str().expect("an id"), &some);
    let origin = again(new).0.expect("an origin");
    assert!(old.iter().any(|one| one.id == origin), "{origin}");
    assert_eq!(again(&origin).1.as_deref(), Some(new));
    let (shown, _) = desk.ok(&["show", &origin[..8]]);
    assert!(shown.contains(&format!("outcome    failed again, now {}", &new[..8])), "{shown}");
    let (replays, _) = desk.ok(&["replays"]);
    let row = replays.lines().nth(1).expect("a row");
    assert!(row.contains("done, with failures"), "{replays}");
    let (shown, _) = desk.ok(&["replays", "show", &row[..8]]);
    assert!(shown.contains(&format!("{}     failed again, now {}", &origin[..8], &new[..8])), "{shown}");
    desk.host.stop();
}
