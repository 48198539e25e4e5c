//! Mail servers as they are: slow, with few connections, terse, away. After each: every e-mail was delivered once, or is
//! listed as a dead letter for a reason of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use testkit::{Kafka, ManneredSmtp, Manners, Record, eventually, get, long, plugin, scale};

use crate::support::{BOUND, Host, file, fresh, sqlite};

/// The time for all e-mails of a test at full size.
const LONG: Duration = Duration::from_secs(900);

pub fn bound() -> Duration {
    if long() { LONG } else { BOUND * 2 }
}

/// Starts the host with the e-mail plugin on a topic of its own. `mail` and `plugin` are further settings.
pub fn start(kafka: &Kafka, server: &ManneredSmtp, name: &str, mail: &str, settings: &str) -> Host {
    let text = format!(
        "[mail]\nurl = {:?}\n{mail}\n[[plugin]]\npath = {:?}\ntopic = {name:?}\ngroup = \"{name}-group\"\n\
         allow = [\"mail\"]\n{settings}\n[plugin.retry]\nretries = 2\ndelay = \"50ms\"\nmultiplier = 1.0\n",
        server.url(),
        plugin("email"),
    );
    run(kafka, name, &text)
}

/// Starts the host with this configuration and a store of its own.
pub fn run(kafka: &Kafka, name: &str, text: &str) -> Host {
    let path = file(&format!("{name}.toml"), text.as_bytes());
    let path = path.to_str().expect("a path in UTF-8");
    let store = sqlite(&std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("e2e/{name}.db")));
    Host::run(&["--config", path, "--bootstrap-servers", kafka.bootstrap(), "--store", &store], &[])
}

pub fn emails(prefix: &str, count: usize) -> impl Iterator<Item = Record> {
    (0..count).map(move |n| {
        Record::new(format!(
            r#"{{"from":"a@example.com","to":"b@example.com","subject":"{prefix}-{n}","body":"text"}}"#
        ))
    })
}

pub fn produce(kafka: &Kafka, topic: &str, count: usize) {
    fresh(topic);
    kafka.create_topic(topic, 4, &[]);
    kafka.produce(topic, emails(topic, count));
}

pub fn dead(kafka: &Kafka, topic: &str) -> i64 {
    kafka.end_offsets(&format!("{topic}.dlt")).iter().sum()
}

pub fn retried(kafka: &Kafka, topic: &str) -> i64 {
    kafka.end_offsets(&format!("{topic}-retry")).iter().sum()
}

