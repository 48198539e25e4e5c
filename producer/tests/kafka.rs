//! The binary on a real Kafka: the guarantees of its responses, its start and its shutdown.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use producer::{EMAIL_TOPIC, SMS_TOPIC};
use serde_json::Value;
use testkit::{Kafka, Process, Rng, WallClock, eventually, scale};

const WAIT: Duration = Duration::from_secs(60);
/// The bound on a response, plus a margin for a busy client.
const ANSWER_BOUND: Duration = Duration::from_millis(5000 + 500);
const VALID_SMS: &str = r#"{"from":"1588-0000","to":"010-1234-5678","body":"내용"}"#;
const VALID: &str = r#"{"from":"a@example.com","to":"b@example.com","subject":"제목","body":"내용"}"#;

struct Service {
    process: Process,
    port: u16,
}

impl Service {
    fn start(bootstrap: &str) -> Self {
        Self::start_with(bootstrap, &[])
    }

    fn start_with(bootstrap: &str, env: &[(&str, &str)]) -> Self {
        let args = ["--bootstrap-servers", bootstrap, "--listen", "127.0.0.1:0"];
        let process = Process::start_with(Path::new(env!("CARGO_BIN_EXE_producer")), &args, env);
        let line = process.wait_for(|line| line.contains("http://127.0.0.1:"), WAIT);
        let port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Self { process, port }
    }

    fn send(&self, path: &str, id: &str) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", id)];
        let started = Instant::now();
        let body = if path.contains("/sms/") { VALID_SMS } else { VALID };
        let response =
            testkit::request(self.port, "POST", path, &headers, body.as_bytes()).expect("an answer");
        assert!(started.elapsed() <= ANSWER_BOUND, "{} after {:?}", response.status, started.elapsed());
        match response.status {
            200 => Answer::Sent,
            503 => {
                let problem: Value = serde_json::from_slice(&response.body).expect("a problem document");
                assert!(response.header("retry-after").is_some());
                match problem["delivery"].as_str() {
                    Some("not-sent") => Answer::NotSent,
                    Some("unknown") => Answer::Unknown,
                    _ => panic!("{problem}"),
                }
            }
            _ => panic!("{}: {}", response.status, response.text()),
        }
    }

    fn end(mut self) {
        self.process.terminate();
        assert!(self.process.wait(Duration::from_secs(30)).success(), "{:?}", self.process.lines());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Sent,
    NotSent,
    Unknown,
}

