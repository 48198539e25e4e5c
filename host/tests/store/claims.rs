//! Replays that are created, cancelled and sent at the same time, on both databases.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desk::Desk;
use desk::replay::items::SentItem;
use desk::retention::Retention;
use desk_api::{DeadLetter, DeadLetterState, Filter, PageSelector, Replay, ReplayPlan};
use testkit::Rng;
use tokio::time::sleep;

use crate::fixture::{ACTOR, NOW, dead_letter, on_both, on_both_stores};
use crate::replay::{replay_of, sent};

/// When a lease that is held ends.
fn lease_end() -> i64 {
    base::clock::now_ms() + 60_000
}

#[tokio::test(flavor = "multi_thread")]
async fn claimed_dead_letters_of_a_cancelled_replay_are_free_when_they_are_accounted_for() {
    on_both(async |desk| {
        let (first, dead_letters) = replay_of(&desk, 6).await;
        let start = async || {
            let all = Filter::default();
            desk.start_replay(&all, None, &ReplayPlan::default(), ACTOR).await.expect("an answer")
        };
        let frozen = async |replay: &Replay| {
            let items = desk.replay_items(&replay.id, None, 0, 10).await.expect("an answer");
            items.into_iter().map(|item| item.dead_letter).collect::<Vec<_>>()
        };
        let ids = |range: std::ops::Range<usize>| {
            dead_letters[range].iter().map(|dead_letter| dead_letter.id.clone()).collect::<Vec<_>>()
        };
        assert!(desk.lease(&first.id, "one", NOW, lease_end()).await.expect("an answer"));
        assert!(desk.claim(&first.id, "one", 3, lease_end()).await.expect("an answer"));
        assert!(!desk.claim(&first.id, "two", 4, lease_end()).await.expect("an answer"), "no lease");
        desk.cancel_replay(&first.id, ACTOR).await.expect("cancelled");
        assert!(!desk.claim(&first.id, "one", 6, lease_end()).await.expect("an answer"), "cancelled");
        // The host has 1 to 3 in flight and does not know about the cancellation.
        let second = start().await.expect("a replay");
        assert_eq!(frozen(&second).await, ids(3..6));
        assert!(
            desk.renew_lease(&first.id, "one", lease_end()).await.expect("an answer"),
            "until it has recorded"
        );
        let out = [sent(1, &dead_letters[0], Some(1)), sent(2, &dead_letters[1], Some(2))];
        desk.record_sent(&first.id, "entry", &out, &[], NOW).await.expect("recorded");
        assert_eq!(start().await, None, "3 may still be sent");
        desk.release_lease(&first.id, "one").await.expect("released");
        let third = start().await.expect("a replay");
        assert_eq!(frozen(&third).await, ids(2..3));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_killed_host_end_with_its_lease() {
    on_both(async |desk| {
        let (first, _) = replay_of(&desk, 3).await;
        assert!(desk.lease(&first.id, "one", NOW, lease_end()).await.expect("an answer"));
        let past = base::clock::now_ms() - 1;
        assert!(desk.claim(&first.id, "one", 3, past).await.expect("an answer"));
        desk.cancel_replay(&first.id, ACTOR).await.expect("cancelled");
        let all = Filter::default();
        let second = desk.start_replay(&all, None, &ReplayPlan::default(), ACTOR).await.expect("an answer");
        assert_eq!(second.expect("a replay").dead_letters, 3);
    })
    .await;
}

/// Sends replays as a host does, with random delays. Adds the dead letters that it publishes to `published`.
async fn host(
    desk: Desk,
    name: &'static str,
    seed: u64,
    published: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
) {
    let mut random = Rng::new(seed);
    while !stop.load(Ordering::Relaxed) {
        for id in desk.unleased_replays(base::clock::now_ms()).await.expect("an answer") {
            if desk.lease(&id, name, base::clock::now_ms(), lease_end()).await.expect("an answer") {
                send(&desk, name, &id, &mut random, &published).await;
                desk.release_lease(&id, name).await.expect("released");
            }
        }
        sleep(Duration::from_millis(random.below(3))).await;
    }
}

async fn send(desk: &Desk, name: &str, replay: &str, random: &mut Rng, published: &Mutex<Vec<String>>) {
    loop {
        let waiting = desk
            .waiting_items(replay, (0, i64::MAX), 1 + random.below(20) as usize)
            .await
            .expect("an answer");
        let Some(last) = waiting.last().map(|item| item.position) else { return };
        if !desk.claim(replay, name, last, lease_end()).await.expect("an answer") {
            return;
        }
        sleep(Duration::from_millis(random.below(8))).await;
        let mut out = Vec::new();
        for item in waiting {
            // Some cannot be published.
            if random.below(10) > 0 {
                published.lock().expect("no panic").push(item.dead_letter.clone());
                let (position, topic) = (item.position, "t".to_owned());
                out.push(SentItem {
                    position,
                    dead_letter: item.dead_letter,
                    topic,
                    partition: 0,
                    offset: None,
                    group: String::new(),
                    failed: None,
                });
            }
        }
        sleep(Duration::from_millis(random.below(8))).await;
        desk.record_sent(replay, "entry", &out, &[], NOW).await.expect("recorded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_send_each_dead_letter_once_however_replays_are_cancelled_and_started() {
    let mut rng = Rng::seeded();
    let (seed, count) = (rng.below(u64::MAX), 400);
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (1..=count).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        let (published, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let hosts = [("one", seed), ("two", !seed)].map(|(name, seed)| {
            tokio::spawn(host(desk.clone(), name, seed, Arc::clone(&published), Arc::clone(&stop)))
        });
        let mut random = Rng::new(seed / 2);
        let (all, plan) = (Filter::default(), ReplayPlan::default());
        let end = Instant::now() + Duration::from_secs(60);
        let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
        let mut cancelled = 0;
        while desk.count(&open).await.expect("an answer") > 0 {
            assert!(Instant::now() < end, "not sent");
            if let Some(replay) = desk.start_replay(&all, None, &plan, ACTOR).await.expect("an answer") {
                sleep(Duration::from_millis(random.below(40))).await;
                desk.cancel_replay(&replay.id, ACTOR).await.expect("cancelled");
                cancelled += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        for host in hosts {
            host.await.expect("no panic");
        }
        let mut published = published.lock().expect("no panic").clone();
        published.sort_unstable();
        let total = published.len();
        published.dedup();
        println!("{total} dead letters sent, {cancelled} replays cancelled");
        assert_eq!((published.len(), total), (count as usize, count as usize));
        assert!(cancelled > 1, "no replay was cancelled while it was sending");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_creation_was_interrupted_does_not_exist() {
    on_both_stores(async |store| {
        let desk = Desk::open(&store).await.expect("a desk");
        let (whole, dead_letters) = replay_of(&desk, 4).await;
        let mut connection = store.connect().await.expect("a connection");
        let interrupted = format!(
            "UPDATE jobs SET state = 'preparing', worker_until = {} WHERE id = '{}'",
            base::clock::now_ms() + 1500,
            whole.id
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(interrupted)).execute(&mut connection).await.expect("changed");
        assert_eq!(desk.replay(&whole.id).await.expect("an answer"), None);
        assert!(desk.replays(&PageSelector::First, 10).await.expect("an answer").items.is_empty());
        assert!(desk.unleased_replays(i64::MAX).await.expect("an answer").is_empty());
        // Another creation waits until the interrupted one counts as abandoned.
        let all = Filter::default();
        let started = Instant::now();
        let next = desk.start_replay(&all, None, &ReplayPlan::default(), ACTOR).await.expect("an answer");
        assert_eq!(next.expect("a replay").dead_letters, dead_letters.len() as u64);
        assert!(started.elapsed() > Duration::from_secs(1), "it has not waited");
        desk.clean_up(&Retention::default(), base::clock::now_ms()).await.expect("cleaned");
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM jobs")
            .fetch_one(&mut connection)
            .await
            .expect("a number");
        assert_eq!(left, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_many_dead_letters_is_complete_and_in_order() {
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (1..=2500).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        for some in dead_letters.chunks(500) {
            desk.ingest(some).await.expect("ingested");
        }
        let all = Filter::default();
        let start =
            async || desk.start_replay(&all, None, &ReplayPlan::default(), ACTOR).await.expect("an answer");
        // Both are created in rounds; the second one waits for the first.
        let (one, other) = tokio::join!(start(), start());
        let replays: Vec<Replay> = one.into_iter().chain(other).collect();
        let [replay] = &replays[..] else { panic!("{replays:?}") };
        let items = desk.replay_items(&replay.id, None, 0, 9999).await.expect("an answer");
        let frozen: Vec<&String> = items.iter().map(|item| &item.dead_letter).collect();
        let ids: Vec<&String> = dead_letters.iter().map(|dead_letter| &dead_letter.id).collect();
        assert_eq!((replay.dead_letters, frozen), (2500, ids));
        assert!(items.iter().zip(1..).all(|(item, position)| item.position == position));
    })
    .await;
}
