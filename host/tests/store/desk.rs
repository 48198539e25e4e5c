//! The store of the dead-letter desk. Each test runs on SQLite and on PostgreSQL.

use base::bytes::Bytes;
use desk::Desk;
use desk::Edited;
use desk::audit::Actor;
use desk::record;
use desk::record::Record;
use desk::replay::ReplayError;
use desk::retention::Retention;
use desk_api::{
    DeadLetter, DeadLetterState, FailureState, Filter, Location, PageSelector, ReplayPlan, ReplayState,
    ReplayTarget,
};
use store::{Store, StoreUrl};
use testkit::Postgres;

pub const NOW: i64 = 1_795_435_410_000;
pub const ACTOR: Actor<'_> = Actor { name: "kim", reason: "fixed", now_ms: NOW };

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

/// Headers of a dead letter of this host.
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

pub fn dead_letter(offset: i64, code: &str, digest: &str) -> DeadLetter {
    let record = Record {
        location: Location { topic: "email.send.dlt".to_owned(), partition: 0, offset },
        timestamp_ms: NOW + offset,
        key: Some(vec![0, 1, 254]),
        value: Some(format!("{{\"to\":\"발신자 {offset}@Example.com\"}}").into_bytes()),
        headers: headers(code, digest)
            .into_iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), Some(value)))
            .collect(),
    };
    record::dead_letter(record, NOW)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_stored_unchanged_and_once() {
    on_both(async |desk| {
        let mut bare = record::dead_letter(
            Record {
                location: Location { topic: "x.dlt".to_owned(), partition: 1, offset: 0 },
                timestamp_ms: 0,
                key: None,
                value: None,
                headers: vec![(vec![0xff, 0], None), (b"a".to_vec(), Some(vec![]))],
            },
            NOW,
        );
        bare.detail = "with a \u{fffd}".to_owned();
        let whole = dead_letter(1, "bad-address", "d1");
        assert_eq!(desk.ingest(&[whole.clone(), bare.clone()]).await.expect("ingested").len(), 2);
        assert_eq!(desk.dead_letter(&whole.id).await.expect("an answer"), Some(whole.clone()));
        assert_eq!(desk.dead_letter(&bare.id[..12]).await.expect("an answer"), Some(bare));
        assert_eq!(desk.dead_letter("zz").await.expect("an answer"), None);
        assert_eq!(desk.dead_letter("").await.expect("an answer"), None, "two match");
        // A redelivery that contains a new record, twice.
        let new = dead_letter(2, "bad-address", "d1");
        let taken = desk.ingest(&[whole.clone(), new.clone(), new.clone()]).await.expect("ingested");
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), [new.id]);
        assert_eq!(desk.count(&Filter::default()).await.expect("an answer"), 3);
        assert_eq!(whole.message, format!("email.send/2/7/{}", NOW - 5000));
        assert_eq!((whole.attempts, whole.plugin.as_str()), (6, "email@0.1.0"));
        assert_eq!(
            record::sender_headers(&whole).collect::<Vec<_>>(),
            [(&b"sender"[..], Some(&[0, 255][..]))]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_continues_the_previous_one() {
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (0..25).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        let newest: Vec<&str> = dead_letters.iter().rev().map(|dead_letter| &dead_letter.id[..]).collect();
        let all = Filter::default();
        let mut pages = vec![desk.dead_letters(&all, &PageSelector::First, 10).await.expect("a page")];
        while let Some(next) = pages.last().and_then(|page| page.next.clone()) {
            pages.push(desk.dead_letters(&all, &PageSelector::After(next), 10).await.expect("a page"));
        }
        let ids: Vec<&str> =
            pages.iter().flat_map(|page| &page.items).map(|dead_letter| &dead_letter.id[..]).collect();
        assert_eq!((ids, pages.len()), (newest.clone(), 3));
        let last = desk.dead_letters(&all, &PageSelector::Last, 10).await.expect("a page");
        assert_eq!((last.items.len(), last.next.is_none()), (10, true));
        let before = desk
            .dead_letters(&all, &PageSelector::Before(last.previous.expect("more")), 10)
            .await
            .expect("a page");
        let ids: Vec<&str> = before.items.iter().map(|dead_letter| &dead_letter.id[..]).collect();
        assert_eq!(ids, newest[5..15]);
        assert!(pages[0].previous.is_none() && before.previous.is_some() && before.next.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_dead_letters() {
    on_both(async |desk| {
        let dead_letters = [
            dead_letter(1, "bad-address", "d1"),
            dead_letter(2, "100%_sure!", "d1"),
            dead_letter(3, "trap", "d2"),
        ];
        desk.ingest(&dead_letters).await.expect("ingested");
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
        // NUL and invalid UTF-8 are stored as U+FFFD, which every key here contains.
        assert_eq!(count(Filter { text: some("\0"), ..Filter::default() }).await, 3);
        assert_eq!(count(Filter { code: some("' OR '1'='1"), ..Filter::default() }).await, 0);
        let since = Filter { since_ms: Some(NOW + 2), until_ms: Some(NOW + 3), ..Filter::default() };
        assert_eq!(count(since).await, 1);
        let ids = dead_letters.iter().take(2).map(|dead_letter| dead_letter.id[..10].to_owned()).collect();
        assert_eq!(count(Filter { ids, ..Filter::default() }).await, 2);
        let failure = dead_letters[2].failure[..8].to_owned();
        assert_eq!(
            count(Filter { failure: Some(failure), state: Some(DeadLetterState::Open), ..Filter::default() })
                .await,
            1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_counts_and_times() {
    on_both(async |desk| {
        let old = DeadLetter { failed_ms: NOW - 7_200_000, ..dead_letter(1, "bad-address", "d1") };
        desk.ingest(&[dead_letter(5, "bad-address", "d1"), old, dead_letter(3, "trap", "d1")])
            .await
            .expect("ingested");
        let failures = desk.failures(true, NOW, &PageSelector::First, 10).await.expect("failures").items;
        let first = &failures[0];
        assert_eq!((failures.len(), first.code.as_str(), first.open, first.recent), (2, "bad-address", 2, 1));
        assert_eq!((first.first_seen_ms, first.last_seen_ms), (NOW - 7_200_000, NOW + 5));
        assert_eq!(first.oldest_open_ms, Some(NOW - 7_200_000));
        assert!(
            desk.update_failure(&first.id, Some("the DNS"), Some(FailureState::Closed), ACTOR)
                .await
                .expect("updated")
        );
        assert!(!desk.update_failure("nobody", Some("x"), None, ACTOR).await.expect("an answer"));
        let updated = desk.failure(&first.id[..6], NOW).await.expect("an answer").expect("a failure");
        assert_eq!((updated.note.as_str(), updated.state), ("the DNS", FailureState::Closed));
        // The same code from another build is another failure; from the same build it reopens the failure.
        desk.ingest(&[dead_letter(6, "bad-address", "d2")]).await.expect("ingested");
        assert_eq!(
            desk.failure(&first.id, NOW).await.expect("an answer").expect("it").state,
            FailureState::Closed
        );
        assert_eq!(
            desk.failures(true, NOW, &PageSelector::First, 10).await.expect("failures").items.len(),
            3
        );
        desk.ingest(&[dead_letter(7, "bad-address", "d1")]).await.expect("ingested");
        assert_eq!(
            desk.failure(&first.id, NOW).await.expect("an answer").expect("it").state,
            FailureState::Open
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_dead_letters_can_be_restored_and_the_log_names_the_user() {
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (0..5).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        let one = Filter { ids: vec![dead_letters[0].id.clone()], ..Filter::default() };
        assert_eq!(desk.discard(&one, ACTOR).await.expect("discarded"), 1);
        assert_eq!(desk.discard(&one, ACTOR).await.expect("no more"), 0);
        let rest = Filter { code: Some("bad-address".to_owned()), ..Filter::default() };
        assert_eq!(desk.discard(&rest, Actor { name: "lee", ..ACTOR }).await.expect("discarded"), 4);
        assert!(desk.failures(true, NOW, &PageSelector::First, 10).await.expect("failures").items.is_empty());
        assert_eq!(desk.restore(&one, Actor { now_ms: NOW + 1, ..ACTOR }).await.expect("restored"), 1);
        let open = Filter { state: Some(DeadLetterState::Open), ..rest.clone() };
        assert_eq!(
            desk.discard(&Filter { state: Some(DeadLetterState::Replayed), ..rest }, ACTOR)
                .await
                .expect("none"),
            0
        );
        assert_eq!(desk.count(&open).await.expect("an answer"), 1);
        let entries = desk.audit_log(None, &PageSelector::First, 10).await.expect("entries").items;
        let log: Vec<_> =
            entries.iter().map(|entry| (&entry.actor[..], &entry.action[..], entry.dead_letters)).collect();
        assert_eq!(log[0], ("kim", "restore", 1));
        assert_eq!(log.len(), 3);
        let of_one =
            desk.audit_log(Some(&dead_letters[0].id), &PageSelector::First, 10).await.expect("entries").items;
        assert_eq!(of_one.iter().map(|entry| &entry.action[..]).collect::<Vec<_>>(), ["restore", "discard"]);
        let of_other =
            desk.audit_log(Some(&dead_letters[1].id), &PageSelector::First, 10).await.expect("entries").items;
        assert_eq!(of_other.iter().map(|entry| &entry.actor[..]).collect::<Vec<_>>(), ["lee"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_copy_has_its_own_id_and_the_original_stays() {
    on_both(async |desk| {
        let original = dead_letter(1, "bad-address", "d1");
        desk.ingest(std::slice::from_ref(&original)).await.expect("ingested");
        let edited = Edited { key: None, value: Some(Bytes(b"{}".to_vec())), headers: Vec::new() };
        let copy = desk.edit(&original, edited, ACTOR).await.expect("edited");
        assert_eq!(desk.dead_letter(&copy.id).await.expect("an answer"), Some(copy.clone()));
        assert_eq!(desk.dead_letter(&original.id).await.expect("an answer"), Some(original.clone()));
        assert_ne!((&copy.id, &copy.message), (&original.id, &original.message));
        assert_eq!(copy.edited_from.as_deref(), Some(&original.id[..]));
        assert_eq!(
            desk.failures(true, NOW, &PageSelector::First, 10).await.expect("failures").items[0].open,
            2
        );
    })
    .await;
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
async fn hosts_that_share_a_store_have_its_id() {
    let postgres = Postgres::start();
    let (one, other) = (open(&postgres.url()).await, open(&postgres.url()).await);
    assert_eq!(one.store_id(), other.store_id());
    on_both(async |desk| assert!(desk.store_id().len() == 32 && desk.store_id() != one.store_id())).await;
}

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

fn one(dead_letter: &DeadLetter) -> Filter {
    Filter { ids: vec![dead_letter.id.clone()], ..Filter::default() }
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

async fn exported(desk: &Desk, filter: &Filter) -> String {
    let mut lines = desk.export(filter, ACTOR).await.expect("an export");
    let mut text = String::new();
    while let Some(line) = lines.recv().await {
        text += &line.expect("a line");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_copied_between_stores() {
    let postgres = Postgres::start();
    let other = open(&postgres.url()).await;
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (0..450).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        desk.discard(&one(&dead_letters[0]), ACTOR).await.expect("discarded");
        let text = exported(&desk, &Filter::default()).await;
        assert_eq!(text.lines().count(), 450);
        assert!(text.ends_with('\n'));
        let few = exported(&desk, &one(&dead_letters[7])).await;
        assert_eq!(serde_json::from_str::<DeadLetter>(&few).expect("a dead letter"), dead_letters[7]);
        // Existing dead letters do not change.
        let imported = desk.import(text.as_bytes(), ACTOR).await.expect("imported");
        assert_eq!((imported.new, imported.known), (0, 450));
        let before = other.count(&Filter::default()).await.expect("an answer");
        let imported = other.import(text.as_bytes(), ACTOR).await.expect("imported");
        assert_eq!(imported.new + imported.known, 450);
        assert_eq!(other.count(&Filter::default()).await.expect("an answer"), before + imported.new);
        let there = other.dead_letter(&dead_letters[0].id).await.expect("an answer").expect("a dead letter");
        assert_eq!(
            (there.state, there.headers),
            (DeadLetterState::Discarded, dead_letters[0].headers.clone())
        );
        assert_eq!(
            other.failures(true, NOW, &PageSelector::First, 10).await.expect("failures").items[0].open,
            449
        );
        let entries = desk.audit_log(None, &PageSelector::First, 10).await.expect("entries").items;
        let log: Vec<_> = entries.iter().map(|entry| (&entry.action[..], entry.dead_letters)).collect();
        assert_eq!(log, [("import", 0), ("export", 1), ("export", 450), ("discard", 1)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_with_an_invalid_line_changes_nothing() {
    on_both(async |desk| {
        let lines: Vec<String> = (0..300)
            .map(|offset| serde_json::to_string(&dead_letter(offset, "bad-address", "d1")).expect("JSON"))
            .collect();
        let text = format!("{}\n{{\"id\":\"x\"}}\n", lines.join("\n"));
        let wrong = desk.import(text.as_bytes(), ACTOR).await.expect_err("the last line is invalid");
        assert!(wrong.to_string().starts_with("line 301: "), "{wrong}");
        assert_eq!(desk.count(&Filter::default()).await.expect("an answer"), 0);
        assert!(desk.audit_log(None, &PageSelector::First, 10).await.expect("entries").items.is_empty());
        // A dead letter that occurs twice in a file is imported once.
        let text = format!("{}\n{}\n\n{}", lines[0], lines[1], lines[0]);
        let imported = desk.import(text.as_bytes(), ACTOR).await.expect("imported");
        assert_eq!((imported.new, imported.known), (2, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_with_any_bytes_is_stored() {
    on_both(async |desk| {
        let mut seed = 1_u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let next = |_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Incompressible bytes, including NUL.
                u8::try_from(seed >> 57).unwrap_or(0)
            };
            (0..length).map(next).collect()
        };
        let names = ["host-id", "host-plugin", "host-failure-code", "kafka_exception-message", "\0 name"];
        let headers = names.map(|name| (name.as_bytes().to_vec(), Some(noise(20_000))));
        let record = Record {
            location: Location { topic: "x.dlt".to_owned(), partition: 1, offset: 0 },
            timestamp_ms: -1,
            key: Some(noise(20_000)),
            value: Some(noise(200_000)),
            headers: headers.into(),
        };
        let dead_letter = record::dead_letter(record, NOW);
        assert_eq!(desk.ingest(std::slice::from_ref(&dead_letter)).await.expect("ingested").len(), 1);
        assert_eq!(desk.dead_letter(&dead_letter.id).await.expect("an answer"), Some(dead_letter.clone()));
        // It survives an export and an import.
        let text = exported(&desk, &Filter::default()).await;
        assert_eq!(desk.import(text.as_bytes(), ACTOR).await.expect("imported").known, 1);
    })
    .await;
}
