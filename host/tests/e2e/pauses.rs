//! Plugins are paused and resumed: nothing is handed over meanwhile, and nothing is lost or doubled.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, ManneredSmtp, Manners, Postgres, Record, binary, eventually, get, plugin};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, file, fresh, sqlite};

/// Long enough to see a message that is handed over by mistake.
const QUIET: Duration = Duration::from_secs(2);
/// Longer than a call that is immediate takes, and its line.
const FINISHED: Duration = Duration::from_millis(500);
/// A killed host leaves its groups after this time.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];

/// Runs `host plugin` on the host at this port, as ada.
pub fn command(port: u16, args: &[&str]) -> Output {
    let mut command = Command::new(binary("host"));
    command.arg("plugin").args(args).env_remove("HOST_TOKEN");
    command.env("HOST_API", format!("http://127.0.0.1:{port}")).env("USER", "ada");
    command.output().expect("a command")
}

/// Standard output and standard error of a command that must exit with this code.
#[track_caller]
pub fn outputs(port: u16, code: i32, args: &[&str]) -> String {
    let output = command(port, args);
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    text
}

fn pause(host: &Host, name: &str) {
    let text = outputs(host.port, 0, &["pause", name, "--reason", "the server moves"]);
    assert!(text.contains("paused") && text.contains(&format!("host plugin resume {name}")), "{text}");
}

fn resume(host: &Host, name: &str) {
    assert!(outputs(host.port, 0, &["resume", name]).contains("resumed"));
}

fn ready(host: &Host) -> String {
    let answer = get(host.port, "/readyz").expect("an answer");
    assert_eq!(answer.status, 200, "a pause is no failure");
    answer.text()
}

/// Checks that no call begins for a while. Calls that ran when the pause began may finish before.
#[track_caller]
fn is_quiet(host: &Host) {
    sleep(FINISHED);
    let handled = |line: &str| line.contains("handled id=");
    let before = host.process.count(handled);
    sleep(QUIET);
    assert_eq!(host.process.count(handled), before, "calls began during the pause");
}

fn start(kafka: &Kafka, guest: &Guest, store: &str) -> Host {
    Host::start_with(kafka, &[&guest.path], &[&["--store", store][..], &SESSION].concat())
}

