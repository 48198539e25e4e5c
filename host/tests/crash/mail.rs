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

/// The e-mails that a server has taken, by message: the `Message-ID` of each copy.
pub type Taken = HashMap<usize, Vec<String>>;

/// How many copies there are beyond one of each.
pub fn doubled(taken: &Taken) -> usize {
    taken.values().map(|copies| copies.len() - 1).sum()
}

/// A broker with a topic of e-mails, and the configuration of the host that sends them.
pub struct Scene {
    pub kafka: Kafka,
    dir: PathBuf,
    config: PathBuf,
    store: PathBuf,
    begun: Instant,
}

impl Scene {
    /// With `unsettled` as the plugin has it, in a directory of its own.
    pub fn new(name: &str, url: &str, ca: &Path, unsettled: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("crash-{name}-{unsettled}-{}", std::process::id()));
        // What a process of the same id left behind.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory for the test's files");
        let (config, store) = (dir.join("host.toml"), dir.join("host.db"));
        let text = format!(
            "[mail]\nurl = {url:?}\nca = {ca:?}\n\
             [[plugin]]\npath = {:?}\ntopic = {TOPIC:?}\nallow = [\"mail\"]\nunsettled = {unsettled:?}\n\
             [plugin.retry]\nretries = 30\ndelay = \"100ms\"\nmultiplier = 1.0\n",
            plugin("email"),
        );
        std::fs::write(&config, text).expect("the test's file");
        let kafka = Kafka::start();
        kafka.create_topic(TOPIC, 4, &[]);
        Self { kafka, dir, config, store, begun: Instant::now() }
    }

    /// A message for each id: what `addresses` says are its sender and its recipient.
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

    /// Kills a host again and again while its e-mails are under way; what each has left in the store.
    /// `sent` is how many e-mails the server has now, `taken` those it has once nothing is under way.
    pub fn kill(
        &self,
        rng: &mut Rng,
        (kills, count): (usize, usize),
        sent: impl Fn() -> usize,
        taken: impl Fn() -> Taken,
    ) -> Vec<Effects> {
        let kill = |kill: usize| {
            let host = self.start();
            // Somewhere in its part of the e-mails.
            let before = sent();
            let part = count.saturating_sub(before) / (kills + 1 - kill) / 2;
            let more = 1 + rng.below(part.max(1) as u64) as usize;
            eventually(scale(1, 5) * BOUND, || sent() >= before + more);
            sleep(Duration::from_millis(rng.below(50)));
            host.kill();
            let (taken, left) = (taken(), Effects::of(&self.store));
            let unknown = left.unsettled.iter().filter(|id| taken.contains_key(id)).count();
            println!(
                "kill {kill} after {:.1} s: {} taken, {} of them doubled so far; \
                 {} intents unsettled, of which {unknown} were taken",
                self.begun.elapsed().as_secs_f64(),
                taken.len(),
                doubled(&taken),
                left.unsettled.len(),
            );
            assert!(taken.len() < count, "kill {kill} came after everything was sent");
            let unwritten: Vec<_> = taken.keys().filter(|id| !left.has(**id)).collect();
            assert!(unwritten.is_empty(), "sent, and the store does not know: {unwritten:?}");
            let unsent: Vec<_> = left.settled.iter().filter(|id| !taken.contains_key(id)).collect();
            assert!(unsent.is_empty(), "done, and the server does not know: {unsent:?}");
            left
        };
        (1..=kills).map(kill).collect()
    }

    /// Lets a host come to the end of all messages; what it leaves in the store.
    pub fn finish(&self) -> Effects {
        let host = self.start();
        let is_done = |(group, topic): (&str, &str)| self.kafka.lag(group, topic) == 0;
        eventually(scale(2, 20) * BOUND, || is_done((GROUP, TOPIC)) && is_done(RETRY));
        host.stop();
        println!("done after {:.1} s", self.begun.elapsed().as_secs_f64());
        Effects::of(&self.store)
    }

    /// How often the host put a message off because nobody knows whether its e-mail was taken.
    pub fn doubts(&self) -> HashMap<usize, usize> {
        let mut doubts = HashMap::new();
        for record in self.kafka.read_all(RETRY.1) {
            let text =
                |name: &str| record.header_text(name).unwrap_or_else(|| panic!("no {name}: {record:?}"));
            if text("kafka_exception-message").contains("it may have been sent") {
                *doubts.entry(text("host-id").parse().expect("a number of the test's")).or_default() += 1;
            }
        }
        doubts
    }

    /// The failure codes of the dead letters, by message.
    pub fn dead(&self) -> HashMap<usize, HashSet<String>> {
        let mut dead: HashMap<usize, HashSet<String>> = HashMap::new();
        for letter in self.kafka.read_all(DEAD) {
            let text =
                |name: &str| letter.header_text(name).unwrap_or_else(|| panic!("no {name}: {letter:?}"));
            let id = text("host-id").parse().expect("a number of the test's");
            dead.entry(id).or_default().insert(text("host-failure-code"));
        }
        dead
    }
}

