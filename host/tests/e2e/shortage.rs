//! A host that is short of files, or of address space: what meets the shortage waits, and no message is the worse for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::{Kafka, ManneredSmtp, Manners, Record, binary};

use crate::http_server::{HttpServer, answer};
use crate::mail_servers;
use crate::sms::{codes, settle, solapi, start_in};
use crate::support::{BOUND, Guest, Host, attempts, body, deliveries};

const MESSAGES: usize = 5;
/// The time that the server waits for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// Lets the host open no more files, or as many as at its start.
fn limit_files(host: &Host, soft: &str) {
    let (pid, limit) = (host.process.pid().to_string(), format!("--nofile={soft}:"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().expect("prlimit").success());
}

/// Lets the host meet a shortage of files with messages, and waits for the end of both.
fn meet_shortage(kafka: &Kafka, host: &Host, topic: &str, messages: impl Iterator<Item = Record>) {
    limit_files(host, "3");
    kafka.produce(topic, messages);
    host.process.wait_for(|line| line.contains("Too many open files"), BOUND);
    let lines = host.process.lines();
    assert_eq!(lines.iter().find(|line| line.contains("does not work")), None, "the server is not to blame");
    limit_files(host, "1024");
    settle(kafka, topic);
    let ends = (mail_servers::dead(kafka, topic), mail_servers::retried(kafka, topic));
    assert_eq!(ends, (0, 0), "(dead, retried)");
}

#[test]
fn an_e_mail_waits_for_the_end_of_a_shortage_of_files() {
    let (kafka, topic) = (Kafka::shared(), "short.mail");
    let server = ManneredSmtp::start(Manners::default());
    kafka.create_topic(topic, 2, &[]);
    let host = mail_servers::start(kafka, &server, topic, "", "");
    meet_shortage(kafka, &host, topic, mail_servers::emails(topic, MESSAGES));
    assert_eq!(server.subjects().len(), MESSAGES);
    host.stop();
}

#[test]
fn a_request_waits_for_the_end_of_a_shortage_of_files() {
    let (kafka, topic, gateway) = (Kafka::shared(), "short.http", solapi());
    let server =
        HttpServer::start(move |_, stream| answer(stream, gateway.accepted.0, &[], gateway.accepted.1));
    let url = format!("http://{}", server.address);
    // Without a breaker, the plugin gets every failure of a connection.
    let lines =
        format!("allow = [\"{url}\"]\n[plugin.http.\"{url}\"]\n{}\nbreaker = 0\n", gateway.credentials);
    let host = start_in(&[], kafka, topic, &format!("gateway = \"solapi\", url = \"{url}\""), &lines);
    let texts = (0..MESSAGES).map(|n| format!(r#"{{"from":"1588-0000","to":"010123{n:05}","body":"b"}}"#));
    meet_shortage(kafka, &host, topic, texts.map(Record::new));
    assert_eq!(server.requests().len(), MESSAGES);
    assert!(codes(kafka, topic).is_empty());
    host.stop();
}

/// The answer of a health check that waits for less time than the server does for the head of a request.
fn health(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), HEAD / 4)?;
    stream.set_read_timeout(Some(HEAD / 4))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn connections_without_a_request_keep_no_health_check_out() {
    const CONNECTIONS: usize = 1100;
    let kafka = Kafka::shared();
    let guest = Guest::fast("half-open");
    kafka.create_topic(&guest.topic, 1, &[]);
    let (program, path) = (binary("host").display().to_string(), guest.path.display().to_string());
    let args = ["--nofile=1024:1024", &program, "--plugin", &path, "--bootstrap-servers", kafka.bootstrap()];
    let host = Host::run_program(Path::new("prlimit"), &args, &[]);
    // This process has the other ends of the connections.
    let _ = base::files::raise_limit();
    let before = host.process.usage().rss;
    let head = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Endless: {}", "x".repeat(10 << 10));
    let mut open = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        // None: no connection is accepted any more, and the queue of the listener is full.
        let connected = TcpStream::connect_timeout(&([127, 0, 0, 1], host.port).into(), HEAD / 10);
        let Ok(mut stream) = connected else { break };
        // The host may have closed it for another one.
        let _ = stream.write_all(head.as_bytes());
        open.push(stream);
    }
    let answer = health(host.port).expect("an answer while the connections are open");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let used = host.process.usage().rss.saturating_sub(before);
    assert!(used < 32 << 20, "{used} bytes for unfinished heads");
    kafka.produce(&guest.topic, [Record::new(body("h", "done", ""))]);
    guest.settle(kafka);
    drop(open);
    assert_eq!(attempts(&deliveries(&host.stop()), "h"), [1]);
}

#[test]
fn a_host_with_little_address_space_handles_messages() {
    const COUNT: usize = 200;
    let kafka = Kafka::shared();
    let guest = Guest::fast("ulimit-v");
    kafka.create_topic(&guest.topic, 2, &[]);
    let (program, path) = (binary("host").display().to_string(), guest.path.display().to_string());
    let args = ["--as=6442450944", &program, "--plugin", &path, "--bootstrap-servers", kafka.bootstrap()];
    let host = Host::run_program(Path::new("prlimit"), &args, &[]);
    kafka.produce(&guest.topic, (0..COUNT).map(|n| Record::new(body(&format!("v{n}"), "done", ""))));
    guest.settle(kafka);
    let lines = host.stop();
    let warned = lines.iter().filter(|line| line.contains("instances get their memory on demand")).count();
    assert_eq!(warned, 1);
    let all = deliveries(&lines);
    assert!((0..COUNT).all(|n| attempts(&all, &format!("v{n}")) == [1]), "{all:?}");
}
