//! After random calls of every plugin and guest, an instance that has reset itself equals a new one in each byte of its
//! memory and each global, and answers as one.

use testkit::{Rng, plugin, scale};
use wasmtime::component::Val;

use crate::subject::{Instance, Subject, read};

/// The plugins and guests that qualify, and the minimum share of calls in percent after which the instance is kept.
const GUESTS: [(&str, usize); 6] =
    [("parse", 100), ("email", 90), ("sms", 50), ("faulty", 40), ("faulty_fast", 40), ("hostile", 5)];
/// Those with large memories.
const LARGE: [(&str, usize); 4] =
    [("parse_js", 100), ("mailer_js", 1), ("parse_py", 100), ("parse_sdk_py", 1)];
/// Actions of `faulty` that end soon.
const FAULTY: [&str; 15] = [
    "done",
    "skip",
    "retry",
    "reject",
    "trap",
    "panic",
    "recurse",
    "count",
    "exit",
    "outcomes",
    "log",
    "look",
    "sleep",
    "mail",
    "mailretry",
];
/// Actions of `hostile` without a server.
const HOSTILE: [&str; 8] = [
    "done",
    "no-outcomes",
    "two-outcomes",
    "giant-receipt",
    "giant-failure",
    "http-header-name",
    "http-path",
    "unknown",
];

/// A value for this guest, which may be invalid.
fn value(rng: &mut Rng, guest: &str) -> Vec<u8> {
    let word = |rng: &mut Rng| {
        let length = rng.below(30) as usize;
        (0..length)
            .map(|_| ['a', 'ü', '메', '<', '"', '\\', ' ', '0'][rng.below(8) as usize])
            .collect::<String>()
    };
    let id = rng.below(1000);
    let text = match guest {
        "faulty" | "faulty_fast" => {
            let action = FAULTY[rng.below(FAULTY.len() as u64) as usize];
            format!(r#"{{"id":"{id}","do":"{action}","ms":{},"after-ms":{id}}}"#, rng.below(3))
        }
        "hostile" => {
            let action = HOSTILE[rng.below(HOSTILE.len() as u64) as usize];
            format!(r#"{{"do":"{action}","at":"http://127.0.0.1:9/"}}"#)
        }
        "sms" => format!(r#"{{"to":"+8210{:08}","text":{:?}}}"#, rng.below(100_000_000), word(rng)),
        _ => format!(
            r#"{{"from":"a{id}@example.com","to":"b@example.org","subject":{:?},"body":{:?}}}"#,
            word(rng),
            word(rng)
        ),
    };
    let mut bytes = text.into_bytes();
    if rng.below(10) == 0 {
        bytes.truncate(rng.below(bytes.len() as u64) as usize);
    }
    bytes
}

/// Whether a call may give different answers: it reads a clock, or random numbers.
fn is_same(mine: &wasmtime::Result<Val>, fresh: &wasmtime::Result<Val>) -> bool {
    match (mine, fresh) {
        (Ok(mine), Ok(fresh)) => mine == fresh,
        (Err(mine), Err(fresh)) => mine.root_cause().to_string() == fresh.root_cause().to_string(),
        _ => false,
    }
}

/// Makes random calls. Returns how many of them left an instance that is kept, and how many of these equal a new one.
async fn calls(guest: &str, subject: &Subject, count: usize) -> (usize, usize) {
    let mut rng = Rng::seeded();
    let new = subject.instantiate().await.hash().await;
    assert_eq!(new, subject.instantiate().await.hash().await, "{guest}: new instances differ");
    let mut instance: Option<Instance> = None;
    let (mut kept, mut equal) = (0, 0);
    for number in 0..count {
        let value = value(&mut rng, guest);
        let mut current = match instance.take() {
            Some(instance) => instance,
            None => subject.instantiate().await,
        };
        let answer = current.handle_reset(&value).await;
        let fresh = subject.instantiate().await.handle(&value).await;
        let shown = String::from_utf8_lossy(&value);
        assert!(is_same(&answer, &fresh), "{guest}, call {number}, {shown}: {answer:?} {fresh:?}");
        if answer.is_ok() && current.store.data().is_clean() {
            kept += 1;
            equal += usize::from(current.hash().await == new);
            instance = Some(current);
        }
    }
    (kept, equal)
}

#[tokio::test]
async fn a_reset_instance_equals_a_new_one() {
    equals_a_new_one(&GUESTS, scale(500, 10_000)).await;
}

#[tokio::test]
#[ignore = "needs the guests of make guests-js guests-py"]
async fn languages_a_reset_instance_equals_a_new_one() {
    equals_a_new_one(&LARGE, scale(50, 1_000)).await;
}

async fn equals_a_new_one(guests: &[(&str, usize)], count: usize) {
    for (guest, least) in guests {
        let subject = Subject::new(&read(&plugin(guest)), true);
        let (kept, equal) = calls(guest, &subject, count).await;
        println!("{guest}: {equal} of {kept} instances that are kept after {count} calls equal a new one");
        assert_eq!(equal, kept, "{guest}");
        assert!(kept * 100 >= count * least, "{guest}: {kept} of {count}");
    }
}

/// The hash sees what a call leaves behind.
#[tokio::test]
async fn an_instance_that_is_not_reset_differs_from_a_new_one() {
    for (guest, _) in GUESTS {
        let subject = Subject::new(&read(&plugin(guest)), false);
        let new = subject.instantiate().await.hash().await;
        let mut instance = subject.instantiate().await;
        instance.handle_reset(b"{}").await.expect("an outcome");
        assert_ne!(instance.hash().await, new, "{guest}");
    }
}
