//! What a replay reads and writes, on both databases.

use consumer::reports::{Report, ReplayTag};
use desk::jobs::{Job, JobState, Plan};
use desk::letter::Letter;
use desk::replay::rows::{Gone, Sent};
use desk::replay::steps::{Counts, Verdict};
use desk::{At, Desk, Filter, State};

use crate::desk::{BY, NOW, letter, on_both};

async fn job_of(desk: &Desk, count: i64) -> (Job, Vec<Letter>) {
    let letters: Vec<Letter> = (1..=count).map(|offset| letter(offset, "bad-address", "d1")).collect();
    desk.take_in(&letters).await.expect("taken");
    let job = desk.start_job(&Filter::default(), &Plan::default(), BY).await.expect("an answer");
    (job.expect("letters"), letters)
}

fn sent(position: i64, letter: &Letter, offset: Option<i64>) -> Sent {
    Sent { position, letter: letter.id.clone(), topic: "email.send".to_owned(), partition: 2, offset }
}

fn report(job: &Job, position: i64, offset: i64, failed: bool) -> Report {
    Report {
        tag: ReplayTag::read(ReplayTag::write(&job.id, position).as_bytes()).expect("a tag"),
        group: "email-send-group".to_owned(),
        topic: "email.send".to_owned(),
        partition: 2,
        offset,
        failed,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_at_a_time_has_a_job() {
    on_both(async |desk| {
        let (job, _) = job_of(&desk, 1).await;
        assert_eq!(desk.free_jobs(NOW).await.expect("an answer").as_slice(), std::slice::from_ref(&job.id));
        let lease =
            async |worker: &str, now| desk.lease(&job.id, worker, now, now + 10).await.expect("an answer");
        let (one, other) = tokio::join!(lease("one", NOW), lease("other", NOW));
        assert!(one != other, "both have it, or nobody");
        let (first, second) = if one { ("one", "other") } else { ("other", "one") };
        assert!(desk.free_jobs(NOW + 5).await.expect("an answer").is_empty());
        assert!(desk.holds(&job.id, first).await.expect("an answer"));
        assert!(!desk.holds(&job.id, second).await.expect("an answer"));
        assert!(desk.renew(&job.id, first, NOW + 20).await.expect("an answer"));
        assert!(!lease(second, NOW + 15).await, "it was renewed");
        // Nothing was heard of it.
        assert!(lease(second, NOW + 25).await);
        assert!(!desk.renew(&job.id, first, NOW + 99).await.expect("an answer"));
        desk.release(&job.id, first).await.expect("an answer");
        assert!(desk.holds(&job.id, second).await.expect("an answer"), "another's lease was released");
        desk.release(&job.id, second).await.expect("an answer");
        assert!(lease(first, NOW + 25).await);
        desk.pause_job(&job.id, BY).await.expect("paused");
        assert!(!desk.holds(&job.id, first).await.expect("an answer"));
        assert!(!desk.renew(&job.id, first, NOW + 99).await.expect("an answer"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_waits_for_the_outcome_of_its_own_record() {
    on_both(async |desk| {
        let (job, letters) = job_of(&desk, 6).await;
        let next = desk.next_letters(&job.id, 4, 10).await.expect("an answer");
        assert_eq!(next.iter().map(|next| next.position).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(next.iter().zip(&letters).all(|(next, letter)| next.letter == letter.id && next.size > 20));
        let action = desk.action_of(&job.id).await.expect("an answer").expect("an action");
        // Before it is written down that it was sent.
        let early = report(&job, 1, 10, false);
        assert_eq!(desk.note_outcomes(&[&early], NOW).await.expect("an answer"), [0]);
        let out =
            [sent(1, &letters[0], Some(10)), sent(2, &letters[1], Some(11)), sent(3, &letters[2], None)];
        let gone = [Gone { position: 4, why: "it's \"gone\"".to_owned() }];
        desk.note_sent(&job.id, &action, &out, &gone, NOW + 1).await.expect("written");
        desk.note_sent(&job.id, &action, &out, &gone, NOW + 2).await.expect("written once more");
        assert!(desk.is_unsettled(&job.id, 1).await.expect("an answer"));
        let forged = [
            report(&job, 2, 12, true),
            Report { topic: "sms.send".to_owned(), ..report(&job, 2, 11, true) },
            Report { partition: 0, ..report(&job, 2, 11, true) },
            Report { group: "billing".to_owned(), ..report(&job, 2, 11, true) },
            report(&job, 4, 10, true),
            report(&job, 99, 10, true),
            report(&Job { id: "0".repeat(32), ..job.clone() }, 1, 10, true),
        ];
        let mut reports: Vec<&Report> = forged.iter().collect();
        reports.push(&early);
        assert!(desk.note_outcomes(&reports, NOW).await.expect("an answer").is_empty());
        let now = desk.job(&job.id).await.expect("an answer").expect("a job");
        assert_eq!((now.done, now.failed, now.sent, now.gone, now.waiting), (1, 0, 2, 1, 2));
        // The broker did not tell its offset.
        assert!(desk.note_outcomes(&[&report(&job, 3, 77, true)], NOW).await.expect("an answer").is_empty());
        // What has its outcome keeps it.
        assert!(desk.note_outcomes(&[&report(&job, 3, 77, false)], NOW).await.expect("an answer").is_empty());
        let overdue = desk.overdue(NOW + 2, 10).await.expect("an answer");
        let [lost] = &overdue[..] else { panic!("{overdue:?}") };
        assert_eq!(
            (lost.position, lost.partition, lost.offset, &lost.group[..]),
            (2, Some(2), Some(11), "email-send-group")
        );
        assert!(desk.overdue(NOW + 1, 10).await.expect("an answer").is_empty());
        desk.give_up(&[lost], NOW + 3).await.expect("written");
        let counts = desk.step_counts(&job.id, 0, 4).await.expect("an answer");
        assert_eq!(counts, Counts { done: 1, failed: 1, unknown: 1 });
        assert!(!desk.is_unsettled(&job.id, 4).await.expect("an answer"));
        // It comes late, and counts.
        assert!(desk.note_outcomes(&[&report(&job, 2, 11, false)], NOW).await.expect("an answer").is_empty());
        assert_eq!(
            desk.step_counts(&job.id, 1, 4).await.expect("an answer"),
            Counts { done: 1, failed: 1, unknown: 0 }
        );
        let kept = desk.job_letters(&job.id, Some("gone"), 0, 10).await.expect("an answer");
        assert_eq!((kept.len(), kept[0].why.as_deref()), (1, Some("it's \"gone\"")));
        assert_eq!(
            desk.count(&Filter { state: Some(State::Open), ..Filter::default() }).await.expect("an answer"),
            3
        );
        let letter = desk.letter(&letters[0].id).await.expect("an answer").expect("a letter");
        assert_eq!(
            (letter.state, letter.action, letter.state_since_ms),
            (State::Replayed, Some(action), NOW + 1)
        );
        let told = desk.actions(Some(&letters[0].id), &At::First, 10).await.expect("an answer").items;
        assert_eq!((&told[0].what[..], told[0].job.as_deref()), ("replay", Some(&job.id[..])));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_ends_once_and_for_whoever_has_the_job() {
    on_both(async |desk| {
        let (job, _) = job_of(&desk, 8).await;
        assert!(desk.lease(&job.id, "one", NOW, NOW + 10).await.expect("an answer"));
        let end = async |worker, end, verdict: &Verdict| {
            let job = desk.job(&job.id).await.expect("an answer").expect("a job");
            desk.end_step(&job, worker, end, verdict, NOW + 5).await.expect("an answer")
        };
        assert!(!end("other", 1, &Verdict::Next).await);
        assert!(end("one", 1, &Verdict::Next).await);
        desk.tell(&job.id, "waits").await.expect("told");
        let now = desk.job(&job.id).await.expect("an answer").expect("a job");
        assert_eq!((now.stepped, now.steps, now.state, &now.why[..]), (1, 1, JobState::Running, "waits"));
        assert!(end("one", 3, &Verdict::Stop("2 of 2 failed".to_owned())).await);
        let now = desk.job(&job.id).await.expect("an answer").expect("a job");
        assert_eq!(
            (now.stepped, now.steps, now.state, &now.why[..]),
            (3, 2, JobState::Stopped, "2 of 2 failed")
        );
        assert!(!end("one", 8, &Verdict::Next).await, "it does not run");
        assert_eq!(desk.resume_job(&job.id, BY).await.expect("resumed").why, "");
        assert!(end("one", 8, &Verdict::Done(String::new())).await);
        let now = desk.job(&job.id).await.expect("an answer").expect("a job");
        assert_eq!((now.stepped, now.state, now.state_since_ms), (8, JobState::Done, NOW + 5));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_letter_is_in_two_jobs_that_may_send_it() {
    on_both(async |desk| {
        let letters: Vec<Letter> = (1..=20).map(|offset| letter(offset, "bad-address", "d1")).collect();
        desk.take_in(&letters).await.expect("taken");
        let (all, plan) = (Filter::default(), Plan::default());
        let start = async || desk.start_job(&all, &plan, BY).await.expect("an answer");
        let (one, other) = tokio::join!(start(), start());
        let jobs: Vec<Job> = one.into_iter().chain(other).collect();
        assert_eq!(jobs.iter().map(|job| job.letters).collect::<Vec<_>>(), [20]);
        desk.pause_job(&jobs[0].id, BY).await.expect("paused");
        assert_eq!(start().await, None);
        desk.cancel_job(&jobs[0].id, BY).await.expect("cancelled");
        assert_eq!(start().await.expect("a job").letters, 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_left_out() {
    on_both(async |desk| {
        let mut letters: Vec<Letter> = (1..=4).map(|offset| letter(offset, "bad-address", "d1")).collect();
        letters[0].value_cut = Some(2_000_000);
        letters[1].source.topic = "email.send.dlt".to_owned();
        letters[2].replays = 10;
        desk.take_in(&letters).await.expect("taken");
        let job = desk.start_job(&Filter::default(), &Plan::default(), BY).await.expect("an answer");
        let job = job.expect("a job");
        let frozen = desk.job_letters(&job.id, None, 0, 10).await.expect("an answer");
        assert_eq!(frozen.iter().map(|one| &one.letter).collect::<Vec<_>>(), [&letters[3].id]);
    })
    .await;
}
