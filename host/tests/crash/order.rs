//! `ordering = "key"`: the messages of a key end in their published order, over failures and rebalances.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use testkit::{Kafka, Record, Rng, eventually, plugin, scale};

use crate::fixture::{BOUND, Host, is_delivery, parse, store};
use crate::invariants::FAST;
use crate::workload::{ATTEMPTS, End, Task, Workload, id_of};

const PARTITIONS: usize = 4;
/// The minimum that the broker allows.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];

/// Hosts stop and start. No message is handled twice.
#[test]
fn a_keys_messages_end_in_order_over_rebalances() {
    let deliveries = churn("key", 200, |_, _| false);
    deliveries.check_exactly_once();
}

/// As above, but every third host is killed.
#[test]
fn a_keys_messages_end_in_order_over_a_crash() {
    churn("key", 200, |_, round| round % 3 == 1);
}

/// A partition is ordered like one key.
#[test]
fn a_partitions_messages_end_in_order_over_rebalances() {
    let deliveries = churn("partition", PARTITIONS, |_, _| false);
    deliveries.check_exactly_once();
}

/// More keys fail at once than the metadata of a commit can hold: the partition waits.
#[test]
fn a_partition_waits_if_more_keys_fail_than_a_commit_holds() {
    let mut rng = Rng::seeded();
    let keys = scale(3_000, 50_000);
    let work = Workload::new((0..keys).map(|_| Task::Flaky(1 + rng.below(4) as u32)));
    let kafka = Kafka::start();
    kafka.create_topic(FAST.source(), PARTITIONS, &[]);
    kafka.produce(FAST.source(), keyed(&work, work.ids(), keys, "key"));
    let config = configure(&kafka, "key", "");
    let mut deliveries = Ordered::default();
    let first = join(&kafka, &config);
    first.wait_handled(keys / 4, BOUND);
    // Completed offsets beyond the committed one are known to the next member.
    deliveries.add(&first.stop());
    let second = join(&kafka, &config);
    settle(&kafka, scale(2, 6) * BOUND);
    deliveries.add(&second.stop());
    deliveries.check(&kafka, &work, keys, "key");
    deliveries.check_exactly_once();
    let refused = deliveries.warnings().find(|line| line.contains("commit"));
    assert_eq!(refused, None, "a commit failed");
}

/// Replaces one of two hosts in each round while messages are published. `dies` decides whether it is killed.
fn churn(ordering: &str, keys: usize, dies: impl Fn(&mut Rng, usize) -> bool) -> Ordered {
    let mut rng = Rng::seeded();
    // While a message of an ordered partition waits, the whole partition waits.
    let (rounds, round) = match ordering {
        "partition" => scale((2, 150), (6, 600)),
        _ => scale((3, 1_500), (10, 5_000)),
    };
    let mut work = Workload::mixed(&mut rng, rounds * round);
    if ordering == "partition" {
        work = Workload::new(work.ids().map(|_| task(&mut rng)));
    }
    let kafka = Kafka::start();
    let config = configure(&kafka, ordering, "");
    let churn = Churn { kafka: &kafka, config: &config, work: &work, keys, ordering };
    let deliveries = churn.run(&mut rng, (rounds, round), dies);
    deliveries.check(&kafka, &work, keys, ordering);
    deliveries
}

/// Hosts that come and go.
struct Churn<'a> {
    kafka: &'a Kafka,
    config: &'a str,
    work: &'a Workload,
    keys: usize,
    ordering: &'a str,
}

