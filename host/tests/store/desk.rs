//! Dead letters, failures and the audit log. Each test runs on SQLite and on PostgreSQL.

use base::bytes::Bytes;
use desk::audit::Actor;
use desk::record::Record;
use desk::{Edited, record};
use desk_api::{DeadLetter, DeadLetterState, FailureState, Filter, Location, PageSelector, cause};
use testkit::Postgres;

use crate::fixture::{ACTOR, NOW, dead_letter, on_both, one, open};

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
        assert_eq!(count(Filter { code: some("t*p"), ..Filter::default() }).await, 1);
        assert_eq!(count(Filter { code: some("*_sure!"), ..Filter::default() }).await, 1);
        assert_eq!(count(Filter { text: some(&dead_letters[2].id[..8]), ..Filter::default() }).await, 1);
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
        assert!(!desk.update_failure("unknown", Some("x"), None, ACTOR).await.expect("an answer"));
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
async fn an_edited_copy_has_its_own_id_and_takes_the_place_of_the_original() {
    on_both(async |desk| {
        let original = dead_letter(1, "bad-address", "d1");
        desk.ingest(std::slice::from_ref(&original)).await.expect("ingested");
        let edited = Edited { key: None, value: Some(Bytes(b"{}".to_vec())), headers: Vec::new() };
        let copy = desk.edit(&original, edited, ACTOR).await.expect("edited");
        assert_eq!(desk.dead_letter(&copy.id).await.expect("an answer"), Some(copy.clone()));
        assert_ne!((&copy.id, &copy.message), (&original.id, &original.message));
        assert_eq!(copy.edited_from.as_deref(), Some(&original.id[..]));
        let replaced = desk.dead_letter(&original.id).await.expect("an answer").expect("the original");
        assert_eq!((replaced.state, replaced.audit_entry), (DeadLetterState::Edited, copy.audit_entry));
        assert_eq!(replaced.edited_as.as_deref(), Some(&copy.id[..]));
        assert_eq!(replaced.value, original.value, "its content stays");
        let failure = desk.failure(&original.failure, NOW).await.expect("an answer").expect("a failure");
        assert_eq!((failure.open, failure.edited), (1, 1), "only the copy is to be sent");
        // Only who names the original reopens it.
        let all = Filter { code: Some("bad-address".to_owned()), ..Filter::default() };
        assert_eq!(desk.restore(&all, ACTOR).await.expect("an answer"), 0);
        assert_eq!(desk.restore(&one(&original), ACTOR).await.expect("an answer"), 1);
        let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
        assert_eq!(desk.count(&open).await.expect("an answer"), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_apart_by_their_cause() {
    on_both(async |desk| {
        let with = |offset: i64, detail: &str| {
            let DeadLetter { code, plugin, digest, .. } = dead_letter(offset, "smtp-550", "d1");
            let failure = record::failure_id(&code, &plugin, &digest, &cause(detail));
            DeadLetter { detail: detail.to_owned(), failure, ..dead_letter(offset, "smtp-550", "d1") }
        };
        let details = ["550 no such user kim@example.com", "550 no such user lee@example.com", "550 blocked"];
        let mut some: Vec<DeadLetter> =
            details.iter().zip(1..).map(|(detail, offset)| with(offset, detail)).collect();
        desk.ingest(&some).await.expect("ingested");
        let failures = desk.failures(true, NOW, &PageSelector::First, 10).await.expect("failures").items;
        let seen: Vec<_> = failures.iter().map(|it| (&it.cause[..], it.open, &it.detail[..])).collect();
        assert_eq!(seen, [("550 blocked", 1, "550 blocked"), ("550 no such user <address>", 2, details[1])]);
        // Details that have nothing in common share a failure, so that the number of failures is bounded.
        let letters = |number: i64| -> String {
            number.to_string().bytes().map(|digit| char::from(digit + 49)).collect()
        };
        some = (100..300).map(|number| with(number, &format!("550 {}", letters(number)))).collect();
        for some in some.chunks(70) {
            desk.ingest(some).await.expect("ingested");
        }
        let failures = desk.failures(true, NOW, &PageSelector::First, 500).await.expect("failures").items;
        let various = failures.iter().find(|it| it.cause.is_empty()).expect("a failure without a cause");
        assert_eq!((failures.len(), various.open), (101, 102));
        let counted: u64 = failures.iter().map(|it| it.open).sum();
        assert_eq!(counted, 203);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_share_a_store_have_one_store_id() {
    let postgres = Postgres::start();
    let (one, other) = (open(&postgres.url()).await, open(&postgres.url()).await);
    assert_eq!(one.store_id(), other.store_id());
    on_both(async |desk| assert!(desk.store_id().len() == 32 && desk.store_id() != one.store_id())).await;
}