/// Requests from many connections until a stop.
#[derive(Default)]
struct Load {
    answers: Mutex<HashMap<String, Answer>>,
    sent: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    fn run(&self, service: &Service, sender: usize) {
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let id = format!("{sender}-{number}");
            let answer = service.send("/api/emails/send", &id);
            let counter = if answer == Answer::Sent { &self.sent } else { &self.failed };
            self.answers.lock().expect("no panic").insert(id, answer);
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait_for(counter: &AtomicUsize, more: usize) {
        let goal = counter.load(Ordering::Relaxed) + more;
        eventually(WAIT, || counter.load(Ordering::Relaxed) >= goal);
    }
}

/// Stops the load on drop, so that a failed test ends.
struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Checks the responses against the records of the topic.
#[track_caller]
fn assert_responses_are_true(kafka: &Kafka, answers: &HashMap<String, Answer>) {
    let ids: Vec<_> = kafka
        .read_all(EMAIL_TOPIC)
        .iter()
        .map(|record| record.header_text("host-id").expect("an id"))
        .collect();
    let stored: HashSet<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(ids.len(), stored.len(), "no message is stored twice");
    let of = |wanted| answers.iter().filter(move |(_, answer)| **answer == wanted).map(|(id, _)| id.as_str());
    let lost: Vec<_> = of(Answer::Sent).filter(|id| !stored.contains(id)).collect();
    let leaked: Vec<_> = of(Answer::NotSent).filter(|id| stored.contains(id)).collect();
    eprintln!(
        "{} sent, {} not-sent, {} unknown of which {} stored",
        of(Answer::Sent).count(),
        of(Answer::NotSent).count(),
        of(Answer::Unknown).count(),
        of(Answer::Unknown).filter(|id| stored.contains(id)).count(),
    );
    assert!(lost.is_empty(), "answered 200, but not in the topic: {lost:?}");
    assert!(leaked.is_empty(), "answered not-sent, but in the topic: {leaked:?}");
}

#[test]
fn responses_are_true_after_a_kill_of_the_broker_under_load() {
    let kafka = Kafka::start();
    let service = Service::start(kafka.bootstrap());
    let load = Load::default();
    let mut rng = Rng::seeded();
    std::thread::scope(|scope| {
        let _stop = Stop(&load);
        for sender in 0..64 {
            let (load, service) = (&load, &service);
            scope.spawn(move || load.run(service, sender));
        }
        for _ in 0..scale(3, 20) {
            let more = 500 + usize::try_from(rng.below(1500)).expect("small");
            Load::wait_for(&load.sent, more);
            kafka.kill();
            Load::wait_for(&load.failed, 1);
            kafka.start_again();
        }
        Load::wait_for(&load.sent, 1000);
    });
    service.end();
    assert_responses_are_true(&kafka, &load.answers.lock().expect("no panic"));
}

#[test]
fn responses_are_true_after_a_suspension_of_the_broker() {
    let kafka = Kafka::start();
    let service = Service::start(kafka.bootstrap());
    let load = Load::default();
    std::thread::scope(|scope| {
        let _stop = Stop(&load);
        for sender in 0..64 {
            let (load, service) = (&load, &service);
            scope.spawn(move || load.run(service, sender));
        }
        for _ in 0..scale(1, 5) {
            Load::wait_for(&load.sent, 1000);
            kafka.suspend();
            // Each sender has a request in flight and one in the queue.
            Load::wait_for(&load.failed, 128);
            kafka.resume();
        }
        Load::wait_for(&load.sent, 1000);
    });
    service.end();
    assert_responses_are_true(&kafka, &load.answers.lock().expect("no panic"));
}

#[test]
fn a_start_without_kafka_waits_for_it_and_creates_the_topics() {
    let kafka = Kafka::start_with(&[("auto.create.topics.enable", "false"), ("num.partitions", "3")]);
    kafka.kill();
    let service = Service::start(kafka.bootstrap());
    assert_eq!(service.send("/api/emails/send", "early"), Answer::NotSent);
    assert_eq!(testkit::get(service.port, "/readyz").expect("an answer").status, 503);
    kafka.start_again();
    eventually(WAIT, || testkit::get(service.port, "/readyz").expect("an answer").status == 200);
    eventually(WAIT, || service.send("/api/emails/send", "late") == Answer::Sent);
    eventually(WAIT, || service.send("/api/sms/send", "late") == Answer::Sent);
    let last = kafka.dir().join("data").join(format!("{SMS_TOPIC}-2"));
    eventually(WAIT, || last.is_dir()); // the broker's default: 3 partitions
    service.end();
    assert!(
        kafka
            .read_all(EMAIL_TOPIC)
            .iter()
            .all(|record| record.header_text("host-id").as_deref() == Some("late"))
    );
}

#[test]
fn the_first_request_on_a_new_broker_succeeds() {
    let kafka = Kafka::start();
    let service = Service::start(kafka.bootstrap());
    assert_eq!(service.send("/api/sms/send", "first"), Answer::Sent);
    assert_eq!(kafka.read_all(SMS_TOPIC).len(), 1);
    service.end();
}

#[test]
fn a_message_above_the_limit_of_its_topic_is_answered_with_413() {
    let kafka = Kafka::start();
    kafka.create_topic(EMAIL_TOPIC, 1, &[("max.message.bytes", "10000")]);
    let service = Service::start(kafka.bootstrap());
    let large = format!(r#"{{"from":"a@example.com","to":"b@example.com","body":"{}"}}"#, "x".repeat(20_000));
    let answer = testkit::post(service.port, "/api/emails/send", &large).expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains(r#""delivery":"not-sent""#), "{}", answer.text());
    assert_eq!(service.send("/api/emails/send", "small"), Answer::Sent);
    service.end();
    assert_eq!(kafka.read_all(EMAIL_TOPIC).len(), 1);
}

#[test]
fn a_log_that_cannot_be_written_does_not_end_the_service() {
    let kafka = Kafka::shared();
    let closed = || Stdio::from(std::io::pipe().expect("a pipe").1);
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("a full disk"));
    for (outputs, signal) in [([full(), closed()], "TERM"), ([closed(), full()], "INT")] {
        let port = testkit::free_port();
        let listen = format!("127.0.0.1:{port}");
        let args = ["--bootstrap-servers", kafka.bootstrap(), "--listen", &listen];
        let binary = Path::new(env!("CARGO_BIN_EXE_producer"));
        let mut service = Service { process: Process::start_into(binary, &args, &[], outputs), port };
        eventually(WAIT, || testkit::get(port, "/readyz").is_ok_and(|answer| answer.status == 200));
        assert_eq!(service.send("/api/sms/send", signal), Answer::Sent);
        service.process.signal(signal);
        assert_eq!(service.process.wait(WAIT).code(), Some(0));
    }
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_the_service() {
    use std::os::unix::process::ExitStatusExt as _;
    for delay in [0, 2, 5, 10, 20, 50, 100, 200, 400] {
        let args = ["--bootstrap-servers", "127.0.0.1:9", "--listen", "127.0.0.1:0"];
        let mut process = Process::start_with(Path::new(env!("CARGO_BIN_EXE_producer")), &args, &[]);
        // The moment is what is tested.
        std::thread::sleep(Duration::from_millis(delay));
        process.terminate();
        let status = process.wait(WAIT);
        // Before its first instruction, the system ends the process.
        assert!(status.code() == Some(0) || status.signal() == Some(15), "after {delay} ms: {status:?}");
    }
}

/// Kafka refuses messages whose time is more than an hour ahead of its own.
#[test]
fn an_answer_names_the_clock_if_kafka_refuses_its_time() {
    let (kafka, clock) = (Kafka::start(), WallClock::new("+9h"));
    let service = Service::start_with(kafka.bootstrap(), &clock.env());
    let headers = [("content-type", "application/json")];
    let send = || testkit::request(service.port, "POST", "/api/emails/send", &headers, VALID.as_bytes());
    // Also several in a batch, of which librdkafka reports another code.
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..16).map(|_| scope.spawn(send)).collect();
        for answer in senders {
            let answer = answer.join().expect("no panic").expect("an answer");
            let problem: Value = serde_json::from_slice(&answer.body).expect("a problem document");
            let detail = problem["detail"].as_str().expect("a detail");
            assert_eq!((answer.status, problem["delivery"].as_str()), (503, Some("not-sent")), "{problem}");
            assert!(detail.contains("the clock of the producer's machine may be wrong"), "{problem}");
        }
    });
    assert_eq!(service.process.count(|line| line.contains("refuses the time of this machine's clock")), 1);
    clock.set("+0");
    assert_eq!(send().expect("an answer").status, 200);
    service.end();
}
