//! Letters and groups: found, given up, edited, carried from desk to desk.

use axum::body::{Body, Bytes};
use desk::Letter;
use http_body_util::channel::Channel;
use serde_json::{Value, json};

use crate::fixture::{Api, NOW, letter, letters};

#[tokio::test]
async fn filters_are_parameters() {
    let mut some = letters(5);
    some.push(letter(10, "smtp 550 발신자"));
    let api = Api::with(&some).await;
    let count = async |query: &str| api.found(&format!("/letters/count?{query}")).await["letters"].clone();
    assert_eq!(count("").await, 6);
    assert_eq!(count("code=smtp+550+%EB%B0%9C%EC%8B%A0%EC%9E%90").await, 1);
    assert_eq!(count("topic=email.send.dlt&plugin=email&state=open").await, 6);
    assert_eq!(count("text=USER3%40example").await, 1);
    assert_eq!(count(&format!("since_ms={}&until_ms={}", NOW + 1, NOW + 3)).await, 2);
    assert_eq!(count(&format!("ids={},{}", &some[0].id[..8], some[1].id)).await, 2);
    assert_eq!(count(&format!("group={}", &some[5].failure_group[..8])).await, 1);
    assert_eq!(count(&format!("message=email.send/2/0/{}", NOW - 5000)).await, 1);
    let page = api.found("/letters?code=bad-address&limit=2").await;
    assert_eq!(page["items"].as_array().expect("items").len(), 2);
    let shown = api.found(&format!("/letters/{}", &some[0].id[..10])).await;
    assert_eq!(serde_json::from_value::<Letter>(shown).expect("a letter"), some[0]);
}

#[tokio::test]
async fn letters_are_given_up_and_opened_again_and_who_did_it_is_known() {
    let some = letters(3);
    let api = Api::with(&some).await;
    let headers = [("content-type", "application/json"), ("host-user", "김철수")];
    let body = json!({ "filter": { "ids": [some[0].id] }, "reason": "a typo" }).to_string();
    let answer = api.ask("POST", "/letters/discard", &headers, body).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "letters": 1 })));
    assert_eq!(api.found(&format!("/letters/{}", some[0].id)).await["state"], "discarded");
    let restore = json!({ "filter": { "code": "bad-address" } });
    assert_eq!(api.post("/letters/restore", &restore).await.json(), json!({ "letters": 1 }));
    let actions = api.found(&format!("/letters/{}/actions", &some[0].id[..8])).await;
    let told: Vec<_> = actions["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|done| (&done["who"], &done["what"]))
        .collect();
    assert_eq!(told, [(&json!("api"), &json!("restore")), (&json!("김철수"), &json!("discard"))]);
    let all = api.found("/actions?limit=1").await;
    assert_eq!(all["items"].as_array().expect("items").len(), 1);
    let second = api.found(&format!("/actions?after={}", all["next"].as_str().expect("more"))).await;
    assert_eq!((&second["items"][0]["reason"], &second["next"]), (&json!("a typo"), &Value::Null));
}

