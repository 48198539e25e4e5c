//! E-mails while the host is killed with SIGKILL, counted at the server.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{Kafka, Postfix, Record, Rng, eventually, plugin, scale};

use crate::effects::Effects;
use crate::fixture::{BOUND, Host};

const TOPIC: &str = "email.send";
const GROUP: &str = "email-send-group";
const RETRY: (&str, &str) = ("email-send-group-retry", "email.send-retry");
pub const DEAD: &str = "email.send.dlt";

/// The e-mails that a server has accepted: the `Message-ID` of each copy, by message.
pub type Accepted = HashMap<usize, Vec<String>>;

/// The number of copies beyond one per message.
pub fn duplicates(accepted: &Accepted) -> usize {
    accepted.values().map(|copies| copies.len() - 1).sum()
}

/// A broker with a topic of e-mails, and the configuration of a host that sends them.
pub struct Scene {
    pub kafka: Kafka,
    dir: PathBuf,
    config: PathBuf,
    store: PathBuf,
    begun: Instant,
}

impl Scene {
    /// Creates a directory and a configuration with this `unsettled` setting of the plugin.
    pub fn new(name: &str, url: &str, ca: &Path, unsettled: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("crash-{name}-{unsettled}-{}", std::process::id()));
        // Left by an earlier process with the same id.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory for the files of the test");
        let (config, store) = (dir.join("host.toml"), dir.join("host.db"));
        let text = format!(
            // Shorter than in production: a connection to a server that hangs is soon free again.
            "[mail]\nurl = {url:?}\nca = {ca:?}\ngreeting-timeout = \"8s\"\ncommand-timeout = \"8s\"\n\
             data-timeout = \"8s\"\nend-timeout = \"8s\"\n\
             [[plugin]]\npath = {:?}\ntopic = {TOPIC:?}\nallow = [\"mail\"]\nunsettled = {unsettled:?}\n\
             [plugin.retry]\nretries = 30\ndelay = \"100ms\"\nmultiplier = 1.0\n",
            plugin("email"),
        );
        std::fs::write(&config, text).expect("the file of the test");
        let kafka = Kafka::start();
        kafka.create_topic(TOPIC, 4, &[]);
        Self { kafka, dir, config, store, begun: Instant::now() }
    }

    /// Publishes a message for each id. `addresses` returns its sender and its recipient.
    pub fn produce(&self, count: usize, addresses: impl Fn(usize) -> (String, String)) {
        let message = |id: usize| {
            let (from, to) = addresses(id);
            let text = format!(r#"{{"from":"{from}","to":"{to}","subject":"{id}","body":"{id}"}}"#);
            Record::new(text).with_key(format!("{id}")).with_header("host-id", format!("{id}"))
        };
        self.kafka.produce(TOPIC, (0..count).map(message));
    }

    pub fn start(&self) -> Host {
        let store = format!("sqlite:{}", self.store.display());
        let config = self.config.to_str().expect("a path in UTF-8");
        // With an instance id, so that the next process takes over at once.
        Host::start_as(&[
            "--config",
            config,
            "--store",
            &store,
            "--bootstrap-servers",
            self.kafka.bootstrap(),
            "--listen",
            "127.0.0.1:0",
            "-X",
            "group.instance.id=killed",
        ])
    }

    /// Kills hosts while their e-mails are in flight. Returns the effects in the store after each kill.
    /// `sent` counts the e-mails of the server now, `accepted` returns them when nothing is in flight.
    pub fn kill(
        &self,
        rng: &mut Rng,
        (kills, count): (usize, usize),
        sent: impl Fn() -> usize,
        accepted: impl Fn() -> Accepted,
    ) -> Vec<Effects> {
        let kill = |kill: usize| {
            let host = self.start();
            // At a random time within its share of the e-mails.
            let before = sent();
            let part = count.saturating_sub(before) / (kills + 1 - kill) / 2;
            let more = 1 + rng.below(part.max(1) as u64) as usize;
            eventually(scale(1, 5) * BOUND, || sent() >= before + more);
            sleep(Duration::from_millis(rng.below(50)));
            host.kill();
            let (accepted, left) = (accepted(), Effects::of(&self.store));
            let unknown = left.unsettled.iter().filter(|id| accepted.contains_key(id)).count();
            println!(
                "kill {kill} after {:.1} s: {} accepted, {} of them duplicates so far; \
                 {} intents unsettled, of which {unknown} were accepted",
                self.begun.elapsed().as_secs_f64(),
                accepted.len(),
                duplicates(&accepted),
                left.unsettled.len(),
            );
            assert!(accepted.len() < count, "kill {kill} was after the last e-mail");
            let unwritten: Vec<_> = accepted.keys().filter(|id| !left.has(**id)).collect();
            assert!(unwritten.is_empty(), "accepted, but not in the store: {unwritten:?}");
            let unsent: Vec<_> = left.settled.iter().filter(|id| !accepted.contains_key(id)).collect();
            assert!(unsent.is_empty(), "done, but not at the server: {unsent:?}");
            left
        };
        (1..=kills).map(kill).collect()
    }

    /// Runs a host until all messages have ended. Returns the effects in the store.
    pub fn finish(&self) -> Effects {
        let host = self.start();
        let is_done = |(group, topic): (&str, &str)| self.kafka.lag(group, topic) == 0;
        eventually(scale(2, 20) * BOUND, || is_done((GROUP, TOPIC)) && is_done(RETRY));
        host.stop();
        println!("done after {:.1} s", self.begun.elapsed().as_secs_f64());
        Effects::of(&self.store)
    }

    /// How often each message was retried because its effect was unsettled.
    pub fn doubts(&self) -> HashMap<usize, usize> {
        let mut doubts = HashMap::new();
        for record in self.kafka.read_all(RETRY.1) {
            let text =
                |name: &str| record.header_text(name).unwrap_or_else(|| panic!("no {name}: {record:?}"));
            if text("kafka_exception-message").contains("it may have been sent") {
                *doubts.entry(text("host-id").parse().expect("a number as id")).or_default() += 1;
            }
        }
        doubts
    }

    /// The failure codes of the dead letters, by message.
    pub fn dead(&self) -> HashMap<usize, HashSet<String>> {
        let mut dead: HashMap<usize, HashSet<String>> = HashMap::new();
        for dead_letter in self.kafka.read_all(DEAD) {
            let text = |name: &str| {
                dead_letter.header_text(name).unwrap_or_else(|| panic!("no {name}: {dead_letter:?}"))
            };
            let id = text("host-id").parse().expect("a number as id");
            dead.entry(id).or_default().insert(text("host-failure-code"));
        }
        dead
    }
}

