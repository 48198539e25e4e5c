//! Dead letters and failures: search, discard, restore, edit, export and import.

use axum::body::{Body, Bytes};
use desk_api::DeadLetter;
use http_body_util::channel::Channel;
use serde_json::{Value, json};

use crate::fixture::{Api, NOW, dead_letter, dead_letters};

#[tokio::test]
async fn filters_are_parameters() {
    let mut some = dead_letters(5);
    some.push(dead_letter(10, "smtp 550 발신자"));
    let api = Api::with(&some).await;
    let count =
        async |query: &str| api.found(&format!("/dead-letters/count?{query}")).await["dead_letters"].clone();
    assert_eq!(count("").await, 6);
    assert_eq!(count("code=smtp+550+%EB%B0%9C%EC%8B%A0%EC%9E%90").await, 1);
    assert_eq!(count("topic=email.send.dlt&plugin=email&state=open").await, 6);
    assert_eq!(count("text=USER3%40example").await, 1);
    assert_eq!(count(&format!("since_ms={}&until_ms={}", NOW + 1, NOW + 3)).await, 2);
    assert_eq!(count(&format!("ids={},{}", &some[0].id[..8], some[1].id)).await, 2);
    assert_eq!(count(&format!("failure={}", &some[5].failure[..8])).await, 1);
    assert_eq!(count(&format!("message=email.send/2/0/{}", NOW - 5000)).await, 1);
    let page = api.found("/dead-letters?code=bad-address&limit=2").await;
    assert_eq!(page["items"].as_array().expect("items").len(), 2);
    let shown = api.found(&format!("/dead-letters/{}", &some[0].id[..10])).await;
    assert_eq!(serde_json::from_value::<DeadLetter>(shown).expect("a dead letter"), some[0]);
}

#[tokio::test]
async fn dead_letters_are_discarded_and_restored_and_the_log_names_the_user() {
    let some = dead_letters(3);
    let api = Api::with(&some).await;
    let headers = [("content-type", "application/json"), ("host-user", "김철수")];
    let body = json!({ "filter": { "ids": [some[0].id] }, "reason": "a typo" }).to_string();
    let answer = api.ask("POST", "/dead-letters/discard", &headers, body).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "dead_letters": 1 })));
    assert_eq!(api.found(&format!("/dead-letters/{}", some[0].id)).await["state"], "discarded");
    let restore = json!({ "filter": { "code": "bad-address" } });
    assert_eq!(api.post("/dead-letters/restore", &restore).await.json(), json!({ "dead_letters": 1 }));
    let entries = api.found(&format!("/dead-letters/{}/audit-log", &some[0].id[..8])).await;
    let log: Vec<_> = entries["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|entry| (&entry["actor"], &entry["action"]))
        .collect();
    assert_eq!(log, [(&json!("api"), &json!("restore")), (&json!("김철수"), &json!("discard"))]);
    let all = api.found("/audit-log?limit=1").await;
    assert_eq!(all["items"].as_array().expect("items").len(), 1);
    let second = api.found(&format!("/audit-log?after={}", all["next"].as_str().expect("more"))).await;
    assert_eq!((&second["items"][0]["reason"], &second["next"]), (&json!("a typo"), &Value::Null));
}

