//! Sending through a mailer, with a ledger.

use std::sync::Arc;
use std::time::Duration;

use effects::ledger::Ledger;
use effects::{Calls, Deduplicator, Effects};
use store::{Store, StoreUrl};
use tokio::runtime::Handle;

use super::*;
use crate::capabilities::mail::MailSettings;
use crate::capabilities::mail::mailer::tests::{mailer_with, ok, serve};

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

struct Sender {
    effects: Effects,
    servers: Servers,
    grant: Arc<MailGrant>,
    _directory: tempfile::TempDir,
}

impl Sender {
    /// With a ledger; in doubt, nothing is sent again.
    async fn new(mailer: Mailer) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", directory.path().join("host.db").display());
        let store = Store::open(StoreUrl::parse(&url).expect("a URL")).await.expect("a store");
        let effects = Effects::new(Handle::current());
        let never_again = ["group".to_owned()].into();
        effects.deduplicate(Deduplicator::new(Ledger::new(store, Duration::from_secs(86_400)), never_again));
        let servers = Servers::one(Arc::new(mailer));
        let grant = Arc::new(MailGrant::new(&MailSettings::default(), None));
        Self { effects, servers, grant, _directory: directory }
    }

    fn server(&self) -> &Arc<Destination> {
        self.servers.preferred().destination()
    }

    async fn send(&self, subject: &str) -> Result<host_mail::Receipt, MailError> {
        let key = Calls::of("group", subject).next(digest(&email(subject)));
        let composed = Arc::new(compose(&email(subject), &key.id()).expect("valid"));
        let Self { effects, servers, grant, .. } = self;
        Delivery { clock: None, effects, servers, grant, key, composed, ahead: 2 }
            .run()
            .await
            .expect("attempted")
    }
}

/// While there is no room, e-mails wait and are not in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_reservation_an_email_is_not_in_doubt() {
    let (mailer, mails) = serve(ok, ok);
    let sender = Sender::new(mailer).await;
    sender.send("before").await.expect("sent");
    let destination = Arc::clone(sender.server());
    let mut reservations = Vec::new();
    while let Ok(reservation) = tokio::time::timeout(Duration::from_millis(50), destination.reserve(2)).await
    {
        reservations.push(reservation);
    }
    let meanwhile = tokio::time::timeout(Duration::from_millis(300), sender.send("meanwhile")).await;
    assert!(meanwhile.is_err(), "it waits");
    drop(reservations);
    // In this group an e-mail in doubt would not be sent again.
    sender.send("meanwhile").await.expect("it is not in doubt");
    sender.send("before").await.expect("its receipt");
    assert_eq!(mails.try_iter().count(), 2);
}

/// A server that is away costs nothing but time.
#[tokio::test(flavor = "multi_thread")]
async fn an_email_waits_for_a_server_that_is_away() {
    let address =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let sender = Arc::new(Sender::new(mailer_with(address, settings::MailServer::default())).await);
    let sending = tokio::spawn({
        let sender = Arc::clone(&sender);
        async move { sender.send("waits").await }
    });
    while sender.server().works() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (_, reason) = sender.server().status().outage.expect("an outage");
    assert!(reason.contains("refused"), "{reason}");
    assert!(!sending.is_finished());
    let back = std::net::TcpListener::bind(address).expect("the port");
    std::thread::spawn(move || crate::capabilities::mail::mailer::tests::converse(back));
    sending.await.expect("no panic").expect("sent");
    assert!(sender.server().works());
}
