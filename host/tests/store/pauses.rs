//! Pauses of plugins. Each test runs on SQLite and on PostgreSQL.

use std::num::NonZeroU32;
use std::sync::Arc;

use consumer::Gate;
use consumer::gate::Pause;
use desk::Desk;
use desk::audit::Actor;
use desk::pauses::{PauseError, Pauses};
use desk_api::PageSelector;
use store::{Store, StoreUrl};
use testkit::Postgres;

use crate::fixture::{ACTOR, NOW, on_both, on_both_stores};

fn gate(name: &str) -> Arc<Gate> {
    Gate::new(&name.into(), NonZeroU32::new(1))
}

fn pause() -> Pause {
    Pause { since_ms: NOW, actor: "kim".to_owned(), reason: "fixed".to_owned() }
}

async fn audited(desk: &Desk) -> Vec<(String, Option<String>, String, String)> {
    let entries = desk.audit_log(None, &PageSelector::First, 100).await.expect("entries").items;
    let entry = |entry: desk_api::AuditEntry| (entry.action, entry.plugin, entry.actor, entry.reason);
    entries.into_iter().rev().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_kept_with_its_user_time_and_reason_until_it_is_resumed() {
    on_both(async |desk| {
        let later = Actor { name: "lee", reason: "other\0", now_ms: NOW + 1 };
        assert!(desk.paused_plugins().await.expect("an answer").is_empty());
        assert!(!desk.resume_plugin("email", later).await.expect("an answer").changed, "not paused");
        let first = desk.pause_plugin("email", ACTOR).await.expect("an answer");
        assert_eq!((first.changed, first.pause), (true, Some(pause())));
        let second = desk.pause_plugin("email", later).await.expect("an answer");
        assert_eq!((second.changed, second.pause), (false, Some(pause())), "the first one stays");
        desk.pause_plugin("sms", later).await.expect("an answer");
        let paused = desk.paused_plugins().await.expect("an answer");
        assert_eq!(paused.keys().collect::<Vec<_>>(), ["email", "sms"]);
        assert_eq!((&paused["email"], &*paused["sms"].reason), (&pause(), "other\u{fffd}"));
        let ended = desk.resume_plugin("email", later).await.expect("an answer");
        assert_eq!((ended.changed, ended.pause), (true, Some(pause())));
        assert_eq!(desk.paused_plugins().await.expect("an answer").len(), 1);
        let entry = |action: &str, plugin: &str, actor: &str, reason: &str| {
            (action.to_owned(), Some(plugin.to_owned()), actor.to_owned(), reason.to_owned())
        };
        let expected = [
            entry("pause-plugin", "email", "kim", "fixed"),
            entry("pause-plugin", "sms", "lee", "other\u{fffd}"),
            entry("resume-plugin", "email", "lee", "other\u{fffd}"),
        ];
        let mut audited = audited(&desk).await;
        audited.sort();
        assert_eq!(audited, expected, "one entry for each change");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_reaches_every_plugin_of_its_name_in_every_host_and_after_a_restart() {
    on_both_stores(async |store| {
        let (mail, other_group, sms) = (gate("email"), gate("email"), gate("sms"));
        let desk = async || Desk::open(&store).await.expect("a desk");
        let here = Pauses::new(desk().await, vec![Arc::clone(&mail), Arc::clone(&sms)]);
        let there = Pauses::new(desk().await, vec![Arc::clone(&other_group)]);
        assert!(here.pause("email", ACTOR).await.expect("paused").changed);
        assert!(mail.is_paused() && sms.is_open(), "at once in this host");
        there.refresh().await.expect("read");
        assert!(other_group.is_paused());
        // A host that starts.
        let new = gate("email");
        Pauses::new(desk().await, vec![Arc::clone(&new)]).refresh().await.expect("read");
        assert_eq!(new.status().pause, Some(pause()));
        assert!(there.resume("email", ACTOR).await.expect("resumed").changed);
        here.refresh().await.expect("read");
        assert!(mail.is_open() && other_group.is_open());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_is_refused_with_the_known_ones() {
    on_both(async |desk| {
        let pauses = Pauses::new(desk.clone(), vec![gate("sms"), gate("email"), gate("email")]);
        for refused in [pauses.pause("mail", ACTOR).await, pauses.resume("mail", ACTOR).await] {
            let Err(PauseError::Unknown(names)) = refused else { panic!("{refused:?}") };
            assert_eq!(names, ["email", "sms"]);
        }
        assert!(audited(&desk).await.is_empty());
        // A pause may outlast its plugin.
        desk.pause_plugin("mail", ACTOR).await.expect("paused");
        assert!(pauses.resume("mail", ACTOR).await.expect("resumed").changed);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_every_plugin_stays_as_it_is() {
    let mut postgres = Postgres::start();
    let store = Store::open(StoreUrl::parse(&postgres.url()).expect("a URL")).await.expect("a store");
    let (mail, sms) = (gate("email"), gate("sms"));
    let pauses =
        Pauses::new(Desk::open(&store).await.expect("a desk"), vec![Arc::clone(&mail), Arc::clone(&sms)]);
    pauses.pause("email", ACTOR).await.expect("paused");
    let polling = tokio::spawn(pauses.clone().run());
    postgres.stop();
    testkit::eventually(std::time::Duration::from_secs(30), || pauses.unread_since_ms().is_some());
    assert!(mail.is_paused() && sms.is_open());
    assert!(matches!(pauses.pause("sms", ACTOR).await, Err(PauseError::Store(_))));
    assert!(sms.is_open(), "a pause that is not written down is not carried out");
    postgres.start_again();
    testkit::eventually(std::time::Duration::from_secs(30), || pauses.unread_since_ms().is_none());
    assert!(mail.is_paused() && sms.is_open());
    polling.abort();
}
