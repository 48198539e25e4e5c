//! Plugins are paused and resumed.

use consumer::gate::Pause;
use serde_json::json;

use crate::console_client::Browser;
use crate::fixture::{Api, dead_letters};

#[tokio::test]
async fn a_plugin_is_paused_and_resumed() {
    let api = Api::with(&[]).await;
    let pause = "/plugins/email/pause";
    api.post(pause, &json!({})).await.is_problem(400, "reason: required");
    api.post(pause, &json!({"reason": "x", "for": 1})).await.is_problem(400, "unknown field");
    api.post("/plugins/mail/pause", &json!({"reason": "x"})).await.is_problem(404, "it has email");
    api.post("/plugins/mail/resume", &json!({})).await.is_problem(404, "it has email");
    api.post("/plugins/%ff/resume", &json!({})).await.is_problem(400, "UTF-8");
    assert!(api.gate.is_open());
    let answer = api.post("/plugins/email/resume", &json!({})).await.json();
    assert_eq!((&answer["changed"], &answer["intake"]["state"]), (&json!(false), &json!("running")));
    let answer = api.post(pause, &json!({"reason": "the server moves"})).await.json();
    assert_eq!((&answer["changed"], &answer["intake"]["state"]), (&json!(true), &json!("paused")));
    assert!(api.gate.is_paused());
    let again = api.post(pause, &json!({"reason": "another"})).await.json();
    assert_eq!(again["changed"], false);
    assert_eq!(
        (&again["intake"]["actor"], &again["intake"]["reason"]),
        (&json!("api"), &json!("the server moves"))
    );
    let overview = api.found("/overview").await;
    assert_eq!(overview["plugins"][0]["intake"], again["intake"]);
    let answer = api.post("/plugins/email/resume", &json!({"reason": "moved"})).await.json();
    assert_eq!((&answer["changed"], &answer["intake"]["state"]), (&json!(true), &json!("running")));
    assert!(api.gate.is_open());
    let log = api.found("/audit-log").await;
    let entries: Vec<_> = log["items"].as_array().expect("entries").iter().collect();
    assert_eq!(entries.len(), 2, "{log}");
    for (entry, action, reason) in
        [(entries[0], "resume-plugin", "moved"), (entries[1], "pause-plugin", "the server moves")]
    {
        assert_eq!((&entry["action"], &entry["reason"]), (&json!(action), &json!(reason)));
        assert_eq!((&entry["plugin"], &entry["actor"]), (&json!("email"), &json!("api")));
    }
}

#[tokio::test]
async fn readiness_says_why_a_plugin_is_not_handed_messages() {
    let api = Api::with(&[]).await;
    let browser = Browser::new(&api, "en");
    assert_eq!(browser.page("/readyz").await, "ok\n");
    assert!(api.gate.failed((0, 1), "smtp-421", None), "one failure is enough in this fixture");
    let page = browser.page("/readyz").await;
    assert!(page.starts_with("ok\nplugin email has been resting for "), "{page}");
    assert!(page.contains("smtp-421"), "{page}");
    let reason = "the\nserver <b>moves</b>".to_owned();
    api.gate.set_pause(Some(Pause { since_ms: 0, actor: "ada".to_owned(), reason }));
    let page = browser.page("/readyz").await;
    assert!(page.contains("since 1970-01-01T00:00:00.000Z, by ada: the"), "{page}");
    assert_eq!(page.lines().count(), 2, "a reason stays on its line: {page}");
}

#[tokio::test]
async fn a_replay_into_a_paused_plugin_is_warned_about() {
    let api = Api::with(&dead_letters(2)).await;
    let preview = async || {
        let answer = api.post("/replays/preview", &json!({"filter": {}, "all": true})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["warnings"].to_string()
    };
    assert!(!preview().await.contains("paused"));
    api.post("/plugins/email/pause", &json!({"reason": "the server moves"})).await;
    let warnings = preview().await;
    assert!(warnings.contains("paused") && warnings.contains("host plugin resume email"), "{warnings}");
    // The console has its own words for it.
    let korean = Browser::new(&api, "ko").page("/replay").await;
    assert!(
        korean.contains("플러그인 email 일시 중지됨:") && korean.contains("(사유: the server moves)"),
        "{korean}"
    );
    assert!(!korean.contains("is paused since"), "{korean}");
}

#[tokio::test]
async fn a_plugin_is_paused_and_resumed_by_forms() {
    let api = Api::with(&[]).await;
    let browser = Browser::new(&api, "en");
    assert!(browser.page("/").await.contains("/pause?plugin=email"));
    let page = "/pause?plugin=email";
    let refused = browser.submit(page, "/pause", &[("reason", " ")]).await;
    assert!(refused.text().contains("Enter a reason."), "{}", refused.text());
    let forged = browser.post("/pause", &[("csrf", "wrong"), ("plugin", "email"), ("reason", "x")]).await;
    assert_eq!((forged.status, api.gate.is_open()), (403, true));
    assert_eq!(browser.get("/pause?plugin=mail").await.status, 404);
    let done = browser.submit(page, "/pause", &[("reason", "the <i>server</i> moves")]).await;
    assert_eq!((done.status, api.gate.is_paused()), (303, true), "{}", done.text());
    let overview = browser.page("/").await;
    assert!(overview.contains("state paused") && overview.contains("/resume?plugin=email"), "{overview}");
    assert!(overview.contains("server") && !overview.contains("<i>server</i>"), "{overview}");
    let forged = browser.post("/resume", &[("csrf", "wrong"), ("plugin", "email")]).await;
    assert_eq!((forged.status, api.gate.is_paused()), (403, true));
    let done = browser.submit("/resume?plugin=email", "/resume", &[("reason", "")]).await;
    assert_eq!((done.status, api.gate.is_open()), (303, true), "{}", done.text());
    let log = browser.page("/audit-log").await;
    assert!(log.contains("Pause plugin") && log.contains("Resume plugin"), "{log}");
}
