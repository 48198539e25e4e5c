//! The pace of a replay: steps, the failure limit, rates, pauses and cancellations.

use std::time::Duration;

use desk_api::{DeadLetterState, ReplayPlan, ReplayState};
use testkit::{Kafka, eventually};

use crate::support::{BOUND, Guest, attempts, body, deliveries};
use crate::test_desk::{TestDesk, all_done, by, crafted, now_ms};

/// Time within which a pause or a cancellation takes effect.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_step_with_too_many_failures_stops_the_replay() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-ramp"), TestDesk::new("replay-ramp"));
    let host = desk.start(kafka, &guest, &[]);
    let dead_letter = |number: i64| {
        let action = if [4, 6].contains(&number) { "reject" } else { "done" };
        crafted(&guest, number, body(&number.to_string(), action, ""))
    };
    desk.ingest(&(1..=30).map(dead_letter).collect::<Vec<_>>());
    let plan = ReplayPlan { ramp: vec![1, 2, 5, 20], limit_percent: 25, ..ReplayPlan::default() };
    let replay = desk.replay(&plan);
    let stopped = desk.wait(&replay.id, |replay| replay.state == ReplayState::Stopped);
    assert_eq!(stopped.state_reason, "2 of 5 failed, more than 25 %");
    assert_eq!((stopped.stepped, stopped.steps, stopped.waiting), (8, 3, 22));
    assert_eq!((stopped.done, stopped.failed, stopped.sent), (6, 2, 0));
    std::thread::sleep(SOON);
    assert_eq!(kafka.read_all(&guest.topic).len(), 8, "it continued");
    // The two failed messages are dead letters again.
    eventually(BOUND, || desk.count(DeadLetterState::Open) == 24);
    desk.runtime.block_on(desk.desk.resume_replay(&replay.id, by())).expect("resumed");
    let done = desk.wait_done(&replay.id);
    assert_eq!((done.done, done.failed, done.steps, done.stepped), (28, 2, 5, 30));
    let mut positions: Vec<String> =
        kafka.read_all(&guest.topic).iter().filter_map(|record| record.header_text("host-replay")).collect();
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), 30);
    host.stop();
}

/// Checks the rate of the records on the source topic, given the times at which sending began.
fn assert_rate(kafka: &Kafka, guest: &Guest, begins: &[i64], rate: f64) {
    let mut times: Vec<i64> = kafka.read_all(&guest.topic).iter().map(|record| record.timestamp_ms).collect();
    times.sort_unstable();
    for (sent, time) in times.iter().enumerate() {
        // One more may be sent at once after each begin.
        let began = begins.iter().filter(|begin| *begin <= time).count() as f64;
        let most = (time - begins[0]) as f64 / 1000.0 * rate + began;
        assert!((sent + 1) as f64 <= most.ceil(), "{} after {} ms", sent + 1, time - begins[0]);
    }
}

#[test]
fn a_replay_never_exceeds_its_rate_and_can_be_paused_and_cancelled() {
    const RATE: f64 = 40.0;
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-rate"), TestDesk::new("replay-rate"));
    let host = desk.start(kafka, &guest, &[]);
    desk.ingest(&all_done(&guest, 2000));
    let sent = || kafka.read_all(&guest.topic).len();
    let mut begins = vec![now_ms()];
    let replay = desk.replay(&ReplayPlan { rate: Some(RATE), ramp: vec![10, 30], ..ReplayPlan::default() });
    eventually(BOUND, || sent() >= 60);
    desk.runtime.block_on(desk.desk.pause_replay(&replay.id, by())).expect("paused");
    std::thread::sleep(SOON);
    let paused = sent();
    std::thread::sleep(2 * SOON);
    assert_eq!(sent(), paused, "a paused replay continues");
    begins.push(now_ms());
    desk.runtime.block_on(desk.desk.resume_replay(&replay.id, by())).expect("resumed");
    eventually(BOUND, || sent() >= paused + 60);
    desk.runtime.block_on(desk.desk.cancel_replay(&replay.id, by())).expect("cancelled");
    std::thread::sleep(SOON);
    let cancelled = sent();
    std::thread::sleep(2 * SOON);
    assert_eq!(sent(), cancelled, "a cancelled replay continues");
    assert_rate(kafka, &guest, &begins, RATE);
    // Every sent dead letter has an outcome. The rest is still open.
    let replay = desk.wait(&replay.id, |replay| replay.sent == 0);
    assert_eq!(
        (replay.state, replay.done, replay.waiting),
        (ReplayState::Cancelled, cancelled as u64, 2000 - cancelled as u64)
    );
    assert_eq!(
        (desk.count(DeadLetterState::Replayed), desk.count(DeadLetterState::Open)),
        (replay.done, replay.waiting)
    );
    // A new replay sends the rest, and no dead letter twice.
    let rest = desk.replay(&ReplayPlan::default());
    let rest = desk.wait_done(&rest.id);
    assert_eq!((rest.dead_letters, rest.done), (replay.waiting, replay.waiting));
    assert_eq!(sent(), 2000);
    let lines = host.stop();
    let all = deliveries(&lines);
    assert!((0..2000).all(|id| attempts(&all, &id.to_string()) == [1]));
}
