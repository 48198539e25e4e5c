//! `host doctor`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::Value;
use testkit::{Kafka, ManneredSmtp, Manners, Record, binary, eventually, free_port, plugin};

use crate::support::{BOUND, Guest, Host, body, file, fresh, sqlite};

/// Well above the bounds of all checks, and far below the time for which a start waits.
const QUICK: Duration = Duration::from_secs(20);

/// A report with its exit code.
struct Report {
    code: Option<i32>,
    json: Value,
}

/// Runs the command. Without `-o json` in `more`, the output is text.
pub fn doctor(kafka: &str, plugin: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(binary("host"));
    command.args(["doctor", "--bootstrap-servers", kafka, "--plugin"]).arg(plugin).args(more);
    command.output().expect("the command runs")
}

fn report(kafka: &str, plugin: &Path, more: &[&str]) -> Report {
    let more: Vec<&str> = more.iter().copied().chain(["-o", "json"]).collect();
    let output = doctor(kafka, plugin, &more);
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    Report { code: output.status.code(), json }
}

impl Report {
    fn checks(&self) -> &[Value] {
        self.json["checks"].as_array().expect("checks")
    }

    fn check(&self, area: &str, name: &str) -> &Value {
        let found = self.checks().iter().find(|check| check["area"] == area && check["name"] == name);
        found.unwrap_or_else(|| panic!("no check of {name}: {}", self.json))
    }

    /// The status of a check, and its only finding as text.
    #[track_caller]
    fn finding(&self, area: &str, name: &str) -> (&str, String) {
        let check = self.check(area, name);
        let [finding] = check["findings"].as_array().expect("findings").as_slice() else { panic!("{check}") };
        (check["status"].as_str().expect("a status"), finding.to_string())
    }

    fn count(&self, what: &str) -> u64 {
        self.json["summary"][what].as_u64().expect("a number")
    }
}

/// A topic, and the arguments for a store that does not exist.
fn prepare(kafka: &Kafka, guest: &Guest) -> [String; 2] {
    kafka.create_topic(&guest.topic, 2, &[]);
    ["--store".to_owned(), sqlite(&fresh(&guest.topic))]
}

/// The topics and the groups with their members.
fn cluster(kafka: &Kafka) -> (Vec<String>, Vec<String>) {
    let client: BaseConsumer = kafka.config("").create().expect("a client");
    let metadata = client.fetch_metadata(None, BOUND).expect("metadata");
    let mut topics: Vec<String> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
    let mut groups = kafka.groups();
    topics.sort();
    groups.sort();
    (topics, groups)
}

#[test]
fn all_is_well_before_and_while_a_host_runs_and_nothing_is_changed() {
    // A broker of its own, whose topics and groups no other test changes.
    let kafka = Kafka::start();
    let guest = Guest::fast("doctor-ok");
    let [store, path] = prepare(&kafka, &guest);
    let smtp = ManneredSmtp::start(Manners::default());
    // What the guest imports.
    kafka.create_topic("doctor-ok.one", 1, &[]);
    let config = format!(
        "[[plugin]]\npath = {:?}\ntopic = {:?}\nallow = [\"mail\", \"produce:doctor-ok.one\"]\n",
        guest.path, guest.topic
    );
    let config = file("doctor-ok.toml", config.as_bytes());
    let config = config.to_str().expect("UTF-8");
    let more = [store.as_str(), &path, "--mail-url", &smtp.url(), "--config", config].map(str::to_owned);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    // Kafka creates the topic of offsets when a coordinator is asked for the first time.
    eventually(BOUND, || {
        kafka.lag(&guest.group, &guest.topic);
        cluster(&kafka).0.iter().any(|topic| topic == "__consumer_offsets")
    });
    let before = cluster(&kafka);
    let new = report(kafka.bootstrap(), &guest.path, &more);
    assert_eq!((new.code, new.count("warnings"), new.count("errors")), (Some(0), 0, 0), "{}", new.json);
    assert!(
        new.check("topics", &guest.topic)["detail"].to_string().contains("6 of them are created at start")
    );
    assert!(new.check("groups", &guest.group)["detail"].to_string().contains("new, without members"));
    assert_eq!(cluster(&kafka), before);
    assert!(!Path::new(path.trim_start_matches("sqlite:")).exists(), "no store is created");

    let host = Host::start_with(&kafka, &[&guest.path], &more);
    kafka.produce(&guest.topic, [Record::new(body("one", "reject", ""))]);
    guest.settle(&kafka);
    eventually(BOUND, || kafka.lag(&guest.dead_letter_group(), &guest.dead) == 0);
    let groups = [guest.group.clone(), format!("{}-retry", guest.group), guest.dead_letter_group()];
    let members = || groups.each_ref().map(|group| kafka.members(group));
    let (before, joined) = (cluster(&kafka), members());
    let running = report(kafka.bootstrap(), &guest.path, &more);
    assert_eq!((running.code, running.count("warnings")), (Some(0), 0), "{}", running.json);
    for group in &groups {
        assert!(running.check("groups", group)["detail"].to_string().contains("stable, 1 member\""));
    }
    assert!(running.check("store", &path)["detail"].to_string().contains("up to date"));
    assert_eq!((cluster(&kafka), members()), (before, joined));
    let text = doctor(kafka.bootstrap(), &guest.path, &more);
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.starts_with("Machine\n  ok       open files") && !text.contains('\u{1b}'), "{text}");
    assert!(text.trim_end().ends_with(" ok"), "{text}");
    host.stop();
    assert_eq!(smtp.contents(), 0, "no e-mail is sent");
}

