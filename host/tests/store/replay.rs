//! Replays, on both databases.

use consumer::reports::{ReplayTag, Report};
use desk::Desk;
use desk::replay::ReplayError;
use desk::replay::items::{SentItem, SkippedItem};
use desk::replay::steps::{Counts, Verdict};
use desk_api::{
    DeadLetter, DeadLetterState, Filter, PageSelector, Replay, ReplayItemState, ReplayPlan, ReplayState,
    ReplayTarget,
};

use crate::fixture::{ACTOR, NOW, dead_letter, on_both};

pub async fn replay_of(desk: &Desk, count: i64) -> (Replay, Vec<DeadLetter>) {
    let dead_letters: Vec<DeadLetter> =
        (1..=count).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
    desk.ingest(&dead_letters).await.expect("ingested");
    let replay =
        desk.start_replay(&Filter::default(), None, &ReplayPlan::default(), ACTOR).await.expect("an answer");
    (replay.expect("dead letters"), dead_letters)
}

pub fn sent(position: i64, dead_letter: &DeadLetter, offset: Option<i64>) -> SentItem {
    SentItem {
        position,
        dead_letter: dead_letter.id.clone(),
        topic: "email.send".to_owned(),
        partition: 2,
        offset,
        group: "email-send-group".to_owned(),
        failed: None,
    }
}

