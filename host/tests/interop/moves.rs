//! The move: one side starts retries and the other completes them, each attempt once and at its due time.

use std::collections::HashMap;

use testkit::{Boot, Record};

use crate::dead_letters::{check_trail, read_by_spring};
use crate::fixture::{BOUND, Consumer, Deliveries, SPRING_STOPPED, publish, stop, wait_for_attempt};
use crate::support::{body, id_of};

const MESSAGES: usize = 200;
/// Five attempts in total, as with `attempts = "5"` in Spring.
const RETRIES: u32 = 4;

/// The last attempt of a message, and whether it fails. Some succeed on the third, some on the fourth, half
/// never.
fn last_attempt(id: usize) -> (u32, bool) {
    match id % 4 {
        0 => (4, false),
        1 => (3, false),
        _ => (RETRIES + 1, true),
    }
}

fn message_body(id: usize) -> String {
    let (last, dies) = last_attempt(id);
    let until = if dies { String::new() } else { format!(r#","until":{}"#, last - 1) };
    body(&format!("{id}"), "retry", &until)
}

fn dead() -> usize {
    (0..MESSAGES).filter(|id| last_attempt(*id).1).count()
}

#[test]
fn the_host_completes_retries_of_spring_boot_3_5() {
    from_spring(Boot::Three, "from-spring-3");
}

#[test]
fn the_host_completes_retries_of_spring_boot_4_1() {
    from_spring(Boot::Four, "from-spring-4");
}

#[test]
fn spring_completes_retries_of_the_host_boot_3_5() {
    to_spring(Boot::Three, "to-spring-3");
}

#[test]
fn spring_completes_retries_of_the_host_boot_4_1() {
    to_spring(Boot::Four, "to-spring-4");
}

fn from_spring(boot: Boot, topic: &str) {
    let consumer = Consumer::new(boot, topic, RETRIES, 1500, 2);
    let process = consumer.spring();
    let sources = publish(&consumer, MESSAGES, message_body);
    wait_for_attempt(&process, Deliveries::of_spring, 2, MESSAGES);
    consumer.refuses(RETRIES, &[], &["is active", "stop both sides first"]);
    let spring = Deliveries::of_spring(&stop(process, SPRING_STOPPED));

    let before = consumer.commits(false);
    let (code, _) = consumer.adopt(RETRIES, &["--dry-run"]);
    assert_eq!((code, consumer.commits(false)), (Some(0), before));
    let (code, text) = consumer.adopt(RETRIES, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(consumer.commits(false), consumer.commits(true));

    let process = consumer.host(RETRIES);
    finished(&consumer);
    consumer.refuses(RETRIES, &["--to-spring"], &["is active", "stop both sides first"]);
    let host = Deliveries::of_host(&stop(process, 0));
    check(&consumer, &sources, spring, host);
}

fn to_spring(boot: Boot, topic: &str) {
    let consumer = Consumer::new(boot, topic, RETRIES, 1500, 2);
    let process = consumer.host(RETRIES);
    let sources = publish(&consumer, MESSAGES, message_body);
    wait_for_attempt(&process, Deliveries::of_host, 2, MESSAGES);
    consumer.refuses(RETRIES, &["--to-spring"], &["is active"]);
    let host = Deliveries::of_host(&stop(process, 0));

    let (code, text) = consumer.adopt(RETRIES, &["--to-spring"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("@RetryableTopic(attempts = \"5\", backoff = @Backoff(delay = 1500, multiplier = 2.0)"),
        "{text}"
    );
    assert_eq!(consumer.commits(true), consumer.commits(false));

    let process = consumer.spring();
    finished(&consumer);
    testkit::eventually(BOUND, || read_by_spring(&process).len() == dead());
    let spring = Deliveries::of_spring(&stop(process, SPRING_STOPPED));
    // Spring has progressed, so the host's offsets are out of date.
    consumer.refuses(RETRIES, &["--to-spring"], &["Spring is ahead of this host"]);
    check(&consumer, &sources, spring, host);
}

/// Waits until every message has ended.
fn finished(consumer: &Consumer) {
    testkit::eventually(BOUND, || consumer.kafka.read_all(&consumer.dead).len() >= dead());
    consumer.settle();
}

fn check(consumer: &Consumer, sources: &HashMap<String, Record>, spring: Deliveries, host: Deliveries) {
    let due = consumer.due_us();
    spring.check_due("Spring", &due);
    host.check_due("host", &due);
    for (side, deliveries) in [("Spring", &spring), ("host", &host)] {
        let counts: Vec<usize> = (1..=RETRIES + 1).map(|attempt| deliveries.count(attempt)).collect();
        println!("{side}: messages by attempt {counts:?}");
    }
    let all = spring.and(host);
    (0..MESSAGES).for_each(|id| all.check(&format!("{id}"), last_attempt(id).0));

    let dead_letters = consumer.kafka.read_all(&consumer.dead);
    assert_eq!(dead_letters.len(), dead());
    for dead_letter in &dead_letters {
        check_trail(consumer, dead_letter, &sources[&id_of(dead_letter)], RETRIES + 2);
    }
}