#[test]
fn servers_that_are_away_are_named_within_a_bound() {
    let smtp = format!("smtp://127.0.0.1:{}", free_port());
    let store = sqlite(&fresh("doctor-away"));
    let nobody = format!("127.0.0.1:{}", free_port());
    let started = Instant::now();
    let more = ["--mail-url", &smtp, "--store", &store];
    let away = report(&nobody, &plugin("email"), &more);
    assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
    assert_eq!(away.code, Some(1), "{}", away.json);
    let (status, finding) = away.finding("kafka", &nobody);
    assert!(
        status == "error" && finding.contains("cannot reach Kafka") && finding.contains("start it"),
        "{finding}"
    );
    let (status, finding) = away.finding("mail", &smtp);
    assert!(status == "warning" && finding.contains("e-mails wait until"), "{finding}");
    assert_eq!(away.check("topics", "all")["status"], "skipped");

    // A start needs one of the list only.
    let kafka = Kafka::shared();
    let list = format!("{nobody},{}", kafka.bootstrap());
    let one = report(&list, &plugin("email"), &["--store", &store, "--desk=false"]);
    let (status, finding) = one.finding("kafka", &nobody);
    assert!(status == "warning" && finding.contains("needs another one of the list"), "{finding}");
    assert_eq!(one.check("kafka", kafka.bootstrap())["detail"], "broker 1 answers");
    assert_eq!(one.code, Some(0), "{}", one.json);
}

#[test]
fn a_mail_server_that_cannot_be_used_is_an_error() {
    let smtp = ManneredSmtp::start(Manners::default());
    let url = smtp.url().replace("smtp://", "smtp://user:hush@") + "?tls=required";
    let store = sqlite(&fresh("doctor-mail"));
    let kafka = Kafka::shared();
    let found = report(kafka.bootstrap(), &plugin("email"), &["--mail-url", &url, "--store", &store]);
    let (status, finding) = found.finding("mail", &smtp.url());
    assert!(status == "error" && finding.contains("no STARTTLS"), "{finding}");
    assert!(found.code == Some(1) && !found.json.to_string().contains("hush"), "{}", found.json);
}

#[test]
fn a_topic_that_loses_messages_has_a_cure() {
    let kafka = Kafka::shared();
    for (name, setting, code, expected) in [
        ("doctor-rt", ("retention.ms", "60000"), 0, "--add-config retention.ms=604800000"),
        ("doctor-cp", ("cleanup.policy", "compact"), 1, "--add-config cleanup.policy=delete"),
    ] {
        let guest = Guest::fast(name);
        let [store, path] = prepare(kafka, &guest);
        kafka.create_topic(&guest.dead, 2, &[setting]);
        let found = report(kafka.bootstrap(), &guest.path, &[&store, &path]);
        assert_eq!(found.code, Some(code), "{}", found.json);
        let (_, finding) = found.finding("topics", &guest.topic);
        let cure = format!("--entity-name {} {expected}", guest.dead);
        assert!(finding.contains(&cure), "{finding}");
    }
    // Without the permission to create topics, a missing one ends the start.
    let guest = Guest::fast("doctor-no");
    let [store, path] = prepare(kafka, &guest);
    let found = report(kafka.bootstrap(), &guest.path, &[&store, &path, "--create-topics=false"]);
    assert!(found.code == Some(1) && found.json.to_string().contains("host topics create doctor-no--.dlt"));
}

/// A consumer that is no host, as a member of a group.
fn foreigner(kafka: &Kafka, group: &str, topic: &str, assignor: &str) -> BaseConsumer {
    let mut config = kafka.config(group);
    config.set("client.id", "other").set("partition.assignment.strategy", assignor);
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    eventually(BOUND, || {
        let _ = consumer.poll(Duration::from_millis(50));
        consumer.assignment().is_ok_and(|assigned| assigned.count() > 0)
    });
    consumer
}

#[test]
fn members_that_are_no_hosts_are_found() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("doctor-gr");
    let [store, path] = prepare(kafka, &guest);
    let group = format!("{}-retry", guest.group);
    let _other = foreigner(kafka, &guest.group, &guest.topic, "range");
    let _joined = foreigner(kafka, &group, &guest.topic, "cooperative-sticky");
    let found = report(kafka.bootstrap(), &guest.path, &[&store, &path]);
    let check = found.check("groups", &guest.group).to_string();
    assert!(check.contains("assignor \\\"range\\\"") && check.contains("members: 1 other on"), "{check}");
    let (status, finding) = found.finding("groups", &group);
    assert!(status == "warning" && finding.contains("1 member that are no hosts"), "{finding}");
    assert_eq!(found.code, Some(1), "{}", found.json);
}

#[test]
fn a_desk_with_another_store_and_a_plugin_that_does_not_load_are_errors() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("doctor-st");
    let [store, path] = prepare(kafka, &guest);
    Host::start_with(kafka, &[&guest.path], &[&store, &path]).stop();
    let other = sqlite(&fresh("doctor-st-other"));
    let host = Host::start_with(kafka, &[&guest.path], &["--store", &other]);
    let found = report(kafka.bootstrap(), &guest.path, &[&store, &path]);
    let (status, finding) = found.finding("groups", &guest.dead_letter_group());
    assert!(status == "error" && finding.contains("in a different store"), "{finding}");
    assert_eq!(found.code, Some(1));
    host.stop();

    let broken = file("doctor-broken.wasm", b"no component");
    let found = report(kafka.bootstrap(), &broken, &[&store, &path]);
    let (status, _) = found.finding("plugins", broken.to_str().expect("UTF-8"));
    assert_eq!((status, found.code), ("error", Some(1)), "{}", found.json);
    let usage = doctor(kafka.bootstrap(), &guest.path, &["--store", "mysql://db"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}
