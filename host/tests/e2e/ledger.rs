//! What a message has sent is not sent again: not by a retry, nor after a crash.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::spawn;
use std::time::Duration;

use desk::jobs::Plan;
use mailin_embedded::{Handler, Response, Server, SslConfig, response};
use parking_lot::Mutex;
use testkit::{Kafka, Postgres, Record, eventually};

use crate::replay::{Office, taken};
use crate::support::{BOUND, Guest, Host, between, body, file, fresh, id_of, sqlite};

/// A mail server that keeps the subjects of what it was sent, and answers while its gate is open.
#[derive(Clone)]
struct Sink {
    address: SocketAddr,
    subjects: Arc<Mutex<Vec<String>>>,
    gate: Arc<Mutex<()>>,
}

/// How soon a host that was killed is missed.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];

/// One session.
#[derive(Clone)]
struct Session {
    sink: Sink,
    data: Vec<u8>,
}

impl Sink {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let sink = Self { address, subjects: Arc::default(), gate: Arc::default() };
        let mut server = Server::new(Session { sink: sink.clone(), data: Vec::new() });
        server.with_num_threads(32).with_tcp_listener(listener);
        server.with_ssl(SslConfig::None).expect("without TLS");
        spawn(move || drop(server.serve()));
        sink
    }

    fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// How often an e-mail with this subject came.
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
fn one_mail_over_all_attempts() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-one"));
    let host = start(kafka, &guest, &sink, &sqlite(&fresh("ledger-one")));
    send(kafka, &guest, "twice", "mailretry", "");
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    guest.settle(kafka);
    assert_eq!((host.handled("twice"), mailed(&host, "twice")), (6, 6));
    assert_eq!(sink.count("twice"), 1);
    // The message's second call was given the same answer as its first.
    let lines = host.stop();
    let mut answers: Vec<_> =
        lines.iter().filter_map(|line| between(line, "mailed id=twice answer=", " ")).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[test]
fn a_replay_does_not_send_what_was_sent() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-rep"));
    let office = Office::new("ledger-replay");
    let host = office.start(kafka, &guest, &["--mail-url", &sink.url()]);
    send(kafka, &guest, "once", "mailretry", "");
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    assert_eq!((host.handled("once"), sink.count("once")), (6, 1));
    office.wait_for(&taken(&guest, &kafka.read_all(&guest.dead)[0]));
    let job = office.wait_done(&office.replay(&Plan::default()).id);
    assert_eq!((job.failed, job.letters), (1, 1));
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 2);
    guest.settle(kafka);
    assert_eq!((host.handled("once"), mailed(&host, "once"), sink.count("once")), (12, 12, 1));
    host.stop();
}

#[test]
fn a_host_that_is_killed_after_it_sent_does_not_send_again() {
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
fn what_may_have_been_sent_is_a_dead_letter_where_the_plugin_has_it_so() {
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
    let letter = &kafka.read_all(&guest.dead)[0];
    assert_eq!(letter.header_text("host-failure-code").as_deref(), Some("unknown-effect"));
    assert_eq!(id_of(letter), "unknown");
    guest.settle(kafka);
    assert_eq!(sink.count("unknown"), 1);
    host.stop();
}

#[test]
fn messages_wait_while_the_store_is_away() {
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
    let said = |line: &str| line.contains("nothing is sent without it");
    let line = host.process.wait_for(said, BOUND);
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
    // Said once and then every 30 s, and not for every message.
    assert!(lines.iter().filter(|line| said(line)).count() < 4);
}

#[test]
fn a_store_that_is_not_there_is_said_at_start() {
    let (kafka, sink, guest) = (Kafka::shared(), Sink::start(), Guest::fast("ledger-not"));
    let run = |store: &str| {
        let path = guest.path.to_str().expect("UTF-8");
        let mail = sink.url();
        let args = ["--bootstrap-servers", kafka.bootstrap(), "--plugin", path, "--mail-url", &mail];
        let args: Vec<&str> = args.into_iter().chain(["--listen", "127.0.0.1:0", "--store", store]).collect();
        let mut host = testkit::Process::start("host", &args);
        let status = host.wait(BOUND + Duration::from_secs(30));
        (status.code(), host.lines().join("\n"))
    };
    let (code, told) = run("sqlite:/nowhere/host.db");
    assert!(code == Some(2) && told.contains("cannot open the store sqlite:/nowhere/host.db"), "{told}");
    let port = testkit::free_port();
    let (code, told) = run(&format!("postgres://me:hush@127.0.0.1:{port}/host"));
    assert!(code == Some(1) && told.contains("start PostgreSQL") && !told.contains("hush"), "{told}");
    let (code, told) = run("mysql://me:hush@db/host");
    assert!(code == Some(2) && told.contains("sqlite:host.db") && !told.contains("hush"), "{told}");
}
