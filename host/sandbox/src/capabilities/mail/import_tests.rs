//! Sending through a mailer, with a ledger beneath.

use std::time::Duration;

use effects::ledger::Ledger;
use effects::{Calls, Deduplicator, Effects};
use settings::MailSettings;
use store::{Store, StoreUrl};
use tokio::runtime::Handle;

use super::*;
use crate::capabilities::mail::mailer::tests::{ok, serve};

fn email(subject: &str) -> host_mail::Email {
    let address = |email: &str| host_mail::Address { name: None, email: email.to_owned() };
    host_mail::Email {
        sender: address("a@example.com"),
        to: vec![address("b@example.com")],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: None,
        subject: subject.to_owned(),
        text: None,
        html: None,
        headers: Vec::new(),
        attachments: Vec::new(),
    }
}

/// While the server hangs, nobody has a turn: what was sent before is answered all the same, and what was not is
/// not in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_turn_what_was_sent_has_its_answer_and_the_rest_is_not_in_doubt() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", directory.path().join("host.db").display());
    let store = Store::open(StoreUrl::parse(&url).expect("a URL")).await.expect("a store");
    let effects = Effects::new(Handle::current());
    let never_again = ["group".to_owned()].into();
    effects.deduplicate(Deduplicator::new(Ledger::new(store, Duration::from_secs(86_400)), never_again));
    let (mailer, mails) = serve(ok, ok);
    let mailer = Arc::new(mailer.with_bound(Duration::from_millis(500)));
    let services = Services { mailer: Some(Arc::clone(&mailer)), effects };
    let grant = Arc::new(MailGrant::new(&MailSettings::default()));
    let sent = async |subject: &str| {
        let key = Calls::of("group", subject).next(digest(&email(subject)));
        send(&services, &grant, Unsettled::DeadLetter, key, email(subject)).await.expect("tried")
    };

    let first = sent("before").await.expect("sent");
    let mut turns = Vec::new();
    while let Ok(turn) = mailer.turn().await {
        turns.push(turn);
    }
    assert_eq!(sent("before").await.expect("its answer").response, first.response);
    let late = sent("meanwhile").await.expect_err("there is no turn");
    assert!(matches!(&late, MailError::Transient(text) if text.contains("within 0.5 s")), "{late:?}");
    drop(turns);
    // In this group what may have been sent is not sent again.
    sent("meanwhile").await.expect("it is known not to have been sent");
    assert_eq!(mails.try_iter().count(), 2);
}
