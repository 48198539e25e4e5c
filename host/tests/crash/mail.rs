//! E-mails while the host is killed with SIGKILL, counted at the server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use testkit::{Kafka, Postfix, Record, Rng, eventually, plugin, scale};

use crate::fixture::{BOUND, Host};

const TOPIC: &str = "email.send";
const GROUP: &str = "email-send-group";

/// Every e-mail the server has, by its subject: how often, and under which `Message-ID`s.
struct Taken(HashMap<usize, Vec<String>>);

impl Taken {
    /// Once the server has nothing under way: every session is over, and every e-mail delivered.
    fn by(postfix: &Postfix) -> Self {
        let ended =
            |log: &str| log.matches("]: connect from").count() == log.matches("]: disconnect from").count();
        eventually(BOUND, || ended(&postfix.log()) && postfix.is_idle());
        let mut taken: HashMap<usize, Vec<String>> = HashMap::new();
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
        Self(taken)
    }

    fn doubled(&self) -> usize {
        self.0.values().map(|ids| ids.len() - 1).sum()
    }
}

/// How many e-mails a kill may double: those that the server has and whose messages are not committed.
fn most_doubled(taken: &Taken, kafka: &Kafka) -> usize {
    let committed: i64 = kafka.committed(GROUP, TOPIC).into_iter().flatten().sum();
    taken.0.len().saturating_sub(usize::try_from(committed).expect("an offset"))
}

fn config(postfix: &Postfix) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash");
    std::fs::create_dir_all(&dir).expect("a directory for the test's file");
    let path = dir.join(format!("mail-{}.toml", std::process::id()));
    let text = format!(
        "[mail]\nurl = {:?}\nca = {:?}\n[[plugin]]\npath = {:?}\ntopic = {TOPIC:?}\nallow = [\"mail\"]\n",
        postfix.smtps(),
        postfix.ca(),
        plugin("email"),
    );
    std::fs::write(&path, text).expect("the test's file");
    path
}

#[test]
fn killed_while_it_sends_it_misses_no_email() {
    let mut rng = Rng::seeded();
    let (count, kills) = (scale(500, 10_000), scale(3, 10));
    let (kafka, postfix) = (Kafka::start(), Postfix::start());
    kafka.create_topic(TOPIC, 4, &[]);
    let message = |id: usize| {
        let text =
            format!(r#"{{"from":"a@example.com","to":"b@example.com","subject":"{id}","body":"{id}"}}"#);
        Record::new(text).with_key(format!("{id}"))
    };
    kafka.produce(TOPIC, (0..count).map(message));
    let config = config(&postfix);
    let start = || {
        let config = config.to_str().expect("a path in UTF-8");
        let args = ["--config", config, "--bootstrap-servers", kafka.bootstrap(), "--listen", "127.0.0.1:0"];
        // With an instance id, so that the next process takes over at once.
        Host::start_as(&[&args[..], &["-X", "group.instance.id=killed"]].concat())
    };
    let mut allowed = 0;
    for kill in 1..=kills {
        let host = start();
        // Somewhere in its part of the e-mails.
        let before = postfix.count();
        let part = (count - before) / (kills + 1 - kill) / 2;
        let more = 1 + rng.below(part.max(1) as u64) as usize;
        eventually(BOUND, || postfix.count() >= before + more);
        host.kill();
        let taken = Taken::by(&postfix);
        let most = most_doubled(&taken, &kafka);
        allowed += most;
        println!(
            "kill {kill}: {} sent, {} doubled so far, {most} may be now",
            taken.0.len(),
            taken.doubled()
        );
        assert!(taken.0.len() < count, "kill {kill} came after everything was sent");
    }
    let host = start();
    eventually(scale(1, 10) * BOUND, || kafka.lag(GROUP, TOPIC) == 0);
    host.stop();
    let taken = Taken::by(&postfix);
    println!("{count} e-mails, {kills} kills: {} doubled of {allowed} at most", taken.doubled());
    let missing: Vec<usize> = (0..count).filter(|id| !taken.0.contains_key(id)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    for (id, ids) in &taken.0 {
        assert!(ids.iter().all(|one| *one == ids[0]), "{id} has more than one Message-ID: {ids:?}");
    }
    assert!(taken.doubled() <= allowed, "{} doubled, {allowed} at most", taken.doubled());
    assert_eq!(kafka.end_offsets("email.send.dlt").iter().sum::<i64>(), 0);
}