impl Drop for Scene {
    /// Keeps the files of a failed test.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// The number of messages whose effect was unsettled after at least one kill.
pub fn ever_unsettled(kills: &[Effects]) -> usize {
    kills.iter().flat_map(|left| &left.unsettled).collect::<HashSet<_>>().len()
}

/// The number of kills after which the effect of this message was unsettled.
pub fn unsettled(kills: &[Effects], id: usize) -> usize {
    kills.iter().filter(|left| left.unsettled.contains(&id)).count()
}

/// Checks that all copies of a message's e-mail have one `Message-ID`.
pub fn check_message_ids(accepted: &Accepted) {
    let mut seen = HashMap::new();
    for (id, copies) in accepted {
        assert!(
            copies.iter().all(|copy| *copy == copies[0]),
            "{id} has more than one Message-ID: {copies:?}"
        );
        let other = seen.insert(&copies[0], id);
        assert_eq!(other, None, "{id} has the same Message-ID: {}", copies[0]);
    }
}

/// Every e-mail of Postfix, by its subject, when every session has ended and every e-mail is delivered.
fn accepted(postfix: &Postfix) -> Accepted {
    let ended =
        |log: &str| log.matches("]: connect from").count() == log.matches("]: disconnect from").count();
    eventually(BOUND, || ended(&postfix.log()) && postfix.is_idle());
    let mut accepted = Accepted::new();
    for mail in postfix.mails() {
        let mail = String::from_utf8_lossy(&mail).into_owned();
        let header = |name: &str| {
            let line =
                mail.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {mail}")).trim().to_owned()
        };
        let id = header("Subject: ").parse().expect("a number as id");
        accepted.entry(id).or_default().push(header("Message-ID: "));
    }
    accepted
}

struct Outcome {
    count: usize,
    kills: Vec<Effects>,
    end: Effects,
    accepted: Accepted,
    dead: HashMap<usize, HashSet<String>>,
}

/// Kills hosts that send to a real server with TLS and a login.
fn killed(unsettled: &str) -> Outcome {
    let mut rng = Rng::seeded();
    let (count, kills) = (scale(300, 10_000), scale(3, 10));
    let postfix = Postfix::start();
    let scene = Scene::new("postfix", &postfix.smtps(), &postfix.ca(), unsettled);
    scene.produce(count, |_| ("a@example.com".to_owned(), "b@example.com".to_owned()));
    let kills = scene.kill(&mut rng, (kills, count), || postfix.count(), || accepted(&postfix));
    let end = scene.finish();
    let (accepted, dead) = (accepted(&postfix), scene.dead());
    println!(
        "{count} e-mails, {} kills, {} messages unsettled after one: {} accepted, {} duplicates, {} dead letters",
        kills.len(),
        ever_unsettled(&kills),
        accepted.len(),
        duplicates(&accepted),
        dead.len(),
    );
    assert!(kills.iter().any(|left| !left.unsettled.is_empty()), "no kill was during an e-mail");
    check_message_ids(&accepted);
    Outcome { count, kills, end, accepted, dead }
}

#[test]
fn kills_lose_no_e_mail_and_duplicate_only_unsettled_ones() {
    let Outcome { count, kills, end, accepted, dead } = killed("send");
    let missing: Vec<_> = (0..count).filter(|id| !accepted.contains_key(id)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    for (id, copies) in &accepted {
        let allowed = unsettled(&kills, *id);
        assert!(
            copies.len() - 1 <= allowed,
            "{id} came {} times, unsettled after {allowed} kills",
            copies.len()
        );
    }
    assert!(dead.is_empty(), "{dead:?}");
    assert_eq!((end.settled.len(), end.unsettled.len()), (count, 0));
}

#[test]
fn kills_duplicate_no_e_mail_if_unsettled_ones_are_dead_letters() {
    let Outcome { count, kills, end, accepted, dead } = killed("dead-letter");
    assert_eq!(duplicates(&accepted), 0);
    for id in 0..count {
        let doubts = unsettled(&kills, id);
        match dead.get(&id) {
            Some(codes) => {
                assert!(codes.iter().eq(["unknown-effect"]), "{id}: {codes:?}");
                assert!(doubts > 0, "{id} is a dead letter, but its effect was never unsettled");
            }
            None => assert!(accepted.contains_key(&id), "{id} is missing"),
        }
    }
    let dead: HashSet<_> = dead.into_keys().collect();
    assert_eq!(end.unsettled, dead);
}
