//! E-mails through a failing server while the host is killed with SIGKILL.

use std::collections::HashMap;

use testkit::{End, FaultySmtp, Rng, Shares, Transaction, eventually, scale};

use crate::fixture::BOUND;
use crate::mail::{Accepted, DEAD, Scene, check_message_ids, duplicates, ever_unsettled, unsettled};

/// Faults per 1000 connections and per 1000 transactions. A hanging one occupies one of the host's ten
/// connections for the 8 s of a time-out.
const SHARES: Shares = Shares { faults: 200, hangs: 10 };
/// One in this many addresses is refused permanently.
const REFUSED: u64 = 20;

/// Sender and recipient of a message. The number of the message follows the last `-` of the sender.
fn addresses(id: usize, refused: Option<&str>) -> (String, String) {
    let prefix = refused.unwrap_or_default();
    let (sender, recipient) = if prefix == FaultySmtp::REFUSED[0] { (prefix, "") } else { ("", prefix) };
    (format!("{sender}from-{id}@example.com"), format!("{recipient}to-{id}@example.com"))
}

/// The transactions of each message.
fn by_message(server: &FaultySmtp) -> HashMap<usize, Vec<Transaction>> {
    let mut all: HashMap<usize, Vec<Transaction>> = HashMap::new();
    for one in server.transactions() {
        let number = one.sender.strip_suffix("@example.com").and_then(|name| name.rsplit('-').next());
        let id = number.and_then(|number| number.parse().ok()).expect("a number as id");
        all.entry(id).or_default().push(one);
    }
    all
}

/// The e-mails that the server has accepted, by subject, when no client is connected.
fn accepted(server: &FaultySmtp) -> Accepted {
    eventually(BOUND, || server.is_idle());
    let mut accepted = Accepted::new();
    for one in server.transactions() {
        if matches!(one.end, End::Accepted { .. }) {
            let id = one.subject.parse().expect("a number as id");
            accepted.entry(id).or_default().push(one.message_id);
        }
    }
    accepted
}

/// The number of transactions with this end.
fn count(transactions: &[Transaction], end: impl Fn(End) -> bool) -> usize {
    transactions.iter().filter(|one| end(one.end)).count()
}

/// The server had the whole content and did not answer.
fn is_unanswered(end: End) -> bool {
    end == End::Accepted { answered: false }
}

/// The host cannot know whether the server accepted the e-mail.
fn is_unknown(end: End) -> bool {
    is_unanswered(end) || end == End::Broken { begun: true }
}

/// The number of unknown results without a fault at the server, which answered after the time-out.
fn late(
    doubts: &HashMap<usize, usize>,
    transactions: &HashMap<usize, Vec<Transaction>>,
) -> HashMap<usize, usize> {
    let beyond = |(id, doubts): (&usize, &usize)| {
        let known = transactions.get(id).map_or(0, |all| count(all, is_unknown));
        (*id, doubts.saturating_sub(known))
    };
    doubts.iter().map(beyond).filter(|(_, late)| *late > 0).collect()
}

fn killed(on_unsettled: &str) {
    let mut rng = Rng::seeded();
    let (all, kills) = (scale(300, 10_000), scale(3, 10));
    let refused: Vec<Option<&str>> = (0..all)
        .map(|_| (rng.below(REFUSED) == 0).then(|| FaultySmtp::REFUSED[rng.below(4) as usize]))
        .collect();
    let server = FaultySmtp::start(Rng::new(rng.next_u64()), SHARES);
    let scene = Scene::new("faults", &server.url(), &server.ca(), on_unsettled);
    scene.produce(all, |id| addresses(id, refused[id]));
    let kills = scene.kill(&mut rng, (kills, all), || server.accepted(), || accepted(&server));
    scene.finish();
    let (accepted, dead, transactions) = (accepted(&server), scene.dead(), by_message(&server));
    let late = late(&scene.doubts(), &transactions);
    let every: Vec<_> = transactions.values().flatten().cloned().collect();
    println!(
        "{all} e-mails, {} refused permanently, {} kills, {} messages unsettled after one; {} transactions, \
         {} broke in the content, {} after it, {} answered too late: {} accepted, {} duplicates, {} dead letters",
        refused.iter().flatten().count(),
        kills.len(),
        ever_unsettled(&kills),
        every.len(),
        count(&every, |end| end == End::Broken { begun: true }),
        count(&every, is_unanswered),
        late.values().sum::<usize>(),
        accepted.len(),
        duplicates(&accepted),
        dead.len(),
    );
    assert!(kills.iter().any(|left| !left.unsettled.is_empty()), "no kill was during an e-mail");
    check_message_ids(&accepted);
    let may_double = on_unsettled == "send";
    for (id, refused) in refused.iter().enumerate() {
        let copies = accepted.get(&id).map_or(0, Vec::len);
        let of_message = transactions.get(&id).map_or(&[][..], Vec::as_slice);
        let codes: Vec<_> = dead.get(&id).into_iter().flatten().map(String::as_str).collect();
        let unsettled = unsettled(&kills, id) + late.get(&id).unwrap_or(&0);
        let allowed = if may_double { unsettled + count(of_message, is_unanswered) } else { 0 };
        assert!(copies <= 1 + allowed, "{id} came {copies} times: {of_message:?}");
        // A kill between a dead letter and its commit repeats the message, which can then have both ends.
        let is_unknown = !may_double && (unsettled > 0 || count(of_message, is_unknown) > 0);
        let expected = |code: &&str| match *code {
            "smtp-550" | "smtp-554" => refused.is_some(),
            "unknown-effect" => is_unknown,
            _ => false,
        };
        let context = || format!("{id}, {refused:?}: {codes:?}, {of_message:?}");
        assert!(codes.iter().all(expected), "{}", context());
        assert!(copies > 0 || !codes.is_empty(), "missing: {}", context());
        assert!(copies == 0 || refused.is_none(), "refused permanently, but accepted: {}", context());
    }
}

#[test]
fn with_a_failing_server_only_unknown_e_mails_are_duplicated() {
    killed("send");
}

#[test]
fn with_a_failing_server_no_e_mail_is_duplicated_if_unknown_ones_are_dead_letters() {
    killed("dead-letter");
}

#[test]
fn a_permanently_refused_e_mail_is_a_dead_letter_at_its_first_attempt() {
    let all = scale(100, 1000);
    let server = FaultySmtp::start(Rng::seeded(), Shares { faults: 0, hangs: 0 });
    let scene = Scene::new("refused", &server.url(), &server.ca(), "send");
    scene.produce(all, |id| addresses(id, Some(FaultySmtp::REFUSED[id % 4])));
    let end = scene.finish();
    assert!(end.settled.is_empty() && end.unsettled.is_empty(), "{end:?}");
    let transactions = by_message(&server);
    let mut dead_letters: Vec<_> = scene.kafka.read_all(DEAD);
    dead_letters.sort_by_key(|dead_letter| {
        dead_letter.header_text("host-id").and_then(|id| id.parse::<usize>().ok())
    });
    assert_eq!(dead_letters.len(), all);
    for (id, dead_letter) in dead_letters.iter().enumerate() {
        let text = |name: &str| dead_letter.header_text(name).unwrap_or_default();
        assert_eq!(text("host-id"), id.to_string());
        assert!(matches!(&*text("host-failure-code"), "smtp-550" | "smtp-554"));
        assert_eq!(text("host-attempts"), "1");
        let [one] = transactions[&id].as_slice() else { panic!("{id} was retried") };
        assert!(matches!(one.end, End::AllRefused | End::Refused(550 | 554)), "{one:?}");
    }
}