impl Drop for Scene {
    /// What a failed test leaves is kept.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// How many messages' intents were unsettled, after one kill at least.
pub fn ever_unsettled(kills: &[Effects]) -> usize {
    kills.iter().flat_map(|left| &left.unsettled).collect::<HashSet<_>>().len()
}

/// After how many kills nobody had written down what became of this message's e-mail.
pub fn unsettled(kills: &[Effects], id: usize) -> usize {
    kills.iter().filter(|left| left.unsettled.contains(&id)).count()
}

/// A message's e-mail is the same one every time: it has one `Message-ID`.
pub fn check_message_ids(taken: &Taken) {
    let mut seen = HashMap::new();
    for (id, copies) in taken {
        assert!(
            copies.iter().all(|copy| *copy == copies[0]),
            "{id} has more than one Message-ID: {copies:?}"
        );
        let other = seen.insert(&copies[0], id);
        assert_eq!(other, None, "{id} has the same Message-ID: {}", copies[0]);
    }
}

/// Every e-mail that postfix has, by its subject, once it has nothing under way: every session is over,
/// and every e-mail delivered.
fn taken(postfix: &Postfix) -> Taken {
    let ended =
        |log: &str| log.matches("]: connect from").count() == log.matches("]: disconnect from").count();
    eventually(BOUND, || ended(&postfix.log()) && postfix.is_idle());
    let mut taken = Taken::new();
    for mail in postfix.mails() {
        let mail = String::from_utf8_lossy(&mail).into_owned();
        let header = |name: &str| {
            let line =
                mail.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {mail}")).trim().to_owned()
        };
        let id = header("Subject: ").parse().expect("a number of the test's");
        taken.entry(id).or_default().push(header("Message-ID: "));
    }
    taken
}

struct Outcome {
    count: usize,
    kills: Vec<Effects>,
    end: Effects,
    taken: Taken,
    dead: HashMap<usize, HashSet<String>>,
}

/// With a real server, TLS and a login.
fn killed(unsettled: &str) -> Outcome {
    let mut rng = Rng::seeded();
    let (count, kills) = (scale(500, 10_000), scale(3, 10));
    let postfix = Postfix::start();
    let scene = Scene::new("postfix", &postfix.smtps(), &postfix.ca(), unsettled);
    scene.produce(count, |_| ("a@example.com".to_owned(), "b@example.com".to_owned()));
    let kills = scene.kill(&mut rng, (kills, count), || postfix.count(), || taken(&postfix));
    let end = scene.finish();
    let (taken, dead) = (taken(&postfix), scene.dead());
    println!(
        "{count} e-mails, {} kills, {} messages unsettled after one: {} taken, {} doubled, {} dead letters",
        kills.len(),
        ever_unsettled(&kills),
        taken.len(),
        doubled(&taken),
        dead.len(),
    );
    assert!(
        kills.iter().any(|left| !left.unsettled.is_empty()),
        "no kill came while an e-mail was under way"
    );
    check_message_ids(&taken);
    Outcome { count, kills, end, taken, dead }
}

#[test]
fn killed_while_it_sends_it_misses_none_and_doubles_only_what_was_unsettled() {
    let Outcome { count, kills, end, taken, dead } = killed("send");
    let missing: Vec<_> = (0..count).filter(|id| !taken.contains_key(id)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    for (id, copies) in &taken {
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
fn killed_while_it_sends_it_doubles_nothing_where_the_unsettled_are_dead_letters() {
    let Outcome { count, kills, end, taken, dead } = killed("dead-letter");
    assert_eq!(doubled(&taken), 0);
    for id in 0..count {
        let doubts = unsettled(&kills, id);
        match dead.get(&id) {
            Some(codes) => {
                assert!(codes.iter().eq(["unknown-effect"]), "{id}: {codes:?}");
                assert!(doubts > 0, "{id} is a dead letter, and its intent never was unsettled");
            }
            None => assert!(taken.contains_key(&id), "{id} is missing"),
        }
    }
    let dead: HashSet<_> = dead.into_keys().collect();
    assert_eq!(end.unsettled, dead);
}
