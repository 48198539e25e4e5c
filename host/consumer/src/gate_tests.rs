//! Tests of the gate.

use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;

/// Long enough for a future to complete that can.
const SHORT: Duration = Duration::from_millis(50);
/// Longer than the pause before the first probe.
const LONG: Duration = Duration::from_secs(10);

fn gate(failures: u32) -> Arc<Gate> {
    Gate::new(&"gate-test".into(), NonZeroU32::new(failures))
}

fn pause() -> Option<Pause> {
    Some(Pause { since_ms: 1, actor: "ada".to_owned(), reason: "maintenance".to_owned() })
}

/// A gate that rests.
fn resting() -> Arc<Gate> {
    let gate = gate(1);
    assert!(gate.failed((0, 1), "busy", None));
    gate
}

async fn probe(gate: &Arc<Gate>) -> Probe {
    timeout(LONG, gate.admits()).await.expect("a probe");
    match gate.admit() {
        Admission::Probe(probe) => probe,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_resumption_wakes_all_that_wait() {
    let gate = gate(0);
    gate.admits().await;
    gate.set_pause(pause());
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.admits().await })
        })
        .collect();
    assert!(timeout(SHORT, gate.admits()).await.is_err(), "paused");
    assert!(waiting.iter().all(|task| !task.is_finished()));
    gate.set_pause(None);
    for task in waiting {
        timeout(LONG, task).await.expect("woken").expect("no panic");
    }
}

#[tokio::test]
async fn a_pause_ends_what_only_waits() {
    let gate = gate(0);
    assert!(timeout(SHORT, gate.until_paused()).await.is_err(), "open");
    let waiting = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.until_paused().await }
    });
    gate.set_pause(pause());
    timeout(LONG, waiting).await.expect("ended").expect("no panic");
    assert_eq!(gate.status().pause, pause());
}

#[test]
fn nothing_passes_while_other_threads_pause_and_resume() {
    let gate = gate(0);
    // Even while the gate is open or may be changing, odd while it is paused.
    let epoch = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while epoch.load(Ordering::SeqCst) < 2000 {
                    let before = epoch.load(Ordering::SeqCst);
                    let passes = gate.lets(None) || matches!(gate.admit(), Admission::Open);
                    let is_paused = before % 2 == 1 && epoch.load(Ordering::SeqCst) == before;
                    assert!(!(is_paused && passes), "passed in epoch {before}");
                }
            });
        }
        for _ in 0..1000 {
            gate.set_pause(pause());
            epoch.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            epoch.fetch_add(1, Ordering::SeqCst);
            gate.set_pause(None);
        }
    });
    assert!(gate.is_open());
}

#[test]
fn it_rests_after_requested_retries_in_a_row() {
    let gate = gate(3);
    assert!(!gate.failed((0, 1), "busy", None) && !gate.failed((0, 2), "busy", None));
    gate.succeeded();
    assert!(!gate.failed((0, 3), "busy", None) && !gate.failed((1, 3), "busy", None));
    assert!(gate.is_open() && gate.status().rest.is_none());
    assert!(gate.failed((0, 4), "busy", None), "the third in a row");
    assert!(!gate.is_open() && !gate.lets(None));
    assert_eq!(gate.status().rest.expect("resting").1, "busy");
    // A call that began before.
    assert!(gate.failed((0, 5), "busy", None), "its attempt does not count either");
    gate.succeeded();
    assert!(gate.is_open() && gate.status().rest.is_none());
}

#[test]
fn a_message_that_fails_again_and_again_counts_once() {
    let gate = gate(2);
    assert!((0..100).all(|_| !gate.failed((0, 1), "busy", None)));
    assert!(gate.failed((0, 2), "busy", None), "another one");
}

#[test]
fn without_a_breaker_it_never_rests() {
    let gate = gate(0);
    assert!((0..100).all(|offset| !gate.failed((0, offset), "busy", None)));
    assert!(gate.is_open());
}

#[tokio::test]
async fn one_message_at_a_time_probes() {
    let gate = resting();
    assert!(matches!(gate.admit(), Admission::Closed), "before the first pause has passed");
    let first = probe(&gate).await;
    assert!(gate.lets(Some(&first)) && !gate.lets(None));
    assert!(matches!(gate.admit(), Admission::Closed), "one at a time");
    assert!(timeout(Duration::from_secs(1), gate.admits()).await.is_err(), "as long as it is in progress");
    assert!(gate.failed((0, 1), "busy", Some(&first)));
    drop(first);
    assert!(matches!(gate.admit(), Admission::Closed), "the next pause");
    let second = probe(&gate).await;
    gate.succeeded();
    drop(second);
    assert!(matches!(gate.admit(), Admission::Open));
}

#[tokio::test]
async fn a_probe_without_a_result_is_followed_by_another() {
    let gate = resting();
    drop(probe(&gate).await);
    assert!(matches!(gate.admit(), Admission::Probe(_)));
}

#[tokio::test]
async fn a_pause_takes_precedence_over_a_rest() {
    let gate = resting();
    let first = probe(&gate).await;
    gate.set_pause(pause());
    assert!(!gate.lets(Some(&first)));
    drop(first);
    assert!(timeout(SHORT, gate.admits()).await.is_err());
    gate.succeeded();
    assert!(matches!(gate.admit(), Admission::Closed) && gate.is_paused(), "the pause remains");
    gate.set_pause(None);
    assert!(gate.is_open());
}

#[derive(Debug, Clone)]
enum Step {
    Pause,
    Resume,
    Succeed,
    Fail(i64),
    Admit,
    EndProbe,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Succeed),
        (0..4_i64).prop_map(Step::Fail),
        Just(Step::Admit),
        Just(Step::EndProbe),
    ]
}

proptest! {
    #[test]
    fn nothing_passes_a_pause_and_one_message_at_a_time_a_rest(
        failures in 0..4_u32,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let gate = gate(failures);
        let (mut is_paused, mut probes) = (false, Vec::new());
        for step in steps {
            match step {
                Step::Pause => (is_paused, ()) = (true, gate.set_pause(pause())),
                Step::Resume => (is_paused, ()) = (false, gate.set_pause(None)),
                Step::Succeed => gate.succeeded(),
                Step::Fail(offset) => {
                    let rests = gate.failed((0, offset), "busy", probes.last());
                    prop_assert_eq!(rests, gate.status().rest.is_some());
                }
                Step::Admit => match gate.admit_at(Instant::now() + LONG) {
                    Admission::Open => prop_assert!(!is_paused && gate.status().rest.is_none()),
                    Admission::Probe(probe) => probes.push(probe),
                    Admission::Closed => prop_assert!(is_paused || !probes.is_empty()),
                },
                Step::EndProbe => drop(probes.pop()),
            }
            prop_assert!(probes.len() <= 1);
            prop_assert_eq!(gate.is_paused(), is_paused);
            prop_assert_eq!(gate.lets(None), !is_paused && gate.status().rest.is_none());
        }
    }
}