#[test]
fn a_pause_under_load_hands_over_nothing_and_loses_nothing() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("pa-load"));
    kafka.create_topic(&guest.topic, 4, &[]);
    let host = start(kafka, &guest, &sqlite(&fresh("pa-load")));
    // Some are retried through the retry topics.
    let record = |n: usize| {
        let action = if n.is_multiple_of(10) { "retry" } else { "done" };
        Record::new(body(&format!("m{n}"), action, r#","until":2"#))
    };
    let count = 20_000;
    kafka.produce(&guest.topic, (0..count / 2).map(record));
    host.process.wait_for(|line| line.contains("handled id="), BOUND);
    pause(&host, &guest.topic);
    is_quiet(&host);
    kafka.produce(&guest.topic, (count / 2..count).map(record));
    is_quiet(&host);
    assert!(kafka.lag(&guest.group, &guest.topic) >= (count / 2) as i64, "the lag grows");
    let text = ready(&host);
    assert!(text.contains(&format!("plugin {} has been paused for", guest.topic)), "{text}");
    assert!(text.contains("by ada: the server moves"), "{text}");
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    assert!(metrics.contains(&format!("host_plugin_paused{{plugin=\"{}\"}} 1", guest.topic)), "{metrics}");
    eventually(BOUND, || {
        let metrics = get(host.port, "/metrics").expect("an answer").text();
        let source = format!("host_lag{{group=\"{}\",topic=\"{}\"", guest.group, guest.topic);
        let lags = metrics.lines().filter(|line| line.starts_with(&source));
        lags.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum::<usize>() >= count / 2
    });
    let again = outputs(host.port, 0, &["pause", &guest.topic, "--reason", "another"]);
    assert!(again.contains("already") && again.contains("by ada: the server moves"), "{again}");
    let list = outputs(host.port, 0, &["list"]);
    assert!(list.contains("paused") && list.contains("ada") && list.contains("the server moves"), "{list}");
    resume(&host, &guest.topic);
    guest.settle(kafka);
    assert!(outputs(host.port, 0, &["resume", &guest.topic]).contains("not paused"));
    let lines = host.stop();
    let all = deliveries(&lines);
    assert_eq!(all.len(), count, "every message was handled");
    let wrong = (0..count).find(|n| {
        let expected: &[u32] = if n.is_multiple_of(10) { &[1, 2, 3] } else { &[1] };
        attempts(&all, &format!("m{n}")) != expected
    });
    assert_eq!(wrong, None, "each attempt was spent once");
    assert_eq!(kafka.end_offsets(&guest.dead).iter().sum::<i64>(), 0);
}

#[test]
fn a_paused_plugin_is_handed_no_retries_in_any_order() {
    let kafka = Kafka::shared();
    for (ordering, name) in [("unordered", "pa-retry"), ("key", "pa-key"), ("partition", "pa-part")] {
        let guest = Guest::fast(name);
        kafka.create_topic(&guest.topic, 1, &[]);
        let text = format!(
            "[[plugin]]\npath = {:?}\ntopic = {:?}\nordering = {ordering:?}\n[plugin.retry]\nretries = 3\n\
             delay = \"1500ms\"\nmultiplier = 1.0\n",
            guest.path, guest.topic
        );
        let (config, store) = (file(&format!("{name}.toml"), text.as_bytes()), sqlite(&fresh(name)));
        let config = config.to_str().expect("UTF-8");
        let host = Host::run(
            &["--config", config, "--bootstrap-servers", kafka.bootstrap(), "--store", &store],
            &[],
        );
        let record = |n: usize| {
            Record::new(body(&format!("m{n}"), "retry", r#","until":1"#)).with_key(format!("k{n}"))
        };
        kafka.produce(&guest.topic, (0..3).map(record));
        host.process.wait_for(|line| line.contains("handled id=m0 attempt=1"), BOUND);
        pause(&host, &guest.topic);
        // Longer than the delay of the retry.
        is_quiet(&host);
        assert_eq!(host.process.count(|line| line.contains("attempt=2")), 0, "{ordering}");
        resume(&host, &guest.topic);
        eventually(BOUND, || host.process.count(|line| line.contains("attempt=2")) == 3);
        let all = deliveries(&host.stop());
        (0..3).for_each(|n| assert_eq!(attempts(&all, &format!("m{n}")), [1, 2], "{ordering}"));
    }
}

#[test]
fn a_pause_survives_a_kill_and_is_known_before_the_first_message() {
    let (kafka, guest, store) = (Kafka::shared(), Guest::fast("pa-kill"), sqlite(&fresh("pa-kill")));
    kafka.create_topic(&guest.topic, 2, &[]);
    let mut host = start(kafka, &guest, &store);
    // Both partitions have a committed offset, from which the lag is known.
    kafka.produce(&guest.topic, (0..10).map(|n| Record::new(body(&format!("w{n}"), "done", "")).on(n % 2)));
    guest.settle(kafka);
    pause(&host, &guest.topic);
    host.process.kill();
    kafka.produce(&guest.topic, (0..100).map(|n| Record::new(body(&format!("m{n}"), "done", ""))));
    let host = start(kafka, &guest, &store);
    let lines = host.process.lines();
    assert!(
        lines.iter().any(|line| line.starts_with("  paused   since ") && line.contains("by ada")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains("the plugin is paused")), "{lines:?}");
    assert!(ready(&host).contains("has been paused"));
    // The lag is known although nothing has been read.
    let lag = || {
        sum(
            &get(host.port, "/metrics").expect("an answer").text(),
            &format!("host_lag{{group=\"{}\"", guest.group),
        )
    };
    eventually(BOUND, || lag() == 100);
    sleep(Duration::from_secs(8));
    assert_eq!(host.process.count(|line| line.contains("handled id=")), 0);
    resume(&host, &guest.topic);
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    assert!(all.len() == 100 && all.values().all(|one| one.len() == 1), "{}", all.len());
}

#[test]
fn a_host_that_starts_or_stops_during_a_pause_does_so_at_once() {
    let postgres = Postgres::start();
    let (kafka, guest, store) = (Kafka::shared(), Guest::fast("pa-two"), postgres.url());
    kafka.create_topic(&guest.topic, 4, &[]);
    let first = start(kafka, &guest, &store);
    let second = start(kafka, &guest, &store);
    pause(&first, &guest.topic);
    eventually(BOUND, || ready(&second).contains("has been paused"));
    kafka.produce(&guest.topic, (0..200).map(|n| Record::new(body(&format!("m{n}"), "done", ""))));
    is_quiet(&first);
    is_quiet(&second);
    // Its partitions move.
    first.stop();
    is_quiet(&second);
    resume(&second, &guest.topic);
    guest.settle(kafka);
    let all = deliveries(&second.stop());
    assert!(all.len() == 200 && all.values().all(|one| one.len() == 1), "{}", all.len());
}

#[test]
fn a_pause_during_an_outage_gives_waiting_messages_back() {
    let (kafka, topic) = (Kafka::shared(), "pa-outage");
    let server = ManneredSmtp::start(Manners::default());
    server.go_away();
    kafka.create_topic(topic, 4, &[]);
    let email = |n: usize| {
        Record::new(format!(
            r#"{{"from":"a@example.com","to":"b@example.com","subject":"{n}","body":"text"}}"#
        ))
    };
    kafka.produce(topic, (0..300).map(email));
    let postgres = Postgres::start();
    let text = format!(
        "[mail]\nurl = {:?}\n[[plugin]]\npath = {:?}\ntopic = {topic:?}\ngroup = \"{topic}-group\"\n\
         allow = [\"mail\"]\n",
        server.url(),
        plugin("email"),
    );
    let config = file(&format!("{topic}.toml"), text.as_bytes());
    let config = config.to_str().expect("UTF-8");
    let args = ["--config", config, "--bootstrap-servers", kafka.bootstrap(), "--store", &postgres.url()];
    let host = Host::run(&args, &[]);
    host.process.wait_for(|line| line.contains("does not work"), BOUND);
    let waiting = || {
        let metrics = get(host.port, "/metrics").expect("an answer").text();
        sum(&metrics, "host_in_flight{")
    };
    eventually(BOUND, || waiting() > 0);
    pause(&host, "email");
    eventually(BOUND, || waiting() == 0);
    // A rebalance.
    let other = Host::run(&args, &[]);
    assert!(ready(&other).contains("plugin email has been paused"));
    other.stop();
    server.come_back();
    sleep(QUIET);
    assert_eq!(server.accepted(), 0, "nothing is sent during the pause");
    resume(&host, "email");
    eventually(BOUND, || server.accepted() >= 300);
    eventually(BOUND, || kafka.lag(&format!("{topic}-group"), topic) == 0);
    let doubled: HashMap<_, _> = server.subjects().into_iter().filter(|(_, copies)| *copies > 1).collect();
    assert_eq!((server.subjects().len(), doubled), (300, HashMap::new()));
    assert_eq!(sum(&get(host.port, "/metrics").expect("an answer").text(), "host_retries_total{"), 0);
    let stopping = Instant::now();
    pause(&host, "email");
    host.stop();
    println!("stopped in {:?}", stopping.elapsed());
}

/// The sum of the series that begin like this.
pub fn sum(metrics: &str, name: &str) -> i64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok()).sum()
}

#[test]
fn commands_say_what_is_wrong() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("pa-cli"));
    kafka.create_topic(&guest.topic, 1, &[]);
    let host = start(kafka, &guest, &sqlite(&fresh("pa-cli")));
    let without = outputs(host.port, 2, &["pause", &guest.topic]);
    assert!(without.contains("requires a reason") && without.contains("--reason TEXT"), "{without}");
    for action in [&["pause", "email", "--reason", "x"][..], &["resume", "email"]] {
        let unknown = outputs(host.port, 1, action);
        assert!(unknown.contains(&guest.topic) && unknown.contains("host plugin list"), "{unknown}");
    }
    let json = outputs(host.port, 0, &["list", "-o", "json"]);
    assert!(json.contains(r#""state": "running""#), "{json}");
    host.stop();
    let no_desk = Host::start_with(kafka, &[Path::new(&guest.path)], &["--desk=false"]);
    let refused = outputs(no_desk.port, 1, &["pause", &guest.topic, "--reason", "x"]);
    assert!(refused.contains("does not serve a desk") && refused.contains("--desk=false"), "{refused}");
    no_desk.stop();
}
