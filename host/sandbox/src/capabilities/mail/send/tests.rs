//! Sending through a mailer, with a ledger.

use std::time::Duration;

use effects::ledger::Ledger;
use effects::{Calls, Deduplicator, Effects};
use store::{Store, StoreUrl};
use tokio::runtime::Handle;

use super::*;
use crate::capabilities::mail::MailSettings;
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

/// While the server hangs and there are no reservations, e-mails that were sent before have their receipts, and further
/// ones are not in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_reservation_an_email_is_not_in_doubt() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", directory.path().join("host.db").display());
    let store = Store::open(StoreUrl::parse(&url).expect("a URL")).await.expect("a store");
    let effects = Effects::new(Handle::current());
    let never_again = ["group".to_owned()].into();
    effects.deduplicate(Deduplicator::new(Ledger::new(store, Duration::from_secs(86_400)), never_again));
    let (mailer, mails) = serve(ok, ok);
    let mailer = Arc::new(mailer.with_bound(Duration::from_millis(500)));
    let grant = Arc::new(MailGrant::new(&MailSettings::default(), Some(Arc::clone(&mailer))));
    let sent = async |subject: &str| {
        let key = Calls::of("group", subject).next(digest(&email(subject)));
        let mailer = Arc::clone(&mailer);
        perform(&effects, mailer, &grant, Unsettled::DeadLetter, key, email(subject))
            .await
            .expect("attempted")
    };

    let first = sent("before").await.expect("sent");
    let mut reservations = Vec::new();
    while let Ok(reservation) = mailer.reserve().await {
        reservations.push(reservation);
    }
    assert_eq!(sent("before").await.expect("its receipt").response, first.response);
    let late = sent("meanwhile").await.expect_err("there is no reservation");
    assert!(matches!(&late, MailError::Transient(text) if text.contains("within 0.5 s")), "{late:?}");
    drop(reservations);
    // In this group an e-mail in doubt would not be sent again.
    sent("meanwhile").await.expect("it is not in doubt");
    assert_eq!(mails.try_iter().count(), 2);
}
