//! Several mail servers, several hosts: each e-mail goes to exactly one server, through outages, kills and rebalances.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use testkit::{Kafka, ManneredSmtp, Manners, eventually, get, plugin, scale};

use crate::mail_servers::{bound, dead, emails, produce, retried, run, start, value};
use crate::support::{BOUND, Host, fresh};

/// Starts the host with two servers for the e-mail plugin.
fn start_with_two(
    kafka: &Kafka,
    name: &str,
    servers: [&ManneredSmtp; 2],
    second: &str,
    settings: &str,
) -> Host {
    let [first, next] = servers.map(ManneredSmtp::url);
    let text = format!(
        "[mail]\nservers = [\"first\", \"next\"]\nfailover-after = \"1s\"\n[mail.server.first]\nurl = {first:?}\n\
         [mail.server.next]\nurl = {next:?}\n{second}\n[[plugin]]\npath = {:?}\ntopic = {name:?}\n\
         group = \"{name}-group\"\nallow = [\"mail\"]\n{settings}\n\
         [plugin.retry]\nretries = 2\ndelay = \"50ms\"\nmultiplier = 1.0\n",
        plugin("email"),
    );
    run(kafka, name, &text)
}

/// The number of copies of each subject over all servers.
fn copies(servers: [&ManneredSmtp; 2]) -> HashMap<String, usize> {
    let mut all = HashMap::new();
    for (subject, copies) in servers.into_iter().flat_map(ManneredSmtp::subjects) {
        *all.entry(subject).or_default() += copies;
    }
    all
}

#[test]
fn another_server_takes_over_and_the_first_one_gets_its_mail_back() {
    let (kafka, topic) = (Kafka::shared(), "smtp-failover");
    let count = scale(1000, 20_000);
    let servers = [(); 2].map(|()| ManneredSmtp::start(Manners::default()));
    let [first, next] = &servers;
    produce(kafka, topic, count);
    let host = start_with_two(kafka, topic, [first, next], "", "");
    eventually(BOUND, || first.accepted() > count / 10);
    assert_eq!(next.accepted(), 0, "the first one works");
    first.go_away();
    host.process.wait_for(|line| line.contains("first (smtp://") && line.contains("does not work"), BOUND);
    eventually(BOUND * 2, || next.accepted() > 0 && kafka.lag(&format!("{topic}-group"), topic) == 0);
    first.come_back();
    let before = first.accepted();
    let mut more = 0;
    eventually(BOUND, || {
        kafka.produce(topic, emails(&format!("after-{more}"), 1));
        more += 1;
        first.accepted() > before
    });
    eventually(bound(), || copies([first, next]).len() == count + more);
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    let in_doubt = value(&metrics, r#"host_mails_total{plugin="email",result="unknown"}"#);
    // Only an e-mail that was in doubt may have a copy.
    let doubled: usize = copies([first, next]).values().map(|copies| copies - 1).sum();
    assert!(doubled as i64 <= in_doubt, "{doubled} doubled, {in_doubt} in doubt");
    assert_eq!((dead(kafka, topic), retried(kafka, topic)), (0, in_doubt));
    host.stop();
}

#[test]
fn the_rate_of_the_next_server_is_a_budget() {
    let (kafka, topic) = (Kafka::shared(), "smtp-budget");
    let servers = [(); 2].map(|()| ManneredSmtp::start(Manners::default()));
    let [first, next] = &servers;
    first.go_away();
    produce(kafka, topic, 200);
    let began = Instant::now();
    let host = start_with_two(kafka, topic, [first, next], "per-minute = 60", "");
    eventually(BOUND, || next.accepted() >= 63);
    std::thread::sleep(Duration::from_secs(2));
    // A burst of 60, then one a second. What is counted was sent earlier.
    let (accepted, seconds) = (next.accepted() as u64, began.elapsed().as_secs());
    assert!(accepted <= 60 + seconds + 1, "{accepted} after {seconds} s");
    first.come_back();
    eventually(BOUND, || copies([first, next]).len() == 200);
    assert!(copies([first, next]).values().all(|copies| *copies == 1));
    assert_eq!((dead(kafka, topic), retried(kafka, topic)), (0, 0));
    host.stop();
}

/// The first server has the whole content when the connection breaks.
#[test]
fn an_email_in_doubt_is_listed_and_never_goes_to_the_next_server() {
    let (kafka, topic) = (Kafka::shared(), "smtp-doubt");
    let slowness = Duration::from_secs(3);
    let first = ManneredSmtp::start(Manners { slowness, ..Manners::default() });
    let next = ManneredSmtp::start(Manners::default());
    produce(kafka, topic, 8);
    let host = start_with_two(kafka, topic, [&first, &next], "", "unsettled = \"dead-letter\"");
    eventually(BOUND, || first.contents() > 0);
    let begun = first.contents();
    first.go_away();
    eventually(BOUND * 2, || copies([&first, &next]).len() == 8);
    eventually(BOUND, || dead(kafka, topic) >= begun as i64);
    let letters = kafka.read_all(&format!("{topic}.dlt"));
    let codes: Vec<_> = letters.iter().filter_map(|letter| letter.header_text("host-failure-code")).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| code == "unknown-effect"), "{codes:?}");
    assert!(copies([&first, &next]).values().all(|copies| *copies == 1), "{:?}", copies([&first, &next]));
    host.stop();
}

