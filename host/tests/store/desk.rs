//! The dead-letter desk's store. Each test runs on SQLite and on PostgreSQL.

use base::bytes::Bytes;
use desk::actions::{By, Edited};
use desk::groups::GroupState;
use desk::jobs::{JobError, JobState, Plan, Target};
use desk::letter::{Place, Record};
use desk::retention::Retention;
use desk::{At, Desk, Filter, Letter, State};
use store::{Store, StoreUrl};
use testkit::Postgres;

pub const NOW: i64 = 1_795_435_410_000;
pub const BY: By<'_> = By { who: "kim", reason: "mended", now_ms: NOW };

/// Runs a test on both databases, each empty.
pub async fn on_both(test: impl AsyncFn(Desk)) {
    let dir = std::env::temp_dir().join(format!(
        "host-desk-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory");
    test(open(&format!("sqlite:{}/host.db", dir.display())).await).await;
    let _ = std::fs::remove_dir_all(&dir);
    let postgres = Postgres::start();
    test(open(&postgres.url()).await).await;
}

async fn open(url: &str) -> Desk {
    let store = Store::open(StoreUrl::parse(url).expect("a URL")).await.expect("a store");
    Desk::open(&store).await.expect("a desk")
}

type Headers = Vec<(&'static str, Vec<u8>)>;

/// A letter as this host writes it.
fn headers(code: &str, digest: &str) -> Headers {
    vec![
        ("sender", vec![0, 255]),
        ("kafka_original-topic", b"email.send".to_vec()),
        ("kafka_original-partition", 2_i32.to_be_bytes().to_vec()),
        ("kafka_original-offset", 7_i64.to_be_bytes().to_vec()),
        ("kafka_original-timestamp", (NOW - 5000).to_be_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", b"email-send-group".to_vec()),
        ("kafka_exception-fqcn", b"consumer.plugin.Reject".to_vec()),
        ("kafka_exception-cause-fqcn", code.as_bytes().to_vec()),
        ("kafka_exception-message", b"no such Mailbox".to_vec()),
        ("host-attempts", b"6".to_vec()),
        ("host-failure-code", code.as_bytes().to_vec()),
        ("host-first-failed", (NOW - 4000).to_string().into_bytes()),
        ("host-plugin", b"email@0.1.0".to_vec()),
        ("host-plugin-digest", digest.as_bytes().to_vec()),
    ]
}

pub fn letter(offset: i64, code: &str, digest: &str) -> Letter {
    let record = Record {
        place: Place { topic: "email.send.dlt".to_owned(), partition: 0, offset },
        timestamp_ms: NOW + offset,
        key: Some(vec![0, 1, 254]),
        value: Some(format!("{{\"to\":\"발신자 {offset}@Example.com\"}}").into_bytes()),
        headers: headers(code, digest)
            .into_iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), Some(value)))
            .collect(),
    };
    Letter::read(record, NOW)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_comes_back_as_it_was_and_only_once() {
    on_both(async |desk| {
        let mut bare = Letter::read(
            Record {
                place: Place { topic: "x.dlt".to_owned(), partition: 1, offset: 0 },
                timestamp_ms: 0,
                key: None,
                value: None,
                headers: vec![(vec![0xff, 0], None), (b"a".to_vec(), Some(vec![]))],
            },
            NOW,
        );
        bare.detail = "with a \u{fffd}".to_owned();
        let whole = letter(1, "bad-address", "d1");
        assert_eq!(desk.take_in(&[whole.clone(), bare.clone()]).await.expect("taken").len(), 2);
        assert_eq!(desk.letter(&whole.id).await.expect("an answer"), Some(whole.clone()));
        assert_eq!(desk.letter(&bare.id[..12]).await.expect("an answer"), Some(bare));
        assert_eq!(desk.letter("zz").await.expect("an answer"), None);
        assert_eq!(desk.letter("").await.expect("an answer"), None, "two begin so");
        // A redelivery, with a new one in the middle and one twice.
        let new = letter(2, "bad-address", "d1");
        let taken = desk.take_in(&[whole.clone(), new.clone(), new.clone()]).await.expect("taken");
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), [new.id]);
        assert_eq!(desk.count(&Filter::default()).await.expect("an answer"), 3);
        assert_eq!(whole.message, format!("email.send/2/7/{}", NOW - 5000));
        assert_eq!((whole.attempts, whole.plugin.as_str()), (6, "email@0.1.0"));
        assert_eq!(whole.sender_headers().collect::<Vec<_>>(), [(&b"sender"[..], Some(&[0, 255][..]))]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_holds_what_comes_next() {
    on_both(async |desk| {
        let letters: Vec<Letter> = (0..25).map(|offset| letter(offset, "bad-address", "d1")).collect();
        desk.take_in(&letters).await.expect("taken");
        let newest: Vec<&str> = letters.iter().rev().map(|letter| &letter.id[..]).collect();
        let all = Filter::default();
        let mut pages = vec![desk.letters(&all, &At::First, 10).await.expect("a page")];
        while let Some(next) = pages.last().and_then(|page| page.next.clone()) {
            pages.push(desk.letters(&all, &At::After(next), 10).await.expect("a page"));
        }
        let ids: Vec<&str> = pages.iter().flat_map(|page| &page.items).map(|letter| &letter.id[..]).collect();
        assert_eq!((ids, pages.len()), (newest.clone(), 3));
        let last = desk.letters(&all, &At::Last, 10).await.expect("a page");
        assert_eq!((last.items.len(), last.next.is_none()), (10, true));
        let before = desk.letters(&all, &At::Before(last.previous.expect("more")), 10).await.expect("a page");
        let ids: Vec<&str> = before.items.iter().map(|letter| &letter.id[..]).collect();
        assert_eq!(ids, newest[5..15]);
        assert!(pages[0].previous.is_none() && before.previous.is_some() && before.next.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_by_what_people_know() {
    on_both(async |desk| {
        let letters =
            [letter(1, "bad-address", "d1"), letter(2, "100%_sure!", "d1"), letter(3, "trap", "d2")];
        desk.take_in(&letters).await.expect("taken");
        let count = async |filter: Filter| desk.count(&filter).await.expect("an answer");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(count(Filter { code: some("100%_sure!"), ..Filter::default() }).await, 1);
        assert_eq!(count(Filter { plugin: some("email"), ..Filter::default() }).await, 3);
        assert_eq!(count(Filter { plugin: some("mail"), ..Filter::default() }).await, 0);
        assert_eq!(count(Filter { plugin: some("e_ail"), ..Filter::default() }).await, 0);
        assert_eq!(count(Filter { topic: some("email.send"), ..Filter::default() }).await, 3);
        assert_eq!(count(Filter { topic: some("email.send.dlt"), ..Filter::default() }).await, 3);
        assert_eq!(count(Filter { text: some("발신자 2@EXAMPLE"), ..Filter::default() }).await, 1);
        assert_eq!(count(Filter { text: some("no such mailbox"), ..Filter::default() }).await, 3);
        assert_eq!(count(Filter { text: some("' OR 1=1 --"), ..Filter::default() }).await, 0);
        assert_eq!(count(Filter { text: some("%"), ..Filter::default() }).await, 0);
        // A NUL is kept as U+FFFD, as whatever is not UTF-8 is: all keys have one.
        assert_eq!(count(Filter { text: some("\0"), ..Filter::default() }).await, 3);
        assert_eq!(count(Filter { code: some("' OR '1'='1"), ..Filter::default() }).await, 0);
        let since = Filter { since_ms: Some(NOW + 2), until_ms: Some(NOW + 3), ..Filter::default() };
        assert_eq!(count(since).await, 1);
        let ids = letters.iter().take(2).map(|letter| letter.id[..10].to_owned()).collect();
        assert_eq!(count(Filter { ids, ..Filter::default() }).await, 2);
        let group = letters[2].failure_group[..8].to_owned();
        assert_eq!(
            count(Filter { group: Some(group), state: Some(State::Open), ..Filter::default() }).await,
            1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_tell_what_fails_since_when_and_how_often() {
    on_both(async |desk| {
        let old = Letter { failed_ms: NOW - 7_200_000, ..letter(1, "bad-address", "d1") };
        desk.take_in(&[letter(5, "bad-address", "d1"), old, letter(3, "trap", "d1")]).await.expect("taken");
        let groups = desk.groups(true, NOW, &At::First, 10).await.expect("groups").items;
        let first = &groups[0];
        assert_eq!((groups.len(), first.code.as_str(), first.open, first.recent), (2, "bad-address", 2, 1));
        assert_eq!((first.first_seen_ms, first.last_seen_ms), (NOW - 7_200_000, NOW + 5));
        assert_eq!(first.oldest_open_ms, Some(NOW - 7_200_000));
        assert!(
            desk.mark_group(&first.id, Some("the DNS"), Some(GroupState::Closed), BY).await.expect("marked")
        );
        assert!(!desk.mark_group("nobody", Some("x"), None, BY).await.expect("an answer"));
        let marked = desk.group(&first.id[..6], NOW).await.expect("an answer").expect("a group");
        assert_eq!((marked.note.as_str(), marked.state), ("the DNS", GroupState::Closed));
        // Another build that fails likewise is a group of its own; the same one opens it again.
        desk.take_in(&[letter(6, "bad-address", "d2")]).await.expect("taken");
        assert_eq!(
            desk.group(&first.id, NOW).await.expect("an answer").expect("it").state,
            GroupState::Closed
        );
        assert_eq!(desk.groups(true, NOW, &At::First, 10).await.expect("groups").items.len(), 3);
        desk.take_in(&[letter(7, "bad-address", "d1")]).await.expect("taken");
        assert_eq!(desk.group(&first.id, NOW).await.expect("an answer").expect("it").state, GroupState::Open);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_can_be_restored_and_who_did_it_is_known() {
    on_both(async |desk| {
        let letters: Vec<Letter> = (0..5).map(|offset| letter(offset, "bad-address", "d1")).collect();
        desk.take_in(&letters).await.expect("taken");
        let one = Filter { ids: vec![letters[0].id.clone()], ..Filter::default() };
        assert_eq!(desk.discard(&one, BY).await.expect("discarded"), 1);
        assert_eq!(desk.discard(&one, BY).await.expect("no more"), 0);
        let rest = Filter { code: Some("bad-address".to_owned()), ..Filter::default() };
        assert_eq!(desk.discard(&rest, By { who: "lee", ..BY }).await.expect("discarded"), 4);
        assert!(desk.groups(true, NOW, &At::First, 10).await.expect("groups").items.is_empty());
        assert_eq!(desk.restore(&one, By { now_ms: NOW + 1, ..BY }).await.expect("restored"), 1);
        let open = Filter { state: Some(State::Open), ..rest.clone() };
        assert_eq!(
            desk.discard(&Filter { state: Some(State::Replayed), ..rest }, BY).await.expect("none"),
            0
        );
        assert_eq!(desk.count(&open).await.expect("an answer"), 1);
        let done = desk.actions(None, &At::First, 10).await.expect("actions").items;
        let told: Vec<_> = done.iter().map(|done| (&done.who[..], &done.what[..], done.letters)).collect();
        assert_eq!(told[0], ("kim", "restore", 1));
        assert_eq!(told.len(), 3);
        let of_one = desk.actions(Some(&letters[0].id), &At::First, 10).await.expect("actions").items;
        assert_eq!(of_one.iter().map(|done| &done.what[..]).collect::<Vec<_>>(), ["restore", "discard"]);
        let of_other = desk.actions(Some(&letters[1].id), &At::First, 10).await.expect("actions").items;
        assert_eq!(of_other.iter().map(|done| &done.who[..]).collect::<Vec<_>>(), ["lee"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_letter_has_an_id_of_its_own_and_the_original_stays() {
    on_both(async |desk| {
        let original = letter(1, "bad-address", "d1");
        desk.take_in(std::slice::from_ref(&original)).await.expect("taken");
        let edited = Edited { key: None, value: Some(Bytes(b"{}".to_vec())), headers: Vec::new() };
        let copy = desk.edit(&original, edited, BY).await.expect("edited");
        assert_eq!(desk.letter(&copy.id).await.expect("an answer"), Some(copy.clone()));
        assert_eq!(desk.letter(&original.id).await.expect("an answer"), Some(original.clone()));
        assert_ne!((&copy.id, &copy.message), (&original.id, &original.message));
        assert_eq!(copy.edited_from.as_deref(), Some(&original.id[..]));
        assert_eq!(desk.groups(true, NOW, &At::First, 10).await.expect("groups").items[0].open, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_freezes_its_letters_and_can_be_paused_and_cancelled() {
    on_both(async |desk| {
        let mut letters: Vec<Letter> = (0..30).map(|offset| letter(offset, "bad-address", "d1")).collect();
        letters[3].replays = 10;
        desk.take_in(&letters).await.expect("taken");
        let plan = Plan { target: Target::Retry, rate: Some(2.5), ramp: vec![1, 2, 5], ..Plan::default() };
        let none = Filter { code: Some("other".to_owned()), ..Filter::default() };
        assert_eq!(desk.start_job(&none, &plan, BY).await.expect("an answer"), None);
        let job = desk.start_job(&Filter::default(), &plan, BY).await.expect("an answer").expect("a job");
        assert_eq!((job.letters, job.waiting, job.state), (29, 29, JobState::Running));
        assert_eq!(job.plan, plan);
        desk.take_in(&[letter(31, "bad-address", "d1")]).await.expect("taken");
        assert_eq!(desk.job(&job.id).await.expect("an answer").expect("a job").letters, 29);
        let paused = desk.pause_job(&job.id, BY).await.expect("paused");
        assert_eq!(paused.state, JobState::Paused);
        assert!(matches!(desk.pause_job(&job.id, BY).await, Err(JobError::Is(JobState::Paused))));
        assert_eq!(desk.resume_job(&job.id, BY).await.expect("resumed").state, JobState::Running);
        assert_eq!(desk.cancel_job(&job.id, BY).await.expect("cancelled").state, JobState::Cancelled);
        assert!(matches!(desk.resume_job(&job.id, BY).await, Err(JobError::Is(JobState::Cancelled))));
        assert!(matches!(desk.cancel_job("zz", BY).await, Err(JobError::Unknown)));
        assert_eq!(desk.jobs(&At::First, 10).await.expect("jobs").items.len(), 1);
        let open = Filter { state: Some(State::Open), ..Filter::default() };
        assert_eq!(desk.count(&open).await.expect("an answer"), 31);
        let done = desk.actions(None, &At::First, 10).await.expect("actions").items;
        let told: Vec<_> = done.iter().map(|done| &done.what[..]).collect();
        assert_eq!(told, ["cancel", "resume", "pause", "replay"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_a_store_knows_it() {
    let postgres = Postgres::start();
    let (one, other) = (open(&postgres.url()).await, open(&postgres.url()).await);
    assert_eq!(one.store_id(), other.store_id());
    on_both(async |desk| assert!(desk.store_id().len() == 32 && desk.store_id() != one.store_id())).await;
}

/// All letters, by offset.
async fn offsets(desk: &Desk) -> Vec<i64> {
    let letters = desk.whole_letters(&Filter::default(), &At::First, 1000).await.expect("letters").items;
    let mut offsets: Vec<i64> =
        letters.iter().map(|letter| letter.place.as_ref().expect("a place").offset).collect();
    offsets.sort_unstable();
    offsets
}

fn one(letter: &Letter) -> Filter {
    Filter { ids: vec![letter.id.clone()], ..Filter::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_what_a_replay_needs_stays() {
    const DAY: i64 = 86_400_000;
    let days = |days: u64| std::time::Duration::from_secs(days * 86_400);
    let retention = Retention { keep: days(30), keep_open: days(365), most: 1000 };
    on_both(async |desk| {
        let letters: Vec<Letter> = (0..6).map(|offset| letter(offset, &format!("c{offset}"), "d1")).collect();
        desk.take_in(&letters).await.expect("taken");
        assert_eq!(desk.discard(&one(&letters[0]), BY).await.expect("discarded"), 1);
        let late = By { now_ms: NOW + 20 * DAY, ..BY };
        assert_eq!(desk.discard(&one(&letters[1]), late).await.expect("discarded"), 1);
        assert_eq!(desk.clean(&retention, NOW + 29 * DAY).await.expect("cleaned"), 0);
        assert_eq!(desk.clean(&retention, NOW + 31 * DAY).await.expect("cleaned"), 1);
        assert_eq!(offsets(&desk).await, [1, 2, 3, 4, 5]);
        // The group of what is gone stays as long as open letters do.
        assert!(desk.group(&letters[0].failure_group, NOW).await.expect("an answer").is_some());
        let plan = Plan::default();
        let running = desk.start_job(&one(&letters[2]), &plan, BY).await.expect("an answer").expect("a job");
        let paused = desk.start_job(&one(&letters[3]), &plan, BY).await.expect("an answer").expect("a job");
        desk.pause_job(&paused.id, BY).await.expect("paused");
        assert_eq!(desk.clean(&retention, NOW + 366 * DAY).await.expect("cleaned"), 3);
        assert_eq!(offsets(&desk).await, [2, 3]);
        assert!(desk.group(&letters[0].failure_group, NOW).await.expect("an answer").is_none());
        assert!(desk.group(&letters[2].failure_group, NOW).await.expect("an answer").is_some());
        desk.cancel_job(&running.id, BY).await.expect("cancelled");
        assert_eq!(desk.clean(&retention, NOW + 366 * DAY).await.expect("cleaned"), 1);
        assert_eq!(offsets(&desk).await, [3]);
        assert!(desk.job(&running.id).await.expect("an answer").is_none(), "it ended long ago");
        assert!(desk.job(&paused.id).await.expect("an answer").is_some(), "it can go on");
        let all = desk.actions(None, &At::First, 50).await.expect("an answer").items;
        assert!(all.iter().any(|action| action.job.as_deref() == Some(&running.id)), "who did what stays");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_replay_that_is_over_goes_whole() {
    on_both(async |desk| {
        let letters: Vec<Letter> = (0..1100).map(|offset| letter(offset, "bad-address", "d1")).collect();
        desk.take_in(&letters).await.expect("taken");
        let plan = Plan::default();
        let job = desk.start_job(&Filter::default(), &plan, BY).await.expect("an answer").expect("a job");
        desk.cancel_job(&job.id, BY).await.expect("cancelled");
        let retention = Retention::default();
        let keep = i64::try_from(retention.keep.as_millis()).expect("days");
        desk.clean(&retention, NOW + keep).await.expect("cleaned");
        assert_eq!(desk.job(&job.id).await.expect("an answer").expect("not old yet").letters, 1100);
        desk.clean(&retention, NOW + keep + 1).await.expect("cleaned");
        assert!(desk.job(&job.id).await.expect("an answer").is_none());
        assert_eq!(
            desk.count(&Filter::default()).await.expect("a count"),
            1100,
            "its letters are open still"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_goes_open_letters_last() {
    on_both(async |desk| {
        let letters: Vec<Letter> = (0..1300).map(|offset| letter(offset, "bad-address", "d1")).collect();
        for some in letters.chunks(500) {
            desk.take_in(some).await.expect("taken");
        }
        assert_eq!(desk.discard(&one(&letters[1299]), BY).await.expect("discarded"), 1);
        let retention = Retention { most: 4, ..Retention::default() };
        assert_eq!(desk.clean(&retention, NOW).await.expect("cleaned"), 1296);
        // The newest of all was discarded, and goes before the oldest open one.
        assert_eq!(offsets(&desk).await, [1295, 1296, 1297, 1298]);
        assert_eq!(desk.clean(&retention, NOW).await.expect("cleaned"), 0);
    })
    .await;
}

async fn exported(desk: &Desk, filter: &Filter) -> String {
    let mut lines = desk.export(filter, BY).await.expect("an export");
    let mut text = String::new();
    while let Some(line) = lines.recv().await {
        text += &line.expect("a line");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_from_one_store_into_another() {
    let postgres = Postgres::start();
    let other = open(&postgres.url()).await;
    on_both(async |desk| {
        let letters: Vec<Letter> = (0..450).map(|offset| letter(offset, "bad-address", "d1")).collect();
        desk.take_in(&letters).await.expect("taken");
        desk.discard(&one(&letters[0]), BY).await.expect("discarded");
        let text = exported(&desk, &Filter::default()).await;
        assert_eq!(text.lines().count(), 450);
        assert!(text.ends_with('\n'));
        let few = exported(&desk, &one(&letters[7])).await;
        assert_eq!(serde_json::from_str::<Letter>(&few).expect("a letter"), letters[7]);
        // What is there stays as it is.
        let imported = desk.import(text.as_bytes(), BY).await.expect("imported");
        assert_eq!((imported.new, imported.known), (0, 450));
        let before = other.count(&Filter::default()).await.expect("an answer");
        let imported = other.import(text.as_bytes(), BY).await.expect("imported");
        assert_eq!(imported.new + imported.known, 450);
        assert_eq!(other.count(&Filter::default()).await.expect("an answer"), before + imported.new);
        let there = other.letter(&letters[0].id).await.expect("an answer").expect("a letter");
        assert_eq!((there.state, there.headers), (State::Discarded, letters[0].headers.clone()));
        assert_eq!(other.groups(true, NOW, &At::First, 10).await.expect("groups").items[0].open, 449);
        let actions = desk.actions(None, &At::First, 10).await.expect("actions").items;
        let told: Vec<_> = actions.iter().map(|action| (&action.what[..], action.letters)).collect();
        assert_eq!(told, [("import", 0), ("export", 1), ("export", 450), ("discard", 1)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_with_a_bad_line_changes_nothing() {
    on_both(async |desk| {
        let lines: Vec<String> = (0..300)
            .map(|offset| serde_json::to_string(&letter(offset, "bad-address", "d1")).expect("JSON"))
            .collect();
        let text = format!("{}\n{{\"id\":\"x\"}}\n", lines.join("\n"));
        let wrong = desk.import(text.as_bytes(), BY).await.expect_err("the last line is no letter");
        assert!(wrong.to_string().starts_with("line 301: "), "{wrong}");
        assert_eq!(desk.count(&Filter::default()).await.expect("an answer"), 0);
        assert!(desk.actions(None, &At::First, 10).await.expect("actions").items.is_empty());
        // Twice in one file is once.
        let text = format!("{}\n{}\n\n{}", lines[0], lines[1], lines[0]);
        let imported = desk.import(text.as_bytes(), BY).await.expect("imported");
        assert_eq!((imported.new, imported.known), (2, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_with_any_texts_is_taken() {
    on_both(async |desk| {
        let mut seed = 1_u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let next = |_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // NULs among them, and nothing that can be compressed.
                u8::try_from(seed >> 57).unwrap_or(0)
            };
            (0..length).map(next).collect()
        };
        let names = ["host-id", "host-plugin", "host-failure-code", "kafka_exception-message", "\0 name"];
        let headers = names.map(|name| (name.as_bytes().to_vec(), Some(noise(20_000))));
        let record = Record {
            place: Place { topic: "x.dlt".to_owned(), partition: 1, offset: 0 },
            timestamp_ms: -1,
            key: Some(noise(20_000)),
            value: Some(noise(200_000)),
            headers: headers.into(),
        };
        let letter = Letter::read(record, NOW);
        assert_eq!(desk.take_in(std::slice::from_ref(&letter)).await.expect("taken").len(), 1);
        assert_eq!(desk.letter(&letter.id).await.expect("an answer"), Some(letter.clone()));
        // And goes out and in again.
        let text = exported(&desk, &Filter::default()).await;
        assert_eq!(desk.import(text.as_bytes(), BY).await.expect("imported").known, 1);
    })
    .await;
}