fn report(replay: &Replay, position: i64, offset: i64, failed: bool) -> Report {
    Report {
        tag: ReplayTag::read(ReplayTag::write(&replay.id, position).as_bytes()).expect("a tag"),
        group: "email-send-group".to_owned(),
        topic: "email.send".to_owned(),
        partition: 2,
        offset,
        failed,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_fixes_its_selection_and_can_be_paused_and_cancelled() {
    on_both(async |desk| {
        let mut dead_letters: Vec<DeadLetter> =
            (0..30).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        dead_letters[3].replays = 10;
        desk.ingest(&dead_letters).await.expect("ingested");
        let plan = ReplayPlan {
            target: ReplayTarget::Retry,
            rate: Some(2.5),
            ramp: vec![1, 2, 5],
            ..ReplayPlan::default()
        };
        let none = Filter { code: Some("other".to_owned()), ..Filter::default() };
        assert_eq!(desk.start_replay(&none, None, &plan, ACTOR).await.expect("an answer"), None);
        let replay = desk
            .start_replay(&Filter::default(), None, &plan, ACTOR)
            .await
            .expect("an answer")
            .expect("a replay");
        assert_eq!((replay.dead_letters, replay.waiting, replay.state), (29, 29, ReplayState::Running));
        assert_eq!(replay.plan, plan);
        desk.ingest(&[dead_letter(31, "bad-address", "d1")]).await.expect("ingested");
        assert_eq!(desk.replay(&replay.id).await.expect("an answer").expect("a replay").dead_letters, 29);
        let paused = desk.pause_replay(&replay.id, ACTOR).await.expect("paused");
        assert_eq!(paused.state, ReplayState::Paused);
        assert!(matches!(
            desk.pause_replay(&replay.id, ACTOR).await,
            Err(ReplayError::InState(ReplayState::Paused))
        ));
        assert_eq!(desk.resume_replay(&replay.id, ACTOR).await.expect("resumed").state, ReplayState::Running);
        assert_eq!(
            desk.cancel_replay(&replay.id, ACTOR).await.expect("cancelled").state,
            ReplayState::Cancelled
        );
        assert!(matches!(
            desk.resume_replay(&replay.id, ACTOR).await,
            Err(ReplayError::InState(ReplayState::Cancelled))
        ));
        assert!(matches!(desk.cancel_replay("zz", ACTOR).await, Err(ReplayError::Unknown)));
        assert_eq!(desk.replays(&PageSelector::First, 10).await.expect("replays").items.len(), 1);
        let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
        assert_eq!(desk.count(&open).await.expect("an answer"), 31);
        let entries = desk.audit_log(None, &PageSelector::First, 10).await.expect("entries").items;
        let log: Vec<_> = entries.iter().map(|entry| &entry.action[..]).collect();
        assert_eq!(log, ["cancel", "resume", "pause", "replay"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_at_a_time_leases_a_replay() {
    on_both(async |desk| {
        let (replay, _) = replay_of(&desk, 1).await;
        assert_eq!(
            desk.unleased_replays(NOW).await.expect("an answer").as_slice(),
            std::slice::from_ref(&replay.id)
        );
        let lease =
            async |worker: &str, now| desk.lease(&replay.id, worker, now, now + 10).await.expect("an answer");
        let (one, other) = tokio::join!(lease("one", NOW), lease("other", NOW));
        assert!(one != other, "both have the lease, or neither");
        let (first, second) = if one { ("one", "other") } else { ("other", "one") };
        assert!(desk.unleased_replays(NOW + 5).await.expect("an answer").is_empty());
        assert!(desk.holds_lease(&replay.id, first).await.expect("an answer"));
        assert!(!desk.holds_lease(&replay.id, second).await.expect("an answer"));
        assert!(desk.renew_lease(&replay.id, first, NOW + 20).await.expect("an answer"));
        assert!(!lease(second, NOW + 15).await, "the lease was renewed");
        // The lease has expired.
        assert!(lease(second, NOW + 25).await);
        assert!(!desk.renew_lease(&replay.id, first, NOW + 99).await.expect("an answer"));
        desk.release_lease(&replay.id, first).await.expect("an answer");
        assert!(
            desk.holds_lease(&replay.id, second).await.expect("an answer"),
            "another's lease was released"
        );
        desk.release_lease(&replay.id, second).await.expect("an answer");
        assert!(lease(first, NOW + 25).await);
        desk.pause_replay(&replay.id, ACTOR).await.expect("paused");
        assert!(!desk.holds_lease(&replay.id, first).await.expect("an answer"));
        assert!(
            desk.renew_lease(&replay.id, first, NOW + 99).await.expect("an answer"),
            "until it has recorded"
        );
    })
    .await;
}

/// Records three sent items and a skipped one, twice: the second call changes nothing.
async fn record_sent_twice(desk: &Desk, replay: &Replay, dead_letters: &[DeadLetter], entry: &str) {
    let out = [
        sent(1, &dead_letters[0], Some(10)),
        sent(2, &dead_letters[1], Some(11)),
        sent(3, &dead_letters[2], None),
    ];
    let skipped = [SkippedItem { position: 4, reason: "it's \"gone\"".to_owned() }];
    desk.record_sent(&replay.id, entry, &out, &skipped, NOW + 1).await.expect("written");
    desk.record_sent(&replay.id, entry, &out, &skipped, NOW + 2).await.expect("written once more");
    assert!(desk.has_pending_items(&replay.id, 1).await.expect("an answer"));
}

/// Reports that belong to no sent item: another record, topic, partition, group, position or replay.
fn forged_reports(replay: &Replay) -> Vec<Report> {
    vec![
        report(replay, 2, 12, true),
        Report { topic: "sms.send".to_owned(), ..report(replay, 2, 11, true) },
        Report { partition: 0, ..report(replay, 2, 11, true) },
        Report { group: "billing".to_owned(), ..report(replay, 2, 11, true) },
        report(replay, 4, 10, true),
        report(replay, 99, 10, true),
        report(&Replay { id: "0".repeat(32), ..replay.clone() }, 1, 10, true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_waits_for_the_outcome_of_its_own_record() {
    on_both(async |desk| {
        let (replay, dead_letters) = replay_of(&desk, 6).await;
        let next = desk.waiting_items(&replay.id, (0, 4), 10).await.expect("an answer");
        assert_eq!(next.iter().map(|next| next.position).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(
            next.iter()
                .zip(&dead_letters)
                .all(|(next, dead_letter)| next.dead_letter == dead_letter.id && next.size > 20)
        );
        let entry = desk.start_entry(&replay.id).await.expect("an answer").expect("an entry");
        // Reported before the item is recorded as sent.
        let early = report(&replay, 1, 10, false);
        assert_eq!(desk.record_outcomes(&[&early], NOW).await.expect("an answer"), [0]);
        record_sent_twice(&desk, &replay, &dead_letters, &entry).await;
        let mut reports = forged_reports(&replay);
        reports.push(early);
        let reports: Vec<&Report> = reports.iter().collect();
        assert!(desk.record_outcomes(&reports, NOW).await.expect("an answer").is_empty());
        let now = desk.replay(&replay.id).await.expect("an answer").expect("a replay");
        assert_eq!((now.done, now.failed, now.sent, now.skipped, now.waiting), (1, 0, 2, 1, 2));
        // The offset of the record is unknown.
        assert!(
            desk.record_outcomes(&[&report(&replay, 3, 77, true)], NOW).await.expect("an answer").is_empty()
        );
        // A recorded outcome does not change.
        assert!(
            desk.record_outcomes(&[&report(&replay, 3, 77, false)], NOW).await.expect("an answer").is_empty()
        );
        check_overdue(&desk, &replay).await;
        check_first_dead_letter(&desk, &replay, &dead_letters[0], entry).await;
    })
    .await;
}

/// An item without an outcome becomes unknown after its time limit. A late outcome replaces the unknown one.
async fn check_overdue(desk: &Desk, replay: &Replay) {
    let overdue = desk.overdue(NOW + 2, 10).await.expect("an answer");
    let [lost] = &overdue[..] else { panic!("{overdue:?}") };
    assert_eq!(
        (lost.position, lost.partition, lost.offset, &lost.group[..]),
        (2, Some(2), Some(11), "email-send-group")
    );
    assert!(desk.overdue(NOW + 1, 10).await.expect("an answer").is_empty());
    desk.mark_unknown(&[lost], NOW + 3).await.expect("written");
    let counts = desk.step_counts(&replay.id, 0, 4).await.expect("an answer");
    assert_eq!(counts, Counts { done: 1, failed: 1, unknown: 1, sent: 0, skipped: 1 });
    assert!(!desk.has_pending_items(&replay.id, 4).await.expect("an answer"));
    // A late outcome replaces an unknown one.
    assert!(desk.record_outcomes(&[&report(replay, 2, 11, false)], NOW).await.expect("an answer").is_empty());
    assert_eq!(
        desk.step_counts(&replay.id, 1, 4).await.expect("an answer"),
        Counts { done: 1, failed: 1, unknown: 0, sent: 0, skipped: 1 }
    );
    let skipped =
        desk.replay_items(&replay.id, Some(ReplayItemState::Skipped), 0, 10).await.expect("an answer");
    assert_eq!((skipped.len(), skipped[0].skip_reason.as_deref()), (1, Some("it's \"gone\"")));
    assert_eq!(
        desk.count(&Filter { state: Some(DeadLetterState::Open), ..Filter::default() })
            .await
            .expect("an answer"),
        3
    );
}

/// The first dead letter is replayed, and the audit log names the replay.
async fn check_first_dead_letter(desk: &Desk, replay: &Replay, first: &DeadLetter, entry: String) {
    let dead_letter = desk.dead_letter(&first.id).await.expect("an answer").expect("a dead letter");
    assert_eq!(
        (dead_letter.state, dead_letter.audit_entry, dead_letter.state_since_ms),
        (DeadLetterState::Replayed, Some(entry), NOW + 1)
    );
    let entries = desk.audit_log(Some(&first.id), &PageSelector::First, 10).await.expect("an answer").items;
    assert_eq!((&entries[0].action[..], entries[0].replay.as_deref()), ("replay", Some(&replay.id[..])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_ends_once_and_only_for_the_lease_holder() {
    on_both(async |desk| {
        let (replay, _) = replay_of(&desk, 8).await;
        assert!(desk.lease(&replay.id, "one", NOW, NOW + 10).await.expect("an answer"));
        let end = async |worker, end, verdict: &Verdict| {
            let replay = desk.replay(&replay.id).await.expect("an answer").expect("a replay");
            desk.end_step(&replay, worker, end, verdict, NOW + 5).await.expect("an answer")
        };
        assert!(!end("other", 1, &Verdict::Continue).await);
        assert!(end("one", 1, &Verdict::Continue).await);
        desk.set_state_reason(&replay.id, "waits").await.expect("recorded");
        let now = desk.replay(&replay.id).await.expect("an answer").expect("a replay");
        assert_eq!(
            (now.stepped, now.steps, now.state, &now.state_reason[..]),
            (1, 1, ReplayState::Running, "waits")
        );
        assert!(end("one", 3, &Verdict::Stop("2 of 2 failed".to_owned())).await);
        let now = desk.replay(&replay.id).await.expect("an answer").expect("a replay");
        assert_eq!(
            (now.stepped, now.steps, now.state, &now.state_reason[..]),
            (3, 2, ReplayState::Stopped, "2 of 2 failed")
        );
        assert!(!end("one", 8, &Verdict::Continue).await, "the replay is not running");
        assert_eq!(desk.resume_replay(&replay.id, ACTOR).await.expect("resumed").state_reason, "");
        assert!(end("one", 8, &Verdict::Done(String::new())).await);
        let now = desk.replay(&replay.id).await.expect("an answer").expect("a replay");
        assert_eq!((now.stepped, now.state, now.state_since_ms), (8, ReplayState::Done, NOW + 5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_dead_letter_is_in_two_active_replays() {
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (1..=20).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        let (all, plan) = (Filter::default(), ReplayPlan::default());
        let start = async || desk.start_replay(&all, None, &plan, ACTOR).await.expect("an answer");
        let (one, other) = tokio::join!(start(), start());
        let replays: Vec<Replay> = one.into_iter().chain(other).collect();
        assert_eq!(replays.iter().map(|replay| replay.dead_letters).collect::<Vec<_>>(), [20]);
        desk.pause_replay(&replays[0].id, ACTOR).await.expect("paused");
        assert_eq!(start().await, None);
        desk.cancel_replay(&replays[0].id, ACTOR).await.expect("cancelled");
        assert_eq!(start().await.expect("a replay").dead_letters, 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_cannot_be_sent_are_left_out() {
    on_both(async |desk| {
        let mut dead_letters: Vec<DeadLetter> =
            (1..=4).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        dead_letters[0].value_cut = Some(2_000_000);
        dead_letters[1].source.topic = "email.send.dlt".to_owned();
        dead_letters[2].replays = 10;
        desk.ingest(&dead_letters).await.expect("ingested");
        let replay = desk
            .start_replay(&Filter::default(), None, &ReplayPlan::default(), ACTOR)
            .await
            .expect("an answer");
        let replay = replay.expect("a replay");
        let frozen = desk.replay_items(&replay.id, None, 0, 10).await.expect("an answer");
        assert_eq!(frozen.iter().map(|one| &one.dead_letter).collect::<Vec<_>>(), [&dead_letters[3].id]);
    })
    .await;
}
