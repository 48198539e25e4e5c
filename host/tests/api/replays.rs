//! Replays: preview, start, pause, resume, cancel. `desk::replay` sends the dead letters.

use desk_api::DeadLetter;
use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};

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
    // The embedded broker cannot list groups, which is a warning.
    let broker = MockCluster::new(1).expect("an embedded broker");
    let api = Api::start(&some(), None, &broker.bootstrap_servers()).await;
    let source = api.post("/replays/preview", &json!({ "all": true })).await.json();
    assert_eq!(
        (&source["dead_letters"], &source["topics"]),
        (&json!(5), &json!([{ "topic": "email.send", "dead_letters": 5 }]))
    );
    let warnings = source["warnings"].to_string();
    for expected in [
        "1 dead letter already replayed 10 times or more",
        "1 dead letter whose value was cut",
        "cannot list other groups that read these topics",
    ] {
        assert!(warnings.contains(expected), "no {expected:?} in {warnings}");
    }
    let retry = |filter: Value| json!({ "filter": filter, "all": true, "plan": { "target": "retry" } });
    let own = api.post("/replays/preview", &retry(json!({ "code": "bad-address" }))).await.json();
    assert_eq!(own["topics"], json!([{ "topic": "email.send-retry-1000", "dead_letters": 4 }]));
    let foreign = api.post("/replays/preview", &retry(json!({}))).await;
    foreign.is_problem(400, "no plugin of this host handles email.send in group foreign-group");
    let none =
        api.post("/replays/preview", &json!({ "filter": { "state": "replayed" }, "all": true })).await.json();
    assert_eq!(none, json!({ "dead_letters": 0, "topics": [], "warnings": [] }));
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