impl Churn<'_> {
    fn run(
        &self,
        rng: &mut Rng,
        (rounds, round): (usize, usize),
        dies: impl Fn(&mut Rng, usize) -> bool,
    ) -> Ordered {
        let Self { kafka, config, work, keys, ordering } = self;
        kafka.create_topic(FAST.source(), PARTITIONS, &[]);
        let mut deliveries = Ordered::default();
        let mut hosts = vec![join(kafka, config), join(kafka, config)];
        for number in 0..rounds {
            let ids = number * round..(number + 1) * round;
            kafka.produce(FAST.source(), keyed(work, ids, *keys, ordering));
            // During the messages that were published last.
            let enough = rng.below(round as u64 / 2) as i64;
            let before = FAST.lag(kafka, 1);
            eventually(2 * BOUND, || FAST.lag(kafka, 1) <= (before - 1 - enough).max(0));
            let leaver = hosts.remove(rng.below(2) as usize);
            let lines = if dies(rng, number) { leaver.kill() } else { leaver.stop() };
            deliveries.add(&lines);
            hosts.push(join(kafka, config));
        }
        settle(kafka, scale(3, 6) * BOUND);
        hosts.into_iter().for_each(|host| deliveries.add(&host.stop()));
        deliveries
    }
}

/// A held key is held by every host, over rebalances and kills.
#[test]
fn nothing_behind_a_dead_letter_of_a_held_key_is_handled() {
    const KEYS: usize = 100;
    let mut rng = Rng::seeded();
    let (rounds, round) = scale((3, 1_500), (10, 5_000));
    let work = Workload::new((0..rounds * round).map(|_| match rng.below(40) {
        0 => Task::Rejected,
        1 => Task::Hopeless,
        2..6 => Task::Flaky(1 + rng.below(2) as u32),
        6..9 => Task::Slow(1 + rng.below(20)),
        _ => Task::Done,
    }));
    let kafka = Kafka::start();
    let config = configure(&kafka, "key", "on-dead = \"hold\"\n");
    let churn = Churn { kafka: &kafka, config: &config, work: &work, keys: KEYS, ordering: "key" };
    let deliveries = churn.run(&mut rng, (rounds, round), |_, number| number % 2 == 1);
    let called: BTreeSet<usize> = deliveries.all.iter().map(|(_, id, _)| *id).collect();
    let dead: BTreeSet<usize> = kafka.read_all(&FAST.dead()).iter().map(id_of).collect();
    let mut held = BTreeSet::new();
    for id in work.ids() {
        let is_held = held.contains(&place(id, KEYS));
        let is_dead = is_held || work.end(id, work.last_attempt(id)) == End::Dead;
        assert_eq!(
            (called.contains(&id), dead.contains(&id)),
            (!is_held, is_dead),
            "message {id}: {is_held}"
        );
        if is_dead {
            held.insert(place(id, KEYS));
        }
    }
    let all = work.len();
    println!(
        "{all} messages, {} of {KEYS} keys held, {} called, {} dead",
        held.len(),
        called.len(),
        dead.len()
    );
    assert!(called.len() > all / 20 && dead.len() > all / 20, "nothing was shown");
}

/// A third of the messages fails, mostly briefly, because the partition waits meanwhile.
fn task(rng: &mut Rng) -> Task {
    match rng.below(30) {
        0..8 => Task::Flaky(1 + rng.below(2) as u32),
        8 => Task::Hopeless,
        9 => Task::Rejected,
        10..12 => Task::Slow(1 + rng.below(100)),
        _ => Task::Done,
    }
}

/// A configuration with this ordering and more lines.
fn configure(kafka: &Kafka, ordering: &str, more: &str) -> String {
    let path = kafka.dir().join("host.toml");
    let (component, topic) = (plugin("faulty_fast"), FAST.source());
    let text = format!(
        "[[plugin]]\npath = \"{}\"\ntopic = \"{topic}\"\nordering = \"{ordering}\"\n{more}",
        component.display()
    );
    std::fs::write(&path, text).expect("a configuration file");
    path.display().to_string()
}

fn join(kafka: &Kafka, config: &str) -> Host {
    let server = kafka.bootstrap();
    let store = store(kafka);
    let mut args = vec!["--config", config, "--bootstrap-servers", server, "--listen", "127.0.0.1:0"];
    args.extend(["--store", &store]);
    args.extend(SESSION);
    let host = Host::start_as(&args);
    host.ready(BOUND);
    host
}

/// Waits until there is no lag. There are no retry topics.
fn settle(kafka: &Kafka, bound: Duration) {
    eventually(bound, || FAST.lag(kafka, 1) == 0);
}

