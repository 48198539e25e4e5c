//! Deletion of old and of surplus dead letters, on both databases.

use desk::Desk;
use desk::audit::Actor;
use desk::retention::Retention;
use desk_api::{DeadLetter, Filter, PageSelector, ReplayPlan};

use crate::fixture::{ACTOR, NOW, dead_letter, on_both, one};

/// The offsets of all dead letters.
async fn offsets(desk: &Desk) -> Vec<i64> {
    let dead_letters = desk
        .full_dead_letters(&Filter::default(), &PageSelector::First, 1000)
        .await
        .expect("dead letters")
        .items;
    let mut offsets: Vec<i64> = dead_letters
        .iter()
        .map(|dead_letter| dead_letter.location.as_ref().expect("a location").offset)
        .collect();
    offsets.sort_unstable();
    offsets
}

#[tokio::test(flavor = "multi_thread")]
async fn old_dead_letters_are_deleted_unless_a_replay_needs_them() {
    const DAY: i64 = 86_400_000;
    let days = |days: u64| std::time::Duration::from_secs(days * 86_400);
    let retention = Retention { keep: days(30), keep_open: days(365), max: 1000 };
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (0..6).map(|offset| dead_letter(offset, &format!("c{offset}"), "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        assert_eq!(desk.discard(&one(&dead_letters[0]), ACTOR).await.expect("discarded"), 1);
        let late = Actor { now_ms: NOW + 20 * DAY, ..ACTOR };
        assert_eq!(desk.discard(&one(&dead_letters[1]), late).await.expect("discarded"), 1);
        assert_eq!(desk.clean_up(&retention, NOW + 29 * DAY).await.expect("cleaned"), 0);
        assert_eq!(desk.clean_up(&retention, NOW + 31 * DAY).await.expect("cleaned"), 1);
        assert_eq!(offsets(&desk).await, [1, 2, 3, 4, 5]);
        // The failure of a deleted dead letter stays as long as open ones do.
        assert!(desk.failure(&dead_letters[0].failure, NOW).await.expect("an answer").is_some());
        let plan = ReplayPlan::default();
        let running = desk
            .start_replay(&one(&dead_letters[2]), None, &plan, ACTOR)
            .await
            .expect("an answer")
            .expect("a replay");
        let paused = desk
            .start_replay(&one(&dead_letters[3]), None, &plan, ACTOR)
            .await
            .expect("an answer")
            .expect("a replay");
        desk.pause_replay(&paused.id, ACTOR).await.expect("paused");
        assert_eq!(desk.clean_up(&retention, NOW + 366 * DAY).await.expect("cleaned"), 3);
        assert_eq!(offsets(&desk).await, [2, 3]);
        assert!(desk.failure(&dead_letters[0].failure, NOW).await.expect("an answer").is_none());
        assert!(desk.failure(&dead_letters[2].failure, NOW).await.expect("an answer").is_some());
        desk.cancel_replay(&running.id, ACTOR).await.expect("cancelled");
        assert_eq!(desk.clean_up(&retention, NOW + 366 * DAY).await.expect("cleaned"), 1);
        assert_eq!(offsets(&desk).await, [3]);
        assert!(desk.replay(&running.id).await.expect("an answer").is_none(), "its retention is over");
        assert!(desk.replay(&paused.id).await.expect("an answer").is_some(), "it can be resumed");
        let all = desk.audit_log(None, &PageSelector::First, 50).await.expect("an answer").items;
        assert!(all.iter().any(|entry| entry.replay.as_deref() == Some(&running.id)), "the audit log stays");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_replay_is_deleted_completely() {
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (0..1100).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        let plan = ReplayPlan::default();
        let replay = desk
            .start_replay(&Filter::default(), None, &plan, ACTOR)
            .await
            .expect("an answer")
            .expect("a replay");
        desk.cancel_replay(&replay.id, ACTOR).await.expect("cancelled");
        let retention = Retention::default();
        let keep = i64::try_from(retention.keep.as_millis()).expect("days");
        desk.clean_up(&retention, NOW + keep).await.expect("cleaned");
        assert_eq!(
            desk.replay(&replay.id).await.expect("an answer").expect("not old yet").dead_letters,
            1100
        );
        desk.clean_up(&retention, NOW + keep + 1).await.expect("cleaned");
        assert!(desk.replay(&replay.id).await.expect("an answer").is_none());
        assert_eq!(
            desk.count(&Filter::default()).await.expect("a count"),
            1100,
            "its dead letters are still open"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_above_the_maximum_are_deleted_open_ones_last() {
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (0..1300).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        for some in dead_letters.chunks(500) {
            desk.ingest(some).await.expect("ingested");
        }
        assert_eq!(desk.discard(&one(&dead_letters[1299]), ACTOR).await.expect("discarded"), 1);
        let retention = Retention { max: 4, ..Retention::default() };
        assert_eq!(desk.clean_up(&retention, NOW).await.expect("cleaned"), 1296);
        // The newest was discarded, and is deleted before the oldest open one.
        assert_eq!(offsets(&desk).await, [1295, 1296, 1297, 1298]);
        assert_eq!(desk.clean_up(&retention, NOW).await.expect("cleaned"), 0);
    })
    .await;
}
