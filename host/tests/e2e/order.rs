//! Messages that are handled in order, and the metadata of commits.

use std::path::PathBuf;
use std::time::Duration;

use testkit::{Kafka, Process, Record, eventually, get};

use crate::support::{BOUND, Delivery, Guest, attempts, between, body, deliveries, file, id_of};

/// A host with one guest and additional lines in its `[[plugin]]`.
struct Ordered {
    guest: Guest,
    config: PathBuf,
}

impl Ordered {
    fn new(kafka: &Kafka, name: &str, lines: &str) -> Self {
        let guest = Guest::fast(name);
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[kafka]\nbootstrap-servers = \"{}\"\n\
             [[plugin]]\npath = \"{}\"\ntopic = \"{}\"\n{lines}\n",
            kafka.bootstrap(),
            guest.path.display(),
            guest.topic
        );
        let config = file(&format!("{}.toml", guest.topic), text.as_bytes());
        kafka.create_topic(&guest.topic, 1, &[]);
        Self { guest, config }
    }

    fn start(&self) -> Process {
        self.start_with(&["-X", "group.instance.id=one"])
    }

    fn start_with(&self, args: &[&str]) -> Process {
        let config = self.config.to_str().expect("a path in UTF-8");
        let process = Process::start("host", &[&["--config", config], args].concat());
        process.wait_for(|line| line.starts_with("Ready in"), BOUND);
        process
    }

    fn committed(&self, kafka: &Kafka) -> Option<i64> {
        kafka.committed(&self.guest.group, &self.guest.topic)[0]
    }

    fn settle(&self, kafka: &Kafka) {
        eventually(BOUND, || kafka.lag(&self.guest.group, &self.guest.topic) == 0);
    }
}

fn stop(mut process: Process) -> Vec<String> {
    process.terminate();
    assert_eq!(process.wait(BOUND).code(), Some(0), "{}", process.lines().join("\n"));
    process.lines()
}

fn kill(mut process: Process) -> Vec<String> {
    process.kill();
    process.wait(BOUND);
    process.lines()
}

fn handled(process: &Process, id: &str) -> usize {
    process.count(|line| line.contains(&format!("handled id={id} ")))
}

fn of_key(id: &str, action: &str, more: &str) -> Record {
    let key = id.split('-').next().unwrap_or_default();
    Record::new(body(id, action, more)).with_key(key)
}

