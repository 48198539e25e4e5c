//! Waiting retries, with a Kafka that is away. With a Kafka: `host/tests/e2e/waiting_retries.rs`.

use serde_json::{Value, json};

use crate::console_client::Browser;
use crate::fixture::Api;

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_kafka_says_so() {
    let api = Api::with(&[]).await;
    for _ in 0..2 {
        let list = api.found("/waiting?limit=5").await;
        assert_eq!((&list["as_of_ms"], &list["total"]), (&Value::Null, &json!(0)), "{list}");
    }
    let problem = api.found("/waiting").await["problems"][0].to_string();
    assert!(problem.contains("email: ") && problem.contains("refused"), "{problem}");
    let none = api.found("/waiting?plugin=other").await;
    assert!(none["problems"].as_array().expect("a list").is_empty() && none["as_of_ms"].is_i64(), "{none}");
    api.get("/waiting?codes=x").await.is_problem(400, "did you mean \"code\"");
    api.get("/waiting?limit=0").await.is_problem(400, "limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_decisions_are_refused() {
    let api = Api::with(&[]).await;
    let path = |action: &str| format!("/waiting/{action}");
    let record = json!(["email.send-retry-1000/0/7"]);
    for (action, body, text) in [
        ("run-now", json!({}), "records, or filter and count"),
        ("run-now", json!({"filter": {"code": "x"}}), "records, or filter and count"),
        ("run-now", json!({"records": record, "count": 1}), "count: not with records"),
        ("run-now", json!({"records": record, "filter": {"code": "x"}}), "filter: not with records"),
        ("run-now", json!({"records": record, "by_ms": 1}), "only to postpone"),
        ("run-now", json!({"records": ["x"]}), "is not TOPIC/PARTITION/OFFSET"),
        ("run-now", json!({"records": vec!["a/0/0"; 1001]}), "at most 1000"),
        ("run-now", json!({"filter": {"codes": "x"}, "count": 1}), "unknown field"),
        ("postpone", json!({"records": record}), "until_ms, or by_ms"),
        ("postpone", json!({"records": record, "by_ms": 1, "until_ms": 1}), "until_ms, or by_ms"),
        ("postpone", json!({"records": record, "by_ms": 0}), "by_ms"),
        ("postpone", json!({"records": record, "by_ms": 86_400_001}), "24 hours"),
        ("postpone", json!({"records": record, "until_ms": 1}), "in the future"),
        ("give-up", json!({"records": record}), "reason: required"),
        ("give-up", json!({"records": record, "reason": " "}), "reason: required"),
        ("give-up", json!({"records": record, "reason": "x".repeat(1001)}), "at most 1000"),
    ] {
        api.post(&path(action), &body).await.is_problem(400, text);
    }
    let answer = api.post(&path("run-now"), &json!({"filter": {"plugin": "other"}, "count": 0})).await;
    assert_eq!(answer.json()["decided"], 0, "{}", answer.text());
    let refused = api.post(&path("run-now"), &json!({"records": record})).await;
    refused.is_problem(503, "nothing is decided");
    assert!(api.found("/audit-log").await["items"].as_array().expect("a list").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_acts_on_what_is_ticked() {
    let api = Api::with(&[]).await;
    for (lang, missing) in [("en", "No message is selected."), ("ko", "선택한 메시지가 없어")] {
        let browser = Browser::new(&api, lang);
        let page = browser.page("/waiting?code=smtp-*").await;
        assert!(
            page.contains("smtp-*") && !page.contains("No message is waiting"),
            "nothing is known: {page}"
        );
        let answer = browser.get("/waiting/give-up?code=smtp-*").await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(missing) && answer.text().contains("smtp-*"), "{}", answer.text());
    }
    let browser = Browser::new(&api, "en");
    assert_eq!(browser.get("/waiting/other?all=true").await.status, 404);
    let form = "/waiting/give-up?ids=email.send-retry-1000/0/7";
    assert!(browser.page(form).await.contains("1 message"));
    let refused = browser.submit(form, "/waiting/give-up", &[]).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("Enter a reason."), "{}", refused.text());
    let form = "/waiting/postpone?all=true&code=smtp-*";
    for (fields, text) in [
        (vec![("count", "x"), ("minutes", "1")], "Enter a whole number."),
        (vec![("count", "1")], "Enter minutes or a time."),
        (vec![("count", "1"), ("minutes", "1"), ("until", "2026-11-30T10:20")], "Enter minutes or a time."),
        (vec![("count", "1"), ("until", "tomorrow")], "Enter a time such as"),
    ] {
        let refused = browser.submit(form, "/waiting/postpone", &fields).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(text), "{text}: {}", refused.text());
    }
    let forged = browser.post("/waiting/run-now", &[("csrf", "0"), ("ids", "a/0/0")]).await;
    assert_eq!(forged.status, 403);
}
