//! Replays: looked at before, begun, paused, ended. `desk::replay` sends the letters.

use desk::Letter;
use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};

use crate::fixture::{Api, letter, letters};

fn some() -> Vec<Letter> {
    let mut some = letters(5);
    some[0].replays = 10;
    some.push(Letter { value_cut: Some(9), ..letter(9, "trap") });
    some.push(Letter { consumer_group: "foreign-group".to_owned(), ..letter(10, "trap") });
    some
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_where_letters_would_go() {
    // It does not tell who reads a topic, and that is said.
    let broker = MockCluster::new(1).expect("an embedded broker");
    let api = Api::start(&some(), None, &broker.bootstrap_servers()).await;
    let source = api.post("/jobs/preview", &json!({ "all": true })).await.json();
    assert_eq!(
        (&source["letters"], &source["topics"]),
        (&json!(5), &json!([{ "topic": "email.send", "letters": 5 }]))
    );
    let warnings = source["warnings"].to_string();
    for says in [
        "1 letter, replayed 10 times",
        "1 letter, with no value any more",
        "Kafka does not say which other groups read them",
    ] {
        assert!(warnings.contains(says), "no {says:?} in {warnings}");
    }
    let retry = |filter: Value| json!({ "filter": filter, "all": true, "plan": { "target": "retry" } });
    let own = api.post("/jobs/preview", &retry(json!({ "code": "bad-address" }))).await.json();
    assert_eq!(own["topics"], json!([{ "topic": "email.send-retry-1000", "letters": 4 }]));
    let foreign = api.post("/jobs/preview", &retry(json!({}))).await;
    foreign.is_problem(400, "no plugin of this host handles email.send in the group foreign-group");
    let none =
        api.post("/jobs/preview", &json!({ "filter": { "state": "replayed" }, "all": true })).await.json();
    assert_eq!(none, json!({ "letters": 0, "topics": [], "warnings": [] }));
    assert_eq!(api.found("/jobs").await["items"], json!([]), "nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_begun_paused_resumed_and_ended() {
    let api = Api::with(&some()).await;
    let plan = json!({ "target": "retry", "rate": 2.5, "ramp": [1, 2], "limit_percent": 5 });
    let asked = json!({ "filter": { "code": "bad-address" }, "plan": plan, "reason": "mended" });
    let answer = api.post("/jobs", &asked).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let job = answer.json();
    let id = job["id"].as_str().expect("an id");
    assert_eq!(answer.headers["location"], format!("/api/v1/jobs/{id}"));
    assert_eq!(
        (&job["letters"], &job["state"], &job["plan"]["ramp"]),
        (&json!(4), &json!("running"), &json!([1, 2]))
    );
    assert_eq!(job["warnings"], json!(["left out: 1 letter, replayed 10 times before, or more often"]));
    let turn = async |what: &str| api.post(&format!("/jobs/{id}/{what}"), &json!({ "reason": "x" })).await;
    assert_eq!(turn("pause").await.json()["state"], "paused");
    turn("pause").await.is_problem(409, "paused already");
    assert_eq!(turn("resume").await.json()["state"], "running");
    assert_eq!(turn("cancel").await.json()["state"], "cancelled");
    turn("resume").await.is_problem(409, "cancelled already");
    assert_eq!(api.found(&format!("/jobs/{}", &id[..16])).await["state"], "cancelled");
    assert_eq!(api.found("/jobs").await["items"][0]["who"], "api");
    api.post("/jobs/..%2f/cancel", &json!({})).await.is_problem(404, "no job");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_meant_is_refused() {
    let api = Api::with(&letters(1)).await;
    let start = async |plan: Value| api.post("/jobs", &json!({ "all": true, "plan": plan })).await;
    for (plan, says) in [
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
        start(plan).await.is_problem(400, says);
    }
    api.post("/jobs", &json!({})).await.is_problem(400, "the filter is empty");
    let none = json!({ "filter": { "code": "none" }, "plan": { "target": "retry" } });
    api.post("/jobs", &none).await.is_problem(409, "none of these letters");
}