#[test]
fn messages_behind_a_failed_one_of_their_key_wait_and_other_keys_do_not() {
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "in-order", "ordering = \"key\"\nretry = { delay = \"200ms\" }");
    let host = ordered.start();
    let records = [
        of_key("a-1", "retry", r#","until":2"#),
        of_key("a-2", "done", ""),
        of_key("b-1", "done", ""),
        of_key("a-3", "reject", ""),
        of_key("a-4", "done", ""),
        Record::new(body("none-1", "retry", r#","until":1"#)),
        Record::new(body("none-2", "done", "")),
    ];
    kafka.produce(&ordered.guest.topic, records);
    ordered.settle(kafka);
    let all = deliveries(&stop(host));
    assert_eq!(attempts(&all, "a-1"), [1, 2, 3]);
    let last = |id: &str| all[id].last().map(|delivery: &Delivery| delivery.at_us).expect("delivered");
    assert!(last("a-1") < last("a-2") && last("a-2") < last("a-3") && last("a-3") < last("a-4"));
    for (quick, slow) in [("b-1", "a-1"), ("none-2", "none-1")] {
        assert!(last(quick) < last(slow), "{quick} waited for {slow}");
    }
    let waits: Vec<i64> = all["a-1"].windows(2).map(|pair| pair[1].at_us - pair[0].at_us).collect();
    assert!(waits[0] >= 200_000 && waits[1] >= 400_000, "retried after {waits:?} us");
    let dead = kafka.read_all(&ordered.guest.dead);
    assert_eq!(dead.iter().map(id_of).collect::<Vec<_>>(), ["a-3"]);
    assert!(
        !kafka.cli("topics", &["--bootstrap-server", kafka.bootstrap(), "--list"]).contains("in-order-retry")
    );
}

#[test]
fn with_ordering_by_partition_one_message_is_in_flight() {
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "in-a-row", "ordering = \"partition\"\nretry = { delay = \"50ms\" }");
    let host = ordered.start();
    let tasks = ["retry", "done", "reject", "retry", "done"];
    let records =
        tasks.iter().enumerate().map(|(id, task)| Record::new(body(&id.to_string(), task, r#","until":2"#)));
    kafka.produce(&ordered.guest.topic, records.collect::<Vec<_>>());
    ordered.settle(kafka);
    let lines = stop(host);
    let order: Vec<String> = lines.iter().filter_map(|line| id_in(line)).collect();
    assert_eq!(order, ["0", "0", "0", "1", "2", "3", "3", "3", "4"]);
}

fn id_in(line: &str) -> Option<String> {
    let rest = line.split_once("plugin: handled id=")?.1;
    rest.split(' ').next().map(str::to_owned)
}

/// Attempts, due times and completed offsets are stored with the group, for any later member.
#[test]
fn a_restart_continues_the_attempts_of_a_failed_message() {
    let kafka = Kafka::shared();
    let retry = "ordering = \"key\"\nretry = { delay = \"2s\", multiplier = 1.0, retries = 3 }";
    let ordered = Ordered::new(kafka, "resumes", retry);
    let host = ordered.start();
    let records = [
        of_key("a-1", "retry", ""),
        of_key("a-2", "done", ""),
        of_key("b-1", "done", ""),
        of_key("c-1", "done", ""),
    ];
    kafka.produce(&ordered.guest.topic, records);
    eventually(BOUND, || handled(&host, "a-1") == 2 && handled(&host, "c-1") == 1);
    let mut lines = stop(host);
    assert_eq!(ordered.committed(kafka), Some(0));
    let host = ordered.start();
    ordered.settle(kafka);
    lines.extend(stop(host));
    let all = deliveries(&lines);
    assert_eq!(attempts(&all, "a-1"), [1, 2, 3, 4]);
    for pair in all["a-1"].windows(2) {
        assert!(pair[1].at_us - pair[0].at_us >= 2_000_000, "retried before its due time");
    }
    for id in ["a-2", "b-1", "c-1"] {
        assert_eq!(attempts(&all, id), [1], "{id}");
    }
    assert_eq!(kafka.read_all(&ordered.guest.dead).len(), 1);
}

impl Ordered {
    /// Runs `host groups` with the group and these arguments.
    fn groups(&self, command: &str, args: &[&str]) -> (Option<i32>, String) {
        let mut all = vec!["groups", command, &self.guest.group];
        all.extend(args);
        all.extend(["--bootstrap-servers", Kafka::shared().bootstrap()]);
        let mut process = Process::start("host", &all);
        let code = process.wait(BOUND).code();
        (code, process.lines().join("\n"))
    }

    fn release(&self, key: &str) -> (Option<i32>, String) {
        self.groups("release", &["--topic", &self.guest.topic, "--key", key])
    }

    /// Ids and failure codes of the dead letters.
    fn dead_letters(&self, kafka: &Kafka) -> Vec<(String, String)> {
        let code = |record: &Record| record.header_text("host-failure-code").expect("a code");
        kafka.read_all(&self.guest.dead).iter().map(|record| (id_of(record), code(record))).collect()
    }
}

fn held(id: &str) -> (String, String) {
    (id.to_owned(), "follows-dead-letter".to_owned())
}

#[test]
fn messages_behind_a_dead_letter_are_held_until_their_key_is_released_while_the_host_runs() {
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "holds", "ordering = \"key\"\non-dead = \"hold\"");
    let Guest { topic, .. } = &ordered.guest;
    let host = ordered.start();
    kafka.produce(topic, [of_key("a-1", "reject", ""), of_key("a-2", "done", ""), of_key("b-1", "done", "")]);
    ordered.settle(kafka);
    // Held over a kill, too.
    let mut lines = kill(host);
    let host = ordered.start();
    kafka.produce(topic, [of_key("a-3", "done", "")]);
    ordered.settle(kafka);
    let rejected = ("a-1".to_owned(), "asked-reject".to_owned());
    assert_eq!(ordered.dead_letters(kafka), [rejected, held("a-2"), held("a-3")]);
    let (code, output) = ordered.release("b");
    assert!(code == Some(1) && output.contains("holds no such key"), "{output}");
    let (_, output) = ordered.groups("describe", &[]);
    assert!(output.contains("HELD KEY") && output.contains("asked-reject"), "{output}");
    let (code, output) = ordered.release("a");
    assert!(code == Some(0) && output.contains("released 1 key of"), "{output}");
    let (_, output) = ordered.groups("describe", &[]);
    assert!(!output.contains("asked-reject"), "{output}");
    // The running host reads it in milliseconds, and its gauges follow after a second.
    let line = host.wait_for(|line| line.starts_with("  health"), BOUND);
    let port =
        between(&line, "http://127.0.0.1:", "/readyz").and_then(|port| port.parse().ok()).expect("a port");
    let gauge = format!("host_held_keys{{group=\"{}\"}} 0", ordered.guest.group);
    eventually(BOUND, || get(port, "/metrics").is_ok_and(|metrics| metrics.text().contains(&gauge)));
    kafka.produce(topic, [of_key("a-4", "done", "")]);
    ordered.settle(kafka);
    lines.extend(stop(host));
    assert_eq!(ordered.dead_letters(kafka).len(), 3);
    let all = deliveries(&lines);
    for (id, times) in [("a-1", 1), ("a-2", 0), ("a-3", 0), ("a-4", 1), ("b-1", 1)] {
        assert_eq!(attempts(&all, id).len(), times, "{id}");
    }
}

/// What a kill before a commit does by chance, a group without commits does always.
#[test]
fn a_message_that_was_handled_before_its_key_was_held_is_no_dead_letter_if_it_is_delivered_again() {
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "held-again", "ordering = \"key\"\non-dead = \"hold\"");
    let Guest { topic, group, .. } = &ordered.guest;
    let host = ordered.start_with(&[]);
    kafka.produce(topic, [of_key("a-1", "done", ""), of_key("a-2", "reject", ""), of_key("a-3", "done", "")]);
    ordered.settle(kafka);
    let mut lines = stop(host);
    kafka.delete_group(group);
    let host = ordered.start_with(&[]);
    ordered.settle(kafka);
    lines.extend(stop(host));
    let rejected = ("a-2".to_owned(), "asked-reject".to_owned());
    assert_eq!(ordered.dead_letters(kafka), [rejected, held("a-3"), held("a-2"), held("a-3")]);
    let all = deliveries(&lines);
    assert_eq!(["a-1", "a-2", "a-3"].map(|id| attempts(&all, id).len()), [2, 1, 0]);
}

/// A commit had room for about 130 keys; then its partition stopped.
#[test]
fn a_partition_goes_on_behind_any_number_of_held_keys() {
    const KEYS: usize = 1_000;
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "many-held", "ordering = \"key\"\non-dead = \"hold\"");
    let topic = &ordered.guest.topic;
    let host = ordered.start();
    let of = |round: usize, mode: &'static str| {
        (0..KEYS)
            .map(move |key| Record::new(body(&format!("{round}-{key}"), mode, "")).with_key(key.to_string()))
    };
    kafka.produce(topic, of(1, "reject"));
    ordered.settle(kafka);
    let mut lines = stop(host);
    // Read from the topic by the next host.
    let host = ordered.start();
    kafka.produce(topic, of(2, "done"));
    kafka.produce(topic, [of_key("other", "done", "")]);
    ordered.settle(kafka);
    lines.extend(stop(host));
    let dead = ordered.dead_letters(kafka);
    let follows = dead.iter().filter(|(_, code)| code == "follows-dead-letter").count();
    assert_eq!((dead.len(), follows), (2 * KEYS, KEYS));
    assert_eq!(attempts(&deliveries(&lines), "other").len(), 1);
    let (code, output) = ordered.groups("release", &["--topic", topic, "--all"]);
    assert!(code == Some(0) && output.contains("released 1000 keys of"), "{output}");
}