#[tokio::test]
async fn an_edited_copy_keeps_the_unchanged_parts() {
    let some = dead_letters(1);
    let api = Api::with(&some).await;
    let path = format!("/dead-letters/{}/edit", some[0].id);
    let answer = api.post(&path, &json!({ "value": "{}", "reason": "the address" })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let copy: DeadLetter = serde_json::from_value(answer.json()).expect("a dead letter");
    assert_eq!((&copy.key, &copy.headers), (&some[0].key, &some[0].headers));
    assert_eq!(
        (copy.edited_from.as_deref(), copy.value.map(|value| value.0)),
        (Some(&some[0].id[..]), Some(b"{}".to_vec()))
    );
    let answer =
        api.post(&path, &json!({ "key": null, "value": { "hex": "00ff" }, "headers": [["a", null]] })).await;
    let copy: DeadLetter = serde_json::from_value(answer.json()).expect("a dead letter");
    assert_eq!(
        (copy.key, copy.headers.len(), copy.value.map(|value| value.0)),
        (None, 1, Some(vec![0, 255]))
    );
    api.post(&path, &json!({ "value": 1 })).await.is_problem(400, "the body");
    api.post("/dead-letters/00/edit", &json!({})).await.is_problem(404, "no dead letter");
    assert_eq!(api.found("/dead-letters/count").await["dead_letters"], 3);
}

#[tokio::test]
async fn failures_are_listed_annotated_and_closed() {
    let mut some = dead_letters(3);
    some.push(dead_letter(9, "trap"));
    let api = Api::with(&some).await;
    let failures = api.found("/failures?open=true").await;
    assert_eq!((&failures["items"][0]["code"], &failures["items"][1]["open"]), (&json!("trap"), &json!(3)));
    let id = failures["items"][1]["id"].as_str().expect("an id");
    let headers = [("content-type", "application/json")];
    let path = format!("/failures/{}", &id[..8]);
    let update = async |body: Value| api.ask("PATCH", &path, &headers, body.to_string()).await;
    let updated = update(json!({ "note": "the DNS", "state": "closed", "reason": "fixed" })).await.json();
    assert_eq!((&updated["note"], &updated["state"]), (&json!("the DNS"), &json!("closed")));
    update(json!({ "state": "gone" })).await.is_problem(400, "unknown variant");
    update(json!({ "note": "x".repeat(4001) })).await.is_problem(400, "4000");
    assert_eq!(api.found(&format!("/failures/{id}")).await["note"], "the DNS");
    let log = api.found("/audit-log").await;
    let actions: Vec<_> =
        log["items"].as_array().expect("items").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["close", "note"]);
}

/// Dead letters without the time they were ingested, which an import sets.
fn without_ingested(lines: &str) -> Vec<Value> {
    let without = |line: &str| {
        let mut dead_letter: Value = serde_json::from_str(line).expect("JSON");
        assert!(dead_letter.as_object_mut().expect("a dead letter").remove("ingested_ms").is_some());
        dead_letter
    };
    lines.lines().map(without).collect()
}

#[tokio::test]
async fn exports_are_imported_by_another_desk() {
    let some: Vec<DeadLetter> = dead_letters(120);
    let (one, other) = (Api::with(&some).await, Api::with(&some[..20]).await);
    let export = one.get("/dead-letters/export").await;
    assert_eq!(
        (export.status, export.headers["content-type"].to_str().expect("text")),
        (200, "application/jsonl")
    );
    assert_eq!(export.text().lines().count(), 120);
    let answer = other.ask("POST", "/dead-letters/import", &[], export.body.clone()).await;
    assert_eq!(answer.json(), json!({ "new": 100, "known": 20 }));
    let answer = other.ask("POST", "/dead-letters/import", &[], export.body.clone()).await;
    assert_eq!(answer.json(), json!({ "new": 0, "known": 120 }));
    assert_eq!(
        without_ingested(&other.get("/dead-letters/export").await.text()),
        without_ingested(&export.text())
    );
    assert_eq!(one.get("/dead-letters/export?code=none").await.body, b"");
    // In chunks of any size, with blank lines and without a final line feed.
    let empty = Api::with(&[]).await;
    let text = format!("\n\n{}", export.text().trim_end());
    let (mut pieces, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        for piece in text.as_bytes().chunks(37) {
            pieces.send_data(Bytes::copy_from_slice(piece)).await.expect("read");
        }
    });
    let body = Body::new(body);
    assert_eq!(
        empty.ask("POST", "/dead-letters/import", &[], body).await.json(),
        json!({ "new": 120, "known": 0 })
    );
}

