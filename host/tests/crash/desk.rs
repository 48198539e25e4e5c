//! The desk with many dead letters: each is stored once, and every page can be read.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Kafka, Record, Rng, eventually, scale};

use crate::fixture::{BOUND, Host};

const TOPIC: &str = "faulty-fast";
const DEAD: &str = "faulty-fast.dlt";
const GROUP: &str = "faulty-fast-dlt-group";
/// An instance id, with which the next process takes over at once.
const MEMBER: [&str; 2] = ["-X", "group.instance.id=desk"];

/// Half of them are rejected; the others are invalid.
fn message(number: usize) -> Record {
    let wrong = if number.is_multiple_of(2) { r#""do":"reject""# } else { r#""done":true"# };
    Record::new(format!(r#"{{"id":"{number}",{wrong},"path":"{}"}}"#, "x".repeat(150)))
}

/// The desk's API of a running host.
struct Api(u16);

impl Api {
    fn of(host: &Host) -> Self {
        let line = host.wait(|line| line.contains("  health   http://"), BOUND);
        let port = line.trim_end_matches("/readyz").rsplit(':').next().and_then(|port| port.parse().ok());
        Self(port.unwrap_or_else(|| panic!("no port: {line}")))
    }

    fn get(&self, path: &str) -> Value {
        let answer = testkit::get(self.0, &format!("/api/v1{path}")).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    fn count(&self, filter: &str) -> u64 {
        self.get(&format!("/dead-letters/count?{filter}"))["dead_letters"].as_u64().expect("a number")
    }

    /// Reads every page. Returns the number of dead letters, and the times of the slowest page, the last page
    /// and a jump to the end.
    fn pages(&self, filter: &str) -> (usize, [Duration; 3]) {
        let read = |page: &Value| page["items"].as_array().expect("items").len();
        let (mut path, mut dead_letters, mut took) =
            (format!("/dead-letters?limit=50{filter}"), 0, Vec::<Duration>::new());
        loop {
            let (started, page) = (Instant::now(), self.get(&path));
            took.push(started.elapsed());
            dead_letters += read(&page);
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/dead-letters?limit=50{filter}&after={next}");
        }
        let started = Instant::now();
        assert_eq!(read(&self.get(&format!("/dead-letters?limit=50&last=true{filter}"))), 50);
        let jump = started.elapsed();
        (dead_letters, [took.iter().max().copied().unwrap_or_default(), took[took.len() - 1], jump])
    }
}

/// `--nocapture` prints the times; a page should take at most 100 ms.
#[test]
fn many_dead_letters_are_stored_once_and_every_page_is_read() {
    let count = scale(2_000, 100_000);
    let kafka = Kafka::start();
    kafka.create_topic(TOPIC, 4, &[]);
    kafka.produce(TOPIC, (0..count).map(message));
    let bound = scale(1, 10) * BOUND;
    // The dead letters are produced without a desk, so that only the intake is measured.
    let host = Host::start(&kafka, &["faulty_fast"], &["--desk=false", MEMBER[0], MEMBER[1]]);
    let dead = || kafka.end_offsets(DEAD).iter().sum::<i64>();
    host.ready(BOUND);
    eventually(bound, || kafka.lag("faulty-fast-group", TOPIC) == 0);
    host.stop();
    assert_eq!(dead(), count as i64);

    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("many-{}.db", std::process::id()));
    for other in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{other}", path.display()));
    }
    let store = format!("sqlite:{}", path.display());
    let start = || Host::start(&kafka, &["faulty_fast"], &["--store", &store, MEMBER[0], MEMBER[1]]);
    let host = start();
    let api = Api::of(&host);
    host.ready(BOUND);
    // At a random time during the intake.
    let some = (count / 4) as u64 + Rng::seeded().below(count as u64 / 4);
    let before = Instant::now();
    eventually(bound, || api.count("state=open") >= some);
    let first = api.count("state=open");
    println!(
        "{first} dead letters were stored when the host was killed, {:?} after it was ready",
        before.elapsed()
    );
    host.kill();
    let host = start();
    let api = Api::of(&host);
    host.ready(BOUND);
    let (started, from) = (Instant::now(), api.count("state=open"));
    eventually(bound, || api.count("state=open") >= count as u64);
    let rate = (count as u64 - from) as f64 / started.elapsed().as_secs_f64();
    println!("{} dead letters were stored after that, {rate:.0} per second", count as u64 - from);
    eventually(BOUND, || kafka.lag(GROUP, DEAD) == 0);
    assert_eq!((api.count(""), api.count("state=open"), dead()), (count as u64, count as u64, count as i64));
    read_every_page(&api, count);
    host.stop();
}

/// Reads the failures, every page of several filters, and the first page of several searches.
fn read_every_page(api: &Api, count: usize) {
    let started = Instant::now();
    let failures = api.get("/failures?open=true");
    println!("the list of failures: {:?}", started.elapsed());
    let failures = failures["items"].as_array().expect("items");
    let sizes: Vec<_> = failures.iter().filter_map(|failure| failure["open"].as_u64()).collect();
    assert_eq!(sizes, [count as u64 / 2, count as u64 / 2], "{failures:?}");
    let failure = failures[0]["id"].as_str().expect("an id");
    let filters = [
        ("all", count, String::new()),
        ("open", count, "&state=open".to_owned()),
        ("of a failure", count / 2, format!("&state=open&failure={failure}")),
        ("with a code", count / 2, "&code=invalid-message".to_owned()),
    ];
    for (name, wanted, filter) in filters {
        let (dead_letters, [slowest, last, jump]) = api.pages(&filter);
        println!(
            "{name}: {dead_letters} dead letters; slowest page {slowest:?}, last {last:?}, by last=true {jump:?}"
        );
        assert_eq!(dead_letters, wanted, "{name}");
    }
    for text in ["xxxx", "nowhere-to-be-found", &format!("\"id\":\"{}\"", count - 1)] {
        let started = Instant::now();
        let found = api.get(&format!("/dead-letters?limit=50&text={}", text.replace('"', "%22")));
        let found = found["items"].as_array().expect("items").len();
        println!("a search for {text}: {found} on the first page, {:?}", started.elapsed());
    }
}