/// Held keys are the only copy of what an order has to wait for.
#[test]
fn a_topic_of_held_keys_from_which_kafka_removes_records_is_refused() {
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "kept-held", "ordering = \"key\"\non-dead = \"hold\"");
    kafka.create_topic(&format!("{}-held", ordered.guest.topic), 1, &[("cleanup.policy", "compact,delete")]);
    let config = ordered.config.to_str().expect("a path in UTF-8");
    let mut process = Process::start("host", &["--config", config]);
    let (code, output) = (process.wait(BOUND).code(), process.lines().join("\n"));
    assert!(code == Some(2) && output.contains("is not compacted alone"), "{code:?} {output}");
}

/// Without ordering, too, completed offsets behind an incomplete message survive a crash.
#[test]
fn a_kill_repeats_only_calls_in_flight() {
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "no-repeat", "");
    let topic = &ordered.guest.topic;
    let host = ordered.start();
    kafka.produce(topic, [Record::new(body("slow", "sleep", r#","ms":8000"#))]);
    kafka.produce(topic, (0..500).map(|id| Record::new(body(&format!("quick-{id}"), "done", ""))));
    let quick = || host.count(|line| line.contains("handled id=quick-"));
    eventually(BOUND, || quick() == 500);
    // More than two commit intervals. The slow call still runs.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(ordered.committed(kafka), Some(0));
    let mut lines = kill(host);
    let host = ordered.start();
    ordered.settle(kafka);
    lines.extend(stop(host));
    let all = deliveries(&lines);
    let repeated: Vec<&String> =
        all.iter().filter(|(_, deliveries)| deliveries.len() > 1).map(|(id, _)| id).collect();
    assert_eq!(repeated, ["slow"]);
    assert_eq!(all.len(), 501);
}

/// A change to ordering requires empty retry topics.
#[test]
fn ordering_is_refused_while_retry_topics_hold_messages() {
    let kafka = Kafka::shared();
    let slow = "retry = { delay = \"1h\", multiplier = 1.0, retries = 2 }";
    let unordered = Ordered::new(kafka, "leftover", slow);
    let host = unordered.start();
    kafka.produce(&unordered.guest.topic, [Record::new(body("waits", "retry", ""))]);
    unordered.settle(kafka);
    stop(host);
    let text = std::fs::read_to_string(&unordered.config).expect("the configuration");
    let config = file("leftover-in-order.toml", format!("{text}ordering = \"key\"\n").as_bytes());
    let mut host = Process::start("host", &["--config", config.to_str().expect("a path in UTF-8")]);
    let code = host.wait(BOUND).code();
    let output = host.lines().join("\n");
    assert!(code == Some(1) && output.contains("still holds 1 messages"), "{code:?}: {output}");
}

#[test]
fn one_message_that_waits_holds_back_no_other_key() {
    const OTHERS: usize = 12_000;
    let kafka = Kafka::shared();
    let ordered = Ordered::new(kafka, "stall", "ordering = \"key\"");
    let record = |id: &str, action: &str, more: &str| Record::new(body(id, action, more)).with_key(id);
    let waiting = record("waiting", "retry", r#","after-ms":3600000"#);
    let others = (0..OTHERS).map(|id| record(&id.to_string(), "done", ""));
    kafka.produce(&ordered.guest.topic, [waiting].into_iter().chain(others));
    let process = ordered.start();
    let last = format!("handled id={} ", OTHERS - 1);
    process.wait_for(|line| line.contains(&last), BOUND);
    assert_eq!((handled(&process, "waiting"), ordered.committed(kafka)), (1, Some(0)));
    eventually(BOUND, || process.count(|line| line.contains("handled id=")) == OTHERS + 1);
    // What is finished is known to the next owner.
    std::thread::sleep(Duration::from_secs(1));
    kill(process);
    let process = ordered.start();
    kafka.produce(&ordered.guest.topic, [record("next", "done", "")]);
    process.wait_for(|line| line.contains("handled id=next "), BOUND);
    assert_eq!(process.count(|line| line.contains("handled id=")), 1);
    stop(process);
}
