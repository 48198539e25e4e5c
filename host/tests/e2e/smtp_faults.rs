//! Results of the mailer, compared with the records of a failing server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sandbox::capabilities::mail::mailer::{Address, Email, MailError, Mailer, Receipt};
use settings::MailServer;
use testkit::{End, FaultySmtp, Rng, Shares, Transaction, scale};
use tokio::sync::Semaphore;

/// Nearly half of all connections and transactions fail.
const SHARES: Shares = Shares { faults: 400, hangs: 50 };
/// The time for each answer. A server in this process answers much faster.
const SHORT: Duration = Duration::from_millis(1500);
/// Concurrent e-mails. Some wait for a connection.
const CONCURRENCY: usize = 12;

fn address(email: String) -> Address {
    Address { name: None, email }
}

/// The number of recipients of an e-mail.
fn recipients(id: usize) -> usize {
    1 + id % 2
}

/// Some e-mails and some recipients are refused permanently.
fn email(rng: &mut Rng, id: usize) -> Email {
    let mut prefix = |refused: &[&'static str]| match rng.below(10) {
        0 => refused[rng.below(refused.len() as u64) as usize],
        _ => "",
    };
    let [mail, recipient @ ..] = FaultySmtp::REFUSED;
    let sender = address(format!("{}from-{id}@example.com", prefix(&[mail])));
    let to = [prefix(&recipient), prefix(&recipient)];
    let to = to.iter().enumerate().map(|(n, prefix)| address(format!("{prefix}to-{n}@example.com")));
    Email {
        sender,
        to: to.take(recipients(id)).collect(),
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: id.to_string(),
        text: Some("line\n.\nline".repeat(1 + id % 50)),
        html: None,
        headers: vec![],
        attachments: vec![],
    }
}

/// Checks the result for the sender against the records of the server.
fn check(id: usize, results: &Result<Receipt, MailError>, known: &[Transaction]) {
    let context = || format!("{id}: {results:?}, and the server knows {known:?}");
    // On a connection that had been used before, the server may have ended the session: that is no result.
    assert!(known.len() <= 2, "{}", context());
    let first = known.first().filter(|_| known.len() == 2);
    let end_of = |one: &Transaction| match one.end {
        // The connection broke before the other recipients were sent.
        End::AllRefused if one.refused.len() < recipients(id) => End::Broken { begun: false },
        end => end,
    };
    let has_no_result = |one| matches!(end_of(one), End::Refused(421 | 451) | End::Broken { begun: false });
    assert!(first.is_none_or(has_no_result), "{}", context());
    let known = &known[known.len().saturating_sub(1)..];
    let end = known.first().map(end_of);
    let is_permanent = |code: u16| code >= 500;
    match results {
        Ok(receipt) => {
            assert_eq!(end, Some(End::Accepted { answered: true }), "{}", context());
            let refused: Vec<_> = receipt
                .refused
                .iter()
                .map(|one| (one.recipient.clone(), one.response[..3].parse().expect("a code")))
                .collect();
            assert_eq!(known[0].refused, refused, "{}", context());
            assert!(receipt.refused.iter().all(|one| one.transient != one.response.starts_with('5')));
            assert_eq!(known[0].message_id, receipt.id, "{}", context());
        }
        Err(MailError::Permanent(_)) => match end {
            Some(End::Refused(code)) => assert!(is_permanent(code), "{}", context()),
            Some(End::AllRefused) => {
                assert!(known[0].refused.iter().all(|(_, code)| is_permanent(*code)), "{}", context());
            }
            _ => panic!("{}", context()),
        },
        Err(MailError::Transient(_)) => match end {
            None | Some(End::Broken { .. }) => {}
            Some(End::Refused(code)) => assert!(!is_permanent(code), "{}", context()),
            Some(End::AllRefused) => {
                assert!(known[0].refused.iter().any(|(_, code)| !is_permanent(*code)), "{}", context());
            }
            Some(End::Accepted { .. }) => panic!("{}", context()),
        },
        Err(MailError::Unknown(_)) => {
            let is_doubtful = matches!(end, Some(End::Accepted { .. } | End::Broken { begun: true }));
            assert!(is_doubtful, "{}", context());
        }
    }
    if end == Some(End::Accepted { answered: false }) {
        assert!(matches!(results, Err(MailError::Unknown(_))), "{}", context());
    }
}

fn settings(server: &FaultySmtp) -> MailServer {
    let short = Some(SHORT);
    MailServer {
        ca: Some(server.ca()),
        // Nearly half of all connections fail.
        breaker: Some(0),
        connect_timeout: short,
        greeting_timeout: short,
        command_timeout: short,
        data_timeout: short,
        end_timeout: short,
        ..MailServer::default()
    }
}

#[tokio::test]
async fn results_of_the_mailer_agree_with_the_server() {
    let mut rng = Rng::seeded();
    let server = FaultySmtp::start(Rng::new(rng.next_u64()), SHARES);
    let mailer = Mailer::new(&server.url(), &settings(&server)).expect("a mailer");
    let (mailer, at_once) = (Arc::new(mailer), Arc::new(Semaphore::new(CONCURRENCY)));
    let sends: Vec<_> = (0..scale(400, 2000))
        .map(|id| {
            let (mailer, at_once, email) = (Arc::clone(&mailer), Arc::clone(&at_once), email(&mut rng, id));
            tokio::spawn(async move {
                let _turn = at_once.acquire().await.expect("open");
                mailer.send(&email, &id.to_string()).await
            })
        })
        .collect();
    let mut results = Vec::new();
    for send in sends {
        results.push(send.await.expect("no panic"));
    }
    // Sessions that still hang end with their connections.
    drop(mailer);
    while !server.is_idle() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut known: HashMap<String, Vec<Transaction>> = HashMap::new();
    for one in server.transactions() {
        let id = one.sender.rsplit('-').next().unwrap_or_default().replace("@example.com", "");
        known.entry(id).or_default().push(one);
    }
    for (id, results) in results.iter().enumerate() {
        check(id, results, known.get(&id.to_string()).map_or(&[], Vec::as_slice));
    }
    let count = |is: fn(&Result<Receipt, MailError>) -> bool| results.iter().filter(|one| is(one)).count();
    let counts = [
        count(|one| one.as_ref().is_ok_and(|receipt| receipt.refused.is_empty())),
        count(|one| one.as_ref().is_ok_and(|receipt| !receipt.refused.is_empty())),
        count(|one| matches!(one, Err(MailError::Transient(_)))),
        count(|one| matches!(one, Err(MailError::Permanent(_)))),
        count(|one| matches!(one, Err(MailError::Unknown(_)))),
    ];
    println!("accepted, accepted in part, transient, permanent, unknown: {counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}