#[test]
fn plugins_have_servers_of_their_own() {
    let kafka = Kafka::shared();
    let servers = [(); 2].map(|()| ManneredSmtp::start(Manners::default()));
    let [usual, own] = &servers;
    let topics = ["smtp-usual", "smtp-own"];
    topics.iter().for_each(|topic| produce(kafka, topic, 20));
    let entry = |topic: &str, more: &str| {
        format!(
            "[[plugin]]\npath = {:?}\ntopic = {topic:?}\ngroup = \"{topic}-group\"\nallow = [\"mail\"]\n{more}\n",
            plugin("email")
        )
    };
    let text = format!(
        "[mail]\nurl = {:?}\n[mail.server.marketing]\nurl = {:?}\n{}{}",
        usual.url(),
        own.url(),
        entry(topics[0], ""),
        entry(topics[1], "[plugin.mail]\nservers = [\"marketing\"]"),
    );
    let host = run(kafka, "smtp-named", &text);
    for (server, topic) in [(usual, topics[0]), (own, topics[1])] {
        eventually(BOUND, || server.accepted() == 20);
        assert!(server.subjects().keys().all(|subject| subject.starts_with(topic)), "{topic}");
    }
    let summary = host.process.lines().join("\n");
    assert!(summary.contains("sends to marketing (smtp://"), "{summary}");
    host.stop();
    fresh("smtp-named");
}

/// The server is away when one host is killed and two others take over.
#[test]
fn an_outage_outlasts_a_kill_and_a_rebalance() {
    let (kafka, topic) = (Kafka::shared(), "smtp-away-killed");
    let count = scale(2000, 50_000);
    let away = Duration::from_secs(scale(6, 600) as u64);
    let server = ManneredSmtp::start(Manners::default());
    produce(kafka, topic, count);
    let mut first = start(kafka, &server, topic, "", "");
    eventually(BOUND, || server.accepted() > count / 10);
    server.go_away();
    first.process.wait_for(|line| line.contains("does not work"), BOUND);
    std::thread::sleep(away / 2);
    let metrics = get(first.port, "/metrics").expect("an answer").text();
    let in_doubt = value(&metrics, r#"host_mails_total{plugin="email",result="unknown"}"#);
    first.process.kill();
    let hosts = [start(kafka, &server, topic, "", ""), start(kafka, &server, topic, "", "")];
    let group = format!("{topic}-group");
    eventually(BOUND * 2, || kafka.members(&group).len() >= 2);
    std::thread::sleep(away / 2);
    let back = Instant::now();
    let before = server.accepted();
    server.come_back();
    eventually(BOUND, || server.accepted() > before + 100);
    println!("100 e-mails {:?} after the return", back.elapsed());
    eventually(bound(), || server.subjects().len() == count && kafka.lag(&group, topic) == 0);
    let doubled: usize = server.subjects().values().map(|copies| copies - 1).sum();
    assert!(doubled as i64 <= in_doubt, "{doubled} doubled, {in_doubt} in doubt");
    assert_eq!((dead(kafka, topic), retried(kafka, topic)), (0, in_doubt));
    hosts.into_iter().for_each(|host| drop(host.stop()));
}

/// The server takes three connections, and the first host has work for all of them.
#[test]
fn a_second_host_gets_a_turn_at_a_busy_server() {
    let (kafka, topic) = (Kafka::shared(), "smtp-turns");
    let slowness = Duration::from_millis(100);
    let server = ManneredSmtp::start(Manners { sessions: Some(3), slowness, ..Manners::default() });
    produce(kafka, topic, 40_000);
    let first = start(kafka, &server, topic, "", "");
    eventually(BOUND, || server.accepted() > 100);
    let second = start(kafka, &server, topic, "", "");
    let group = format!("{topic}-group");
    eventually(Duration::from_secs(180), || {
        let metrics = get(second.port, "/metrics").expect("an answer").text();
        value(&metrics, r#"host_mails_total{plugin="email",result="sent"}"#) > 50
    });
    assert!(kafka.lag(&group, topic) > 0, "the first host is still busy");
    assert!(server.most_sessions() <= 3);
    assert_eq!((dead(kafka, topic), retried(kafka, topic)), (0, 0));
    [first, second].into_iter().for_each(|host| drop(host.stop()));
    assert!(server.subjects().values().all(|copies| *copies == 1));
}

/// The answer to the content takes longer than the host drains. The next host waits for its result.
#[test]
fn an_email_in_progress_is_not_sent_by_the_next_host() {
    let (kafka, topic) = (Kafka::shared(), "smtp-handover");
    let slowness = Duration::from_secs(14);
    let server = ManneredSmtp::start(Manners { slowness, ..Manners::default() });
    produce(kafka, topic, 2);
    let settings = "limits = { call-time = \"1s\" }";
    let mut first = start(kafka, &server, topic, "", settings);
    eventually(BOUND, || server.contents() == 1);
    first.process.signal("TERM");
    let second = start(kafka, &server, topic, "", settings);
    let group = format!("{topic}-group");
    eventually(BOUND, || kafka.members(&group).len() == 1 && server.accepted() == 0);
    eventually(bound(), || server.subjects().len() == 2 && kafka.lag(&group, topic) == 0);
    assert!(server.subjects().values().all(|copies| *copies == 1), "{:?}", server.subjects());
    assert_eq!((dead(kafka, topic), retried(kafka, topic)), (0, 0));
    let metrics = get(second.port, "/metrics").expect("an answer").text();
    let remembered = format!(r#"host_effects_total{{group="{group}",result="remembered"}}"#);
    assert_eq!(value(&metrics, &remembered), 1, "{metrics}");
    second.stop();
    assert_eq!(first.process.wait(BOUND).code(), Some(0), "{}", first.process.lines().join("\n"));
}
