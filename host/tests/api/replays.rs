//! Replays: preview, start, pause, resume, cancel. `desk::replay` sends the dead letters.

use std::time::Duration;

use desk_api::DeadLetter;
use effects::ledger::{Begun, Ledger};
use effects::{Calls, Record};
use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};
use testkit::Postgres;

use crate::fixture::{Api, dead_letter, dead_letters};

fn some() -> Vec<DeadLetter> {
    let mut some = dead_letters(5);
    some[0].replays = 10;
    some.push(DeadLetter { value_cut: Some(9), ..dead_letter(9, "trap") });
    some.push(DeadLetter { consumer_group: "foreign-group".to_owned(), ..dead_letter(10, "trap") });
    some
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_the_target_topics() {
    // The embedded broker cannot list groups, and has none but the host's own.
    let broker = MockCluster::new(1).expect("an embedded broker");
    let api = Api::start(&some(), None, &broker.bootstrap_servers()).await;
    let source = api.post("/replays/preview", &json!({ "all": true })).await.json();
    assert_eq!(
        (&source["dead_letters"], &source["topics"]),
        (&json!(5), &json!([{ "topic": "email.send", "dead_letters": 5 }]))
    );
    let warnings = source["warnings"].to_string();
    for expected in ["1 dead letter already replayed 10 times or more", "1 dead letter whose value was cut"] {
        assert!(warnings.contains(expected), "no {expected:?} in {warnings}");
    }
    assert!(!warnings.contains("Kafka") && !warnings.contains("groups"), "{warnings}");
    let retry = |filter: Value| json!({ "filter": filter, "all": true, "plan": { "target": "retry" } });
    let own = api.post("/replays/preview", &retry(json!({ "code": "bad-address" }))).await.json();
    assert_eq!(own["topics"], json!([{ "topic": "email.send-retry-1000", "dead_letters": 4 }]));
    let foreign = api.post("/replays/preview", &retry(json!({}))).await;
    foreign.is_problem(400, "no plugin of this host handles email.send in group foreign-group");
    let none =
        api.post("/replays/preview", &json!({ "filter": { "state": "replayed" }, "all": true })).await.json();
    let no_effects = json!({ "sent": 0, "in_doubt": 0, "unknown": 0 });
    let nothing = json!({ "dead_letters": 0, "topics": [], "effects": no_effects, "warnings": [] });
    assert_eq!(none, nothing);
    assert_eq!(api.found("/replays").await["items"], json!([]), "the preview started no replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_started_paused_resumed_and_cancelled() {
    let api = Api::with(&some()).await;
    let plan = json!({ "target": "retry", "rate": 2.5, "ramp": [1, 2], "limit_percent": 5 });
    let asked = json!({ "filter": { "code": "bad-address" }, "plan": plan, "reason": "fixed" });
    let answer = api.post("/replays", &asked).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let replay = answer.json();
    let id = replay["id"].as_str().expect("an id");
    assert_eq!(answer.headers["location"], format!("/api/v1/replays/{id}"));
    assert_eq!(
        (&replay["dead_letters"], &replay["state"], &replay["plan"]["ramp"]),
        (&json!(4), &json!("running"), &json!([1, 2]))
    );
    assert_eq!(replay["warnings"], json!(["left out: 1 dead letter already replayed 10 times or more"]));
    let change =
        async |what: &str| api.post(&format!("/replays/{id}/{what}"), &json!({ "reason": "x" })).await;
    assert_eq!(change("pause").await.json()["state"], "paused");
    change("pause").await.is_problem(409, "already paused");
    assert_eq!(change("resume").await.json()["state"], "running");
    assert_eq!(change("cancel").await.json()["state"], "cancelled");
    change("resume").await.is_problem(409, "already cancelled");
    assert_eq!(api.found(&format!("/replays/{}", &id[..16])).await["state"], "cancelled");
    assert_eq!(api.found("/replays").await["items"][0]["actor"], "api");
    api.post("/replays/..%2f/cancel", &json!({})).await.is_problem(404, "no replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_plans_are_rejected() {
    let api = Api::with(&dead_letters(1)).await;
    let start = async |plan: Value| api.post("/replays", &json!({ "all": true, "plan": plan })).await;
    for (plan, expected) in [
        (json!({ "rate": 0 }), "rate"),
        (json!({ "rate": -1 }), "rate"),
        (json!({ "rate": 1e300 }), "rate"),
        (json!({ "ramp": [0] }), "ramp"),
        (json!({ "ramp": vec![1; 101] }), "ramp"),
        (json!({ "limit_percent": 101 }), "limit_percent"),
        (json!({ "limit_percent": 256 }), "the body"),
        (json!({ "target": "elsewhere" }), "unknown variant"),
        (json!({ "speed": 1 }), "unknown field"),
    ] {
        start(plan).await.is_problem(400, expected);
    }
    api.post("/replays", &json!({})).await.is_problem(400, "the filter is empty");
    let none = json!({ "filter": { "code": "none" }, "plan": { "target": "retry" } });
    api.post("/replays", &none).await.is_problem(409, "no matching dead letter can be sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_counts_what_was_sent_and_what_the_ledger_cannot_know() {
    let postgres = Postgres::start();
    // They are counted in different ways.
    for store in [None, Some(postgres.url())] {
        preview_of_effects(&Api::on(store.as_deref(), "127.0.0.1:1").await).await;
    }
}

async fn preview_of_effects(api: &Api) {
    const DAY: i64 = 86_400_000;
    let mut all = dead_letters(8);
    for (number, dead_letter) in all.iter_mut().enumerate() {
        dead_letter.message = format!("m{number}");
    }
    // It arrived when the ledger could have deleted its effects already; so did an edited copy.
    all[6].first_failed_ms = Some(all[6].ingested_ms - 8 * DAY);
    all[7].first_failed_ms = all[6].first_failed_ms;
    all[7].edited_from = Some("0".repeat(32));
    api.desk.ingest(&all).await.expect("ingested");
    let ledger = Ledger::new(api.store.clone(), Duration::from_secs(7 * 86_400));
    let key =
        |group: &str, number: usize, digest: u8| Calls::of(group, &format!("m{number}")).next([digest; 32]);
    let own = "email-send-group";
    let record = Record { head: "250 OK".to_owned(), body: Vec::new() };
    for (number, digest) in [(0, 1), (0, 2), (1, 1), (2, 1)] {
        ledger.settle(&key(own, number, digest), &record).await.expect("settled");
    }
    // An effect in doubt, next to one that was sent, and one of another group.
    for begun in [key(own, 2, 2), key("billing", 3, 1)] {
        assert_eq!(ledger.begin(&begun).await, Ok(Begun::New));
    }
    let request = json!({ "all": true, "plan": { "target": "retry" } });
    let preview = api.post("/replays/preview", &request).await.json();
    assert_eq!(preview["dead_letters"], 8, "{preview}");
    assert_eq!(preview["effects"], json!({ "sent": 2, "in_doubt": 1, "unknown": 1 }));
    let warnings = preview["warnings"].to_string();
    for expected in [
        "2 messages sent e-mails",
        "1 message has an e-mail or request in doubt",
        "cannot tell what 1 message",
    ] {
        assert!(warnings.contains(expected), "no {expected:?} in {warnings}");
    }
}
