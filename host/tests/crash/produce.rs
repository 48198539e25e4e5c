//! Records of plugins while the host is killed with SIGKILL, counted in their topic and against the ledger.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, Record, Rng, eventually, plugin, scale};

use crate::effects::Effects;
use crate::fixture::{BOUND, Host};
use crate::mail::{ever_unsettled, unsettled};

const SOURCE: &str = "faulty-fast";
const GROUP: &str = "faulty-fast-group";
const DEAD: &str = "faulty-fast.dlt";
const RESULTS: &str = "results";

/// The records in the topic: the `host-id` of each copy, by message.
type Published = HashMap<usize, Vec<String>>;

struct Scene {
    kafka: Kafka,
    config: PathBuf,
    store: PathBuf,
    begun: Instant,
}

impl Scene {
    /// Every message asks for one record.
    fn new(count: usize, unsettled: &str) -> Self {
        let kafka = Kafka::start();
        kafka.create_topic(SOURCE, 4, &[]);
        kafka.create_topic(RESULTS, 4, &[]);
        let (config, store) = (kafka.dir().join("host.toml"), kafka.dir().join("host.db"));
        let text = format!(
            "[[plugin]]\npath = {:?}\ntopic = {SOURCE:?}\nallow = [\"produce:{RESULTS}\"]\n\
             unsettled = {unsettled:?}\nretry = {{ retries = 0 }}\n",
            plugin("faulty_fast"),
        );
        std::fs::write(&config, text).expect("the file of the test");
        let message = |id: usize| {
            let text = format!(r#"{{"id":"{id}","do":"produce","to":["{RESULTS}"]}}"#);
            Record::new(text).with_key(format!("{id}")).with_header("host-id", format!("{id}"))
        };
        kafka.produce(SOURCE, (0..count).map(message));
        Self { kafka, config, store, begun: Instant::now() }
    }

    fn start(&self) -> Host {
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let (config, store) = (text(&self.config), format!("sqlite:{}", text(&self.store)));
        let bootstrap = self.kafka.bootstrap();
        // With an instance id, so that the next process takes over at once.
        let session = ["-X", "group.instance.id=killed"];
        let args = ["--config", &config, "--store", &store, "--bootstrap-servers", bootstrap];
        Host::start_as(&[&args[..], &session, &["--listen", "127.0.0.1:0"]].concat())
    }

    fn sent(&self) -> usize {
        usize::try_from(self.kafka.end_offsets(RESULTS).iter().sum::<i64>()).expect("a number")
    }

    fn published(&self) -> Published {
        let mut published = Published::new();
        for record in self.kafka.read_all(RESULTS) {
            let key = String::from_utf8(record.key.clone().expect("a key")).expect("a number");
            let id = record.header_text("host-id").expect("an id");
            published.entry(key.parse().expect("a number")).or_default().push(id);
        }
        published
    }

    /// Kills a host at a random time within its share of the records. Returns the effects in the store.
    fn kill(&self, rng: &mut Rng, count: usize, left: usize) -> Effects {
        let host = self.start();
        let before = self.sent();
        let part = count.saturating_sub(before) / (left + 1) / 2;
        let more = 1 + rng.below(part.max(1) as u64) as usize;
        eventually(BOUND, || self.sent() >= before + more);
        sleep(Duration::from_millis(rng.below(20)));
        host.kill();
        let (published, effects) = (self.published(), Effects::of(&self.store));
        println!(
            "kill after {:.1} s: {} published, {} repetitions so far; {} effects unsettled",
            self.begun.elapsed().as_secs_f64(),
            published.len(),
            repetitions(&published),
            effects.unsettled.len(),
        );
        assert!(published.len() < count, "the kill was after the last record");
        let unwritten: Vec<_> = published.keys().filter(|id| !effects.has(**id)).collect();
        assert!(unwritten.is_empty(), "published, but not in the store: {unwritten:?}");
        let lost: Vec<_> = effects.settled.iter().filter(|id| !published.contains_key(id)).collect();
        assert!(lost.is_empty(), "done, but not in the topic: {lost:?}");
        effects
    }

    /// Runs a host until all messages have ended. Returns the effects in the store.
    fn finish(&self) -> Effects {
        let host = self.start();
        eventually(scale(2, 10) * BOUND, || self.kafka.lag(GROUP, SOURCE) == 0);
        host.stop();
        println!("done after {:.1} s", self.begun.elapsed().as_secs_f64());
        Effects::of(&self.store)
    }

    /// The messages with a dead letter, all of which are in doubt.
    fn dead(&self) -> HashSet<usize> {
        let id = |record: Record| {
            assert_eq!(record.header_text("host-failure-code").as_deref(), Some("unknown-effect"));
            record.header_text("host-id").expect("an id").parse().expect("a number")
        };
        self.kafka.read_all(DEAD).into_iter().map(id).collect()
    }
}

/// The number of records beyond one per message.
fn repetitions(published: &Published) -> usize {
    published.values().map(|copies| copies.len() - 1).sum()
}

/// Copies of a record have one id, which no other record has.
fn check_ids(published: &Published) {
    let mut seen = HashSet::new();
    for (id, copies) in published {
        assert!(copies.iter().all(|copy| *copy == copies[0]), "{id} has more than one id: {copies:?}");
        assert!(seen.insert(&copies[0]), "{id} has the id of another record: {}", copies[0]);
    }
}

/// Kills hosts while their records are in flight. Returns what is left when all messages have ended.
fn killed(kills: usize, count: usize, how: &str) -> (Scene, Vec<Effects>, Effects, Published) {
    let mut rng = Rng::seeded();
    let scene = Scene::new(count, how);
    let kills: Vec<Effects> = (0..kills).rev().map(|left| scene.kill(&mut rng, count, left)).collect();
    let end = scene.finish();
    let published = scene.published();
    println!(
        "{count} messages, {} kills, {} of them unsettled after one: {} published, {} repetitions",
        kills.len(),
        ever_unsettled(&kills),
        published.len(),
        repetitions(&published),
    );
    assert!(kills.iter().any(|left| !left.unsettled.is_empty()), "no kill was during a record");
    check_ids(&published);
    (scene, kills, end, published)
}

#[test]
fn kills_lose_no_record_and_repeat_only_those_in_doubt() {
    let count = scale(5_000, 100_000);
    let (scene, kills, end, published) = killed(scale(3, 20), count, "send");
    let missing: Vec<_> = (0..count).filter(|id| !published.contains_key(id)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    for (id, copies) in &published {
        let doubts = unsettled(&kills, *id);
        assert!(copies.len() - 1 <= doubts, "{id}: {} copies, in doubt after {doubts} kills", copies.len());
    }
    assert_eq!((end.settled.len(), end.unsettled.len()), (count, 0));
    assert!(scene.dead().is_empty());
}

#[test]
fn kills_repeat_no_record_if_those_in_doubt_are_dead_letters() {
    let count = scale(2_000, 20_000);
    let (scene, kills, end, published) = killed(scale(1, 5), count, "dead-letter");
    assert_eq!(repetitions(&published), 0);
    let dead = scene.dead();
    for id in 0..count {
        let is_doubtful = unsettled(&kills, id) > 0;
        assert!(published.contains_key(&id) || dead.contains(&id), "{id} is missing");
        assert!(is_doubtful || !dead.contains(&id), "{id} is a dead letter and was never in doubt");
    }
    assert_eq!(end.unsettled, dead);
}