/// The key of a message, or its partition with `ordering = "partition"`.
fn place(id: usize, keys: usize) -> usize {
    id % keys
}

fn keyed(work: &Workload, ids: Range<usize>, keys: usize, ordering: &str) -> Vec<Record> {
    let records = ids.clone().zip(work.records(ids));
    let keyed = records.map(|(id, record)| match ordering {
        "partition" => record.on(place(id, keys) as i32),
        _ => record.with_key(format!("key-{}", place(id, keys))),
    });
    keyed.collect()
}

/// Deliveries of several processes, in order of time.
#[derive(Default)]
struct Ordered {
    /// The timestamp of the log, which sorts as text, the id and the attempt.
    all: Vec<(String, usize, u32)>,
    lines: Vec<String>,
}

impl Ordered {
    fn add(&mut self, lines: &[String]) {
        for line in lines {
            if is_delivery(line) {
                let time = line.split(' ').next().unwrap_or_default().to_owned();
                assert!(time.ends_with('Z'), "no timestamp: {line}");
                let (id, attempt) = parse(line);
                self.all.push((time, id, attempt));
            } else {
                self.lines.push(line.clone());
            }
        }
        self.all.sort();
    }

    fn warnings(&self) -> impl Iterator<Item = &String> {
        self.lines.iter().filter(|line| line.contains("WARN") || line.contains("ERROR"))
    }

    fn repeats(&self) -> usize {
        let distinct: BTreeSet<_> = self.all.iter().map(|(_, id, attempt)| (id, attempt)).collect();
        self.all.len() - distinct.len()
    }

    #[track_caller]
    fn check(&self, kafka: &Kafka, work: &Workload, keys: usize, ordering: &str) {
        self.check_attempts(work);
        self.check_order(work, keys, ordering);
        let dead_letters: Vec<usize> = kafka.read_all(&FAST.dead()).iter().map(id_of).collect();
        let dead: BTreeSet<usize> = dead_letters.iter().copied().collect();
        let doomed: BTreeSet<usize> =
            work.ids().filter(|id| work.end(*id, work.last_attempt(*id)) == End::Dead).collect();
        assert_eq!(dead, doomed, "dead letters");
        println!(
            "{ordering}: {} messages, {} of them dead; repeated: {} deliveries, {} dead letters",
            work.len(),
            dead.len(),
            self.repeats(),
            dead_letters.len() - dead.len()
        );
    }

    /// Checks that every message was delivered on each attempt up to its last, first deliveries in ascending
    /// order.
    fn check_attempts(&self, work: &Workload) {
        let mut first: HashMap<usize, Vec<u32>> = HashMap::new();
        for (_, id, attempt) in &self.all {
            let attempts = first.entry(*id).or_default();
            if !attempts.contains(attempt) {
                attempts.push(*attempt);
            }
        }
        for id in work.ids() {
            let expected: Vec<u32> = (1..=work.last_attempt(id)).collect();
            let found = first.get(&id).map(Vec::as_slice).unwrap_or_default();
            assert_eq!(found, expected, "the attempts of message {id} (of {ATTEMPTS} at most)");
        }
    }

    /// Checks that no message started before the last delivery of the previous message of its key.
    fn check_order(&self, work: &Workload, keys: usize, ordering: &str) {
        let (mut begun, mut ended) = (BTreeMap::new(), BTreeMap::new());
        for (index, (_, id, attempt)) in self.all.iter().enumerate() {
            begun.entry(*id).or_insert(index);
            if *attempt == work.last_attempt(*id) {
                ended.entry(*id).or_insert(index);
            }
        }
        let mut last: HashMap<usize, usize> = HashMap::new();
        for id in work.ids() {
            let of = place(id, keys);
            if let Some(before) = last.insert(of, id) {
                assert!(
                    ended[&before] < begun[&id],
                    "message {id} of {ordering} {of} started before {before} had ended: {:?} and {:?}",
                    self.all[begun[&id]],
                    self.all[ended[&before]]
                );
            }
        }
    }

    #[track_caller]
    fn check_exactly_once(&self) {
        assert_eq!(self.repeats(), 0, "repeated without a crash");
    }
}