#[tokio::test]
async fn invalid_dead_letters_are_not_imported() {
    let api = Api::with(&[]).await;
    let whole = |dead_letter: &DeadLetter| serde_json::to_string(dead_letter).expect("JSON");
    let good = whole(&dead_letter(1, "a"));
    for (bad, says) in [
        ("{}".to_owned(), "missing field"),
        ("x".to_owned(), "expected value"),
        (good.replacen('{', "{\"more\":1,", 1), "unknown field"),
        (whole(&DeadLetter { id: "../../etc".to_owned(), ..dead_letter(2, "a") }), "lower-case"),
        (whole(&DeadLetter { id: "A".repeat(32), ..dead_letter(2, "a") }), "lower-case"),
        (whole(&DeadLetter { detail: "a\0b".to_owned(), ..dead_letter(2, "a") }), "NUL"),
        (
            whole(&DeadLetter { audit_entry: Some("<script>".to_owned()), ..dead_letter(2, "a") }),
            "lower-case",
        ),
    ] {
        let answer = api.ask("POST", "/dead-letters/import", &[], format!("{good}\n{bad}\n{good}")).await;
        answer.is_problem(400, "line 2");
        answer.is_problem(400, says);
    }
    assert_eq!(api.found("/dead-letters/count").await["dead_letters"], 0, "nothing was imported");
}

#[tokio::test]
async fn the_beginning_of_several_ids_changes_nothing() {
    let some = dead_letters(40);
    let api = Api::with(&some).await;
    let mut firsts: Vec<&str> = some.iter().map(|one| &one.id[..1]).collect();
    firsts.sort_unstable();
    let twice = firsts.windows(2).find(|two| two[0] == two[1]).expect("a digit that begins two ids")[0];
    api.get(&format!("/dead-letters/{twice}")).await.is_problem(409, "give more digits");
    let asked = json!({ "filter": { "ids": [twice] }, "reason": "x", "plan": { "target": "retry" } });
    let change = json!({ "filter": { "ids": [twice] }, "reason": "x" });
    for (path, body) in
        [("/dead-letters/discard", &change), ("/dead-letters/restore", &change), ("/replays", &asked)]
    {
        api.post(path, body).await.is_problem(409, "several dead letters have ids that begin with");
    }
    let unknown = json!({ "filter": { "ids": ["00000000ff"] }, "reason": "x" });
    api.post("/dead-letters/discard", &unknown).await.is_problem(404, "no dead letter has the id");
    let one = json!({ "filter": { "ids": [&some[7].id[..12]] }, "reason": "x" });
    assert_eq!(api.post("/dead-letters/discard", &one).await.json()["dead_letters"], 1);
    assert_eq!(api.found("/dead-letters/count?state=open").await["dead_letters"], 39);
}

#[tokio::test]
async fn a_replay_lists_what_became_of_its_dead_letters() {
    let some = dead_letters(3);
    let api = Api::with(&some).await;
    let started = api.post("/replays", &json!({ "all": true, "plan": { "target": "retry" } })).await.json();
    let id = started["id"].as_str().expect("an id");
    let items = api.found(&format!("/replays/{}/dead-letters?limit=2", &id[..8])).await;
    let listed: Vec<_> =
        items["items"].as_array().expect("items").iter().map(|item| &item["dead_letter"]).collect();
    assert_eq!(listed, [&json!(some[0].id), &json!(some[1].id)]);
    let rest = api.found(&format!("/replays/{id}/dead-letters?from=2&state=waiting")).await;
    assert_eq!(rest["items"][0]["position"], 3);
    assert_eq!(api.found(&format!("/replays/{id}/dead-letters?state=failed")).await["items"], json!([]));
    api.get(&format!("/replays/{id}/dead-letters?state=green"))
        .await
        .is_problem(400, "waiting, sent, handled");
    let shown = api.found(&format!("/dead-letters/{}", some[0].id)).await;
    assert_eq!((&shown["outcome"]["replay"], &shown["outcome"]["state"]), (&json!(id), &json!("waiting")));
}
