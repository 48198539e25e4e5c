//! An effect of a message is performed once, over retries, replays and crashes.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::spawn;
use std::time::{Duration, Instant};

use desk_api::ReplayPlan;
use mailin_embedded::{Handler, Response, Server, SslConfig, response};
use parking_lot::Mutex;
use store::{Store, StoreUrl};
use testkit::{Kafka, Postgres, Process, Record, eventually};

use crate::support::{BOUND, Guest, Host, between, body, file, fresh, id_of, sqlite};
use crate::test_desk::{TestDesk, as_ingested};

/// A mail server that records subjects and times, and answers while its gate is open.
#[derive(Clone)]
pub struct Sink {
    address: SocketAddr,
    subjects: Arc<Mutex<Vec<String>>>,
    times: Arc<Mutex<Vec<Instant>>>,
    gate: Arc<Mutex<()>>,
}

/// The session timeout, after which a killed host leaves its group.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];

/// One session.
#[derive(Clone)]
struct Session {
    sink: Sink,
    data: Vec<u8>,
}

impl Sink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("the address");
        let sink = Self { address, subjects: Arc::default(), times: Arc::default(), gate: Arc::default() };
        let mut server = Server::new(Session { sink: sink.clone(), data: Vec::new() });
        server.with_num_threads(32).with_tcp_listener(listener);
        server.with_ssl(SslConfig::None).expect("without TLS");
        spawn(move || drop(server.serve()));
        sink
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The times at which e-mails were received.
    pub fn times(&self) -> Vec<Instant> {
        self.times.lock().clone()
    }

    /// The number of received e-mails with this subject.
    fn count(&self, subject: &str) -> usize {
        self.subjects.lock().iter().filter(|other| *other == subject).count()
    }
}

impl Handler for Session {
    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.data.clear();
        response::START_DATA
    }

    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.data.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let text = String::from_utf8_lossy(&self.data);
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or("none");
        self.sink.subjects.lock().push(subject.trim().to_owned());
        self.sink.times.lock().push(Instant::now());
        drop(self.sink.gate.lock());
        response::OK
    }
}

fn start(kafka: &Kafka, guest: &Guest, sink: &Sink, store: &str) -> Host {
    let [flag, session] = SESSION;
    Host::start_with(kafka, &[&guest.path], &["--mail-url", &sink.url(), "--store", store, flag, session])
}

fn send(kafka: &Kafka, guest: &Guest, id: &str, action: &str, more: &str) {
    kafka.produce(&guest.topic, [Record::new(body(id, action, more)).with_key(id)]);
}

fn mailed(host: &Host, id: &str) -> usize {
    let text = format!("mailed id={id} answer=<");
    host.process.count(|line| line.contains(&text))
}

#[test]
fn all_attempts_send_one_e_mail() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-one"));
    let host = start(kafka, &guest, &sink, &sqlite(&fresh("ledger-one")));
    send(kafka, &guest, "twice", "mailretry", "");
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    guest.settle(kafka);
    assert_eq!((host.handled("twice"), mailed(&host, "twice")), (6, 6));
    assert_eq!(sink.count("twice"), 1);
    // The second call of the message gets the result of the first.
    let lines = host.stop();
    let mut answers: Vec<_> =
        lines.iter().filter_map(|line| between(line, "mailed id=twice answer=", " ")).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[test]
fn a_replay_does_not_repeat_an_e_mail() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-rep"));
    let desk = TestDesk::new("ledger-replay");
    let host = desk.start(kafka, &guest, &["--mail-url", &sink.url()]);
    send(kafka, &guest, "once", "mailretry", "");
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    assert_eq!((host.handled("once"), sink.count("once")), (6, 1));
    desk.wait_for(&as_ingested(&guest, &kafka.read_all(&guest.dead)[0]));
    let replay = desk.wait_done(&desk.replay(&ReplayPlan::default()).id);
    assert_eq!((replay.failed, replay.dead_letters), (1, 1));
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 2);
    guest.settle(kafka);
    assert_eq!((host.handled("once"), mailed(&host, "once"), sink.count("once")), (12, 12, 1));
    host.stop();
}

#[test]
fn a_host_killed_after_sending_does_not_repeat_the_e_mail() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-kil"));
    let store = sqlite(&fresh("ledger-kill"));
    let mut host = start(kafka, &guest, &sink, &store);
    send(kafka, &guest, "killed", "mail", r#","ms":6000"#);
    eventually(BOUND, || mailed(&host, "killed") == 1);
    host.process.kill();
    let host = start(kafka, &guest, &sink, &store);
    eventually(BOUND, || mailed(&host, "killed") == 1);
    guest.settle(kafka);
    assert_eq!(sink.count("killed"), 1);
    host.stop();
}