#[tokio::test]
async fn an_edited_letter_keeps_what_was_not_edited() {
    let some = letters(1);
    let api = Api::with(&some).await;
    let path = format!("/letters/{}/edit", some[0].id);
    let answer = api.post(&path, &json!({ "value": "{}", "reason": "the address" })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let copy: Letter = serde_json::from_value(answer.json()).expect("a letter");
    assert_eq!((&copy.key, &copy.headers), (&some[0].key, &some[0].headers));
    assert_eq!(
        (copy.edited_from.as_deref(), copy.value.map(|value| value.0)),
        (Some(&some[0].id[..]), Some(b"{}".to_vec()))
    );
    let answer =
        api.post(&path, &json!({ "key": null, "value": { "hex": "00ff" }, "headers": [["a", null]] })).await;
    let copy: Letter = serde_json::from_value(answer.json()).expect("a letter");
    assert_eq!(
        (copy.key, copy.headers.len(), copy.value.map(|value| value.0)),
        (None, 1, Some(vec![0, 255]))
    );
    api.post(&path, &json!({ "value": 1 })).await.is_problem(400, "the body");
    api.post("/letters/00/edit", &json!({})).await.is_problem(404, "no letter");
    assert_eq!(api.found("/letters/count").await["letters"], 3);
}

#[tokio::test]
async fn groups_are_listed_noted_and_closed() {
    let mut some = letters(3);
    some.push(letter(9, "trap"));
    let api = Api::with(&some).await;
    let groups = api.found("/groups?open=true").await;
    assert_eq!((&groups["items"][0]["code"], &groups["items"][1]["open"]), (&json!("trap"), &json!(3)));
    let id = groups["items"][1]["id"].as_str().expect("an id");
    let headers = [("content-type", "application/json")];
    let path = format!("/groups/{}", &id[..8]);
    let mark = async |body: Value| api.ask("PATCH", &path, &headers, body.to_string()).await;
    let marked = mark(json!({ "note": "the DNS", "state": "closed", "reason": "mended" })).await.json();
    assert_eq!((&marked["note"], &marked["state"]), (&json!("the DNS"), &json!("closed")));
    mark(json!({ "state": "gone" })).await.is_problem(400, "unknown variant");
    mark(json!({ "note": "x".repeat(4001) })).await.is_problem(400, "4000");
    assert_eq!(api.found(&format!("/groups/{id}")).await["note"], "the DNS");
    let actions = api.found("/actions").await;
    let what: Vec<_> = actions["items"].as_array().expect("items").iter().map(|done| &done["what"]).collect();
    assert_eq!(what, ["close", "note"]);
}

/// Letters as they are but for when they came: an import is a coming.
fn but_when(lines: &str) -> Vec<Value> {
    let without = |line: &str| {
        let mut letter: Value = serde_json::from_str(line).expect("JSON");
        assert!(letter.as_object_mut().expect("a letter").remove("taken_ms").is_some());
        letter
    };
    lines.lines().map(without).collect()
}

#[tokio::test]
async fn what_is_exported_is_imported_elsewhere() {
    let some: Vec<Letter> = letters(120);
    let (one, other) = (Api::with(&some).await, Api::with(&some[..20]).await);
    let export = one.get("/letters/export").await;
    assert_eq!(
        (export.status, export.headers["content-type"].to_str().expect("text")),
        (200, "application/jsonl")
    );
    assert_eq!(export.text().lines().count(), 120);
    let answer = other.ask("POST", "/letters/import", &[], export.body.clone()).await;
    assert_eq!(answer.json(), json!({ "new": 100, "known": 20 }));
    let answer = other.ask("POST", "/letters/import", &[], export.body.clone()).await;
    assert_eq!(answer.json(), json!({ "new": 0, "known": 120 }));
    assert_eq!(but_when(&other.get("/letters/export").await.text()), but_when(&export.text()));
    assert_eq!(one.get("/letters/export?code=none").await.body, b"");
    // In pieces that end anywhere, with blank lines and without the last line feed.
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
        empty.ask("POST", "/letters/import", &[], body).await.json(),
        json!({ "new": 120, "known": 0 })
    );
}

#[tokio::test]
async fn what_is_no_letter_is_not_imported() {
    let api = Api::with(&[]).await;
    let whole = |letter: &Letter| serde_json::to_string(letter).expect("JSON");
    let good = whole(&letter(1, "a"));
    for (bad, says) in [
        ("{}".to_owned(), "missing field"),
        ("x".to_owned(), "expected value"),
        (good.replacen('{', "{\"more\":1,", 1), "unknown field"),
        (whole(&Letter { id: "../../etc".to_owned(), ..letter(2, "a") }), "32 hexadecimal digits"),
        (whole(&Letter { id: "A".repeat(32), ..letter(2, "a") }), "32 hexadecimal digits"),
        (whole(&Letter { detail: "a\0b".to_owned(), ..letter(2, "a") }), "NUL"),
        (whole(&Letter { action: Some("<script>".to_owned()), ..letter(2, "a") }), "32 hexadecimal digits"),
    ] {
        let answer = api.ask("POST", "/letters/import", &[], format!("{good}\n{bad}\n{good}")).await;
        answer.is_problem(400, "line 2");
        answer.is_problem(400, says);
    }
    assert_eq!(api.found("/letters/count").await["letters"], 0, "nothing has changed");
}