/// The value of a metric; 0 if there is none.
pub fn value(metrics: &str, name: &str) -> i64 {
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Waits until everything is delivered. Nothing may be doubled, dead, or even retried.
#[track_caller]
fn delivered_once(kafka: &Kafka, server: &ManneredSmtp, topic: &str, count: usize) {
    delivered(kafka, server, topic, count, 0);
}

/// As [`delivered_once`], but this many e-mails were in doubt. Each of them is retried, and may have a copy.
#[track_caller]
fn delivered(kafka: &Kafka, server: &ManneredSmtp, topic: &str, count: usize, in_doubt: i64) {
    let end = Instant::now() + bound();
    while server.subjects().len() < count && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let group = format!("{topic}-group");
    eventually(BOUND, || kafka.lag(&group, topic) == 0);
    let copies: BTreeMap<_, _> = server.subjects().into_iter().filter(|(_, copies)| *copies > 1).collect();
    let ends = (server.subjects().len(), dead(kafka, topic), retried(kafka, topic));
    assert_eq!(ends, (count, 0, in_doubt), "(delivered, dead, retried)");
    let doubled: usize = copies.values().map(|copies| copies - 1).sum();
    assert!(doubled as i64 <= in_doubt, "{copies:?}, {in_doubt} in doubt");
}

#[test]
fn a_slow_server_gets_every_e_mail_once() {
    let (kafka, topic) = (Kafka::shared(), "smtp-slow");
    let count = scale(60, 600);
    let server = ManneredSmtp::start(Manners { slowness: Duration::from_secs(2), ..Manners::default() });
    produce(kafka, topic, count);
    let host = start(kafka, &server, topic, "", "");
    delivered_once(kafka, &server, topic, count);
    assert!(server.most_sessions() <= 10, "{}", server.most_sessions());
    host.stop();
}

#[test]
fn many_calls_wait_for_few_connections() {
    let (kafka, topic) = (Kafka::shared(), "smtp-busy");
    let count = scale(300, 1000);
    let server = ManneredSmtp::start(Manners { slowness: Duration::from_millis(400), ..Manners::default() });
    produce(kafka, topic, count);
    let host = start(kafka, &server, topic, "", "concurrency = 256\nlimits = { call-time = \"1s\" }");
    delivered_once(kafka, &server, topic, count);
    host.stop();
}

#[test]
fn the_answer_to_the_content_may_take_longer_than_a_call() {
    let (kafka, topic) = (Kafka::shared(), "smtp-very-slow");
    let server = ManneredSmtp::start(Manners { slowness: Duration::from_secs(12), ..Manners::default() });
    produce(kafka, topic, 3);
    let host = start(kafka, &server, topic, "", "");
    delivered_once(kafka, &server, topic, 3);
    host.stop();
}

#[test]
fn a_server_with_few_connections_is_not_asked_for_more() {
    let kafka = Kafka::shared();
    for (topic, refuses_at_mail) in [("smtp-421", false), ("smtp-432", true)] {
        let count = scale(200, 1000);
        let slowness = Duration::from_millis(20);
        let manners = Manners { sessions: Some(3), refuses_at_mail, slowness, ..Manners::default() };
        let server = ManneredSmtp::start(manners);
        produce(kafka, topic, count);
        let host = start(kafka, &server, topic, "", "");
        delivered_once(kafka, &server, topic, count);
        assert!(server.most_sessions() <= 3);
        assert!(server.refusals() < 10, "{topic}: refused {} times", server.refusals());
        let metrics = get(host.port, "/metrics").expect("an answer").text();
        let limit = value(&metrics, "host_destination_limit{");
        assert!((1..=4).contains(&limit), "{limit}");
        host.stop();
    }
}

#[test]
fn two_hosts_share_a_server_with_few_connections() {
    let (kafka, topic) = (Kafka::shared(), "smtp-shared");
    let count = scale(200, 1000);
    let slowness = Duration::from_millis(20);
    let server = ManneredSmtp::start(Manners { sessions: Some(3), slowness, ..Manners::default() });
    produce(kafka, topic, count);
    let hosts = [start(kafka, &server, topic, "", ""), start(kafka, &server, topic, "", "")];
    delivered_once(kafka, &server, topic, count);
    assert!(server.most_sessions() <= 3);
    hosts.into_iter().for_each(|host| drop(host.stop()));
}

#[test]
fn a_server_that_ends_sessions_after_some_e_mails_gets_new_ones() {
    let (kafka, topic) = (Kafka::shared(), "smtp-per-session");
    let count = scale(200, 1000);
    let server = ManneredSmtp::start(Manners { per_session: Some(5), ..Manners::default() });
    produce(kafka, topic, count);
    let host = start(kafka, &server, topic, "", "");
    delivered_once(kafka, &server, topic, count);
    host.stop();
}

#[test]
fn terse_and_foreign_replies_are_taken_by_their_code() {
    let kafka = Kafka::shared();
    for (topic, line_end, accepted) in [
        ("smtp-terse", "\r\n", &b"250"[..]),
        ("smtp-lf", "\n", b"250 OK"),
        ("smtp-euc-kr", "\r\n", b"250 \xc1\xc1\xc0\xbd"),
        ("smtp-unheard", "\r\n", b"299 new"),
    ] {
        let server = ManneredSmtp::start(Manners { line_end, accepted, ..Manners::default() });
        produce(kafka, topic, 20);
        let host = start(kafka, &server, topic, "", "");
        delivered_once(kafka, &server, topic, 20);
        host.stop();
    }
}

#[test]
fn above_its_rate_an_e_mail_waits_and_nothing_is_published() {
    let (kafka, topic) = (Kafka::shared(), "smtp-rate");
    let server = ManneredSmtp::start(Manners::default());
    produce(kafka, topic, 64);
    let began = Instant::now();
    let host = start(kafka, &server, topic, "", "[plugin.mail]\nper-minute = 60");
    delivered_once(kafka, &server, topic, 64);
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    host.stop();
}

/// The server is away for a while.
#[test]
fn an_outage_costs_no_attempt_and_ends_by_itself() {
    let (kafka, topic) = (Kafka::shared(), "smtp-away");
    let count = scale(2000, 50_000);
    let away = Duration::from_secs(scale(8, 600) as u64);
    let server = ManneredSmtp::start(Manners::default());
    produce(kafka, topic, count);
    let host = start(kafka, &server, topic, "", "");
    eventually(BOUND, || server.accepted() > count / 10);
    server.go_away();
    let before = server.accepted();
    host.process.wait_for(|line| line.contains("does not work"), BOUND);
    std::thread::sleep(away / 2);
    let ready = get(host.port, "/readyz").expect("an answer").text();
    assert!(ready.contains("has not worked for"), "{ready}");
    std::thread::sleep(away / 2);
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    let failures = value(&metrics, "host_destination_failures_total{");
    // Their content had begun when the server went away: only the server knows whether it has them.
    let in_doubt = value(&metrics, r#"host_mails_total{plugin="email",result="unknown"}"#);
    assert!((5..=200).contains(&failures), "{failures} tries");
    let back = Instant::now();
    server.come_back();
    eventually(BOUND, || server.accepted() > before + 100);
    println!("{failures} tries; 100 e-mails {:?} after the return", back.elapsed());
    host.process.wait_for(|line| line.contains("works again"), BOUND);
    delivered(kafka, &server, topic, count, in_doubt);
    assert!(in_doubt <= 10, "{in_doubt} in doubt");
    host.stop();
}

#[test]
fn a_host_stops_at_once_while_e_mails_wait_for_a_server() {
    let (kafka, topic) = (Kafka::shared(), "smtp-stop");
    let server = ManneredSmtp::start(Manners::default());
    server.go_away();
    produce(kafka, topic, 200);
    let host = start(kafka, &server, topic, "", "");
    host.process.wait_for(|line| line.contains("does not work"), BOUND);
    let stopping = Instant::now();
    host.stop();
    println!("stopped in {:?}", stopping.elapsed());
    server.come_back();
    let host = start(kafka, &server, topic, "", "");
    delivered_once(kafka, &server, topic, 200);
    host.stop();
}