#[test]
fn an_unsettled_e_mail_is_a_dead_letter_if_the_plugin_is_configured_so() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-unk"));
    let text = format!(
        "[mail]\nurl = \"{}\"\n[store]\nurl = \"{}\"\n[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\n\
         allow = [\"mail\"]\nunsettled = \"dead-letter\"\n",
        sink.url(),
        sqlite(&fresh("ledger-unknown")),
        guest.path.display(),
        guest.topic
    );
    let path = file("ledger-unknown.toml", text.as_bytes());
    let [flag, session] = SESSION;
    let path = path.to_str().expect("UTF-8");
    let args = ["--bootstrap-servers", kafka.bootstrap(), "--config", path, flag, session];
    let mut host = Host::run(&args, &[]);
    let held = sink.gate.lock();
    send(kafka, &guest, "unknown", "mail", "");
    eventually(BOUND, || sink.count("unknown") == 1);
    host.process.kill();
    drop(held);
    let host = Host::run(&args, &[]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    let dead_letter = &kafka.read_all(&guest.dead)[0];
    assert_eq!(dead_letter.header_text("host-failure-code").as_deref(), Some("unknown-effect"));
    assert_eq!(id_of(dead_letter), "unknown");
    guest.settle(kafka);
    assert_eq!(sink.count("unknown"), 1);
    host.stop();
}

#[test]
fn messages_wait_during_an_outage_of_the_store() {
    const COUNT: usize = 20;
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-pg"));
    let mut store = Postgres::start();
    let host = start(kafka, &guest, &sink, &store.url());
    send(kafka, &guest, "before", "mailretry", r#","until":2"#);
    eventually(BOUND, || host.handled("before") == 3);
    assert_eq!((mailed(&host, "before"), sink.count("before")), (2, 1));
    store.stop();
    let ids: Vec<String> = (0..COUNT).map(|number| format!("away-{number}")).collect();
    ids.iter().for_each(|id| send(kafka, &guest, id, "mail", ""));
    let is_warning = |line: &str| line.contains("nothing is sent without it");
    let line = host.process.wait_for(is_warning, BOUND);
    assert!(line.contains("postgres://host:***@") && !line.contains("hush"), "{line}");
    eventually(BOUND, || ids.iter().all(|id| host.handled(id) > 0));
    assert!(ids.iter().all(|id| sink.count(id) == 0), "sent without the store");
    store.start_again();
    host.process.wait_for(|line| line.contains("is available again"), BOUND);
    eventually(BOUND, || ids.iter().all(|id| mailed(&host, id) == 1));
    guest.settle(kafka);
    assert!(ids.iter().all(|id| sink.count(id) == 1));
    assert!(kafka.read_all(&guest.dead).is_empty());
    let metrics = testkit::get(host.port, "/metrics").expect("metrics").text();
    let remembered = format!(r#"host_effects_total{{group="{}",result="remembered"}} 1"#, guest.group);
    assert!(metrics.contains(&remembered), "{metrics}");
    let lines = host.stop();
    assert!(lines.iter().all(|line| !line.contains("hush")));
    // Logged once, then every 30 s, and not for every message.
    assert!(lines.iter().filter(|line| is_warning(line)).count() < 4);
}

#[test]
fn a_store_that_is_locked_at_start_is_waited_for() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-lck"));
    let path = fresh("ledger-locked");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = StoreUrl::parse(&sqlite(&path)).expect("a URL");
    let store = runtime.block_on(Store::open(url)).expect("a store");
    let mut other = runtime.block_on(store.connect()).expect("a connection");
    runtime.block_on(sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other)).expect("a lock");
    let (url, store) = (sink.url(), sqlite(&path));
    let args = ["--bootstrap-servers", kafka.bootstrap(), "--plugin", guest.path.to_str().expect("UTF-8")];
    let more = ["--mail-url", &url, "--store", &store, "--listen", "127.0.0.1:0"];
    let args: Vec<&str> = args.into_iter().chain(more).collect();
    let mut host = Process::start("host", &args);
    let line = host.wait_for(|line| line.contains("is locked by another process"), BOUND);
    assert!(line.contains("waiting up to 30 s"), "{line}");
    runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut other)).expect("no lock");
    host.wait_for(|line| line.starts_with("Ready in"), BOUND);
    host.terminate();
    assert_eq!(host.wait(BOUND).code(), Some(0));
    // The bound is that of the other waits at start.
    runtime.block_on(sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other)).expect("a lock");
    let mut host = Process::start("host", &args);
    let code = host.wait(BOUND).code();
    let output = host.lines().join("\n");
    assert!(code == Some(1) && output.contains("had it locked for 30 s"), "{code:?}: {output}");
    assert!(output.contains(&format!("fuser -v {}", path.display())), "{output}");
}

#[test]
fn a_missing_store_is_reported_at_start() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-not"));
    let run = |store: &str| {
        let path = guest.path.to_str().expect("UTF-8");
        let mail = sink.url();
        let args = ["--bootstrap-servers", kafka.bootstrap(), "--plugin", path, "--mail-url", &mail];
        let args: Vec<&str> = args.into_iter().chain(["--listen", "127.0.0.1:0", "--store", store]).collect();
        let mut host = Process::start("host", &args);
        let status = host.wait(BOUND + Duration::from_secs(30));
        (status.code(), host.lines().join("\n"))
    };
    let (code, output) = run("sqlite:/nowhere/host.db");
    assert!(code == Some(2) && output.contains("cannot open the store sqlite:/nowhere/host.db"), "{output}");
    let port = testkit::free_port();
    let (code, output) = run(&format!("postgres://me:hush@127.0.0.1:{port}/host"));
    assert!(code == Some(1) && output.contains("start PostgreSQL") && !output.contains("hush"), "{output}");
    let (code, output) = run("mysql://me:hush@db/host");
    assert!(code == Some(2) && output.contains("sqlite:host.db") && !output.contains("hush"), "{output}");
}
