//! The health of the host, the rooms that show what runs, and pages while Kafka is away.

use serde_json::json;

use crate::console_client::{Browser, pages};
use crate::fixture::{Api, dead_letters};

#[tokio::test]
async fn kafka_away_is_on_every_page_and_readyz_agrees() {
    let some = dead_letters(3);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    assert_eq!(browser.page("/readyz").await, "ok\n");
    let well = api.found("/health").await;
    assert_eq!((&well["ready"], &well["parts"][0]["kind"]), (&json!(true), &json!("kafka")));
    assert_eq!(api.found("/overview").await["plugins"][0]["lag"], json!(0));
    api.member.unanswered("connection refused".to_owned());
    let health = api.found("/health").await;
    assert_eq!((&health["ready"], &health["state"]), (&json!(false), &json!("down")));
    let kafka = &health["parts"][0];
    assert_eq!((&kafka["state"], &kafka["reason"]), (&json!("down"), &json!("connection refused")));
    assert!(kafka["since_ms"].is_i64(), "{kafka}");
    let ready = browser.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().starts_with("Kafka at 127.0.0.1:1 has not answered for 0 s: connection refused\n"));
    // What producers publish meanwhile is not known.
    let overview = api.found("/overview").await;
    assert_eq!(
        (&overview["plugins"][0]["lag"], &overview["plugins"][0]["retry_waiting"]),
        (&json!(null), &json!(null))
    );
    for path in pages(&some[0]) {
        let page = browser.page(&path).await;
        assert!(page.contains("Kafka does not answer. connection refused · <time"), "{path}: {page}");
    }
    let korean = Browser::new(&api, "ko").page("/").await;
    assert!(korean.contains("Kafka가 응답하지 않습니다."), "{korean}");
    api.member.answered();
    assert_eq!(browser.page("/readyz").await, "ok\n");
    assert!(!browser.page("/").await.contains("Kafka does not answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_form_does_not_wait_for_kafka() {
    let some = dead_letters(3);
    let api = Api::with(&some).await;
    let browser = Browser::new(&api, "en");
    let page = browser.page("/replay").await;
    assert!(page.contains("Kafka does not answer: 127.0.0.1:1 ("), "{page}");
    assert!(page.contains("3 dead letters") && page.contains("Start replay"), "{page}");
    let korean = Browser::new(&api, "ko").page("/replay").await;
    assert!(korean.contains("Kafka가 응답하지 않습니다: 127.0.0.1:1 ("), "{korean}");
    let topics = browser.page("/topics").await;
    assert!(topics.contains("Kafka did not list the members:"), "{topics}");
    assert!(topics.contains("email.send-retry-2000"), "{topics}");
}

#[tokio::test]
async fn what_does_not_exist_is_a_page_with_the_navigation_and_the_health() {
    let api = Api::with(&dead_letters(1)).await;
    for path in ["/nothing", "/failures/00", "/dead-letters/00", "/replays/00"] {
        let answer = Browser::new(&api, "en").get(path).await;
        let page = answer.text();
        assert_eq!(answer.status, 404, "{path}");
        for part in ["<nav", "href=\"/audit-log\"", "id=\"health\"", "id=\"search\"", "Not found"] {
            assert!(page.contains(part), "{path}: no {part} in {page}");
        }
    }
}

#[tokio::test]
async fn the_overview_has_charts_of_each_plugin_and_the_failures_that_grow_first() {
    let api = Api::with(&dead_letters(4)).await;
    let browser = Browser::new(&api, "en");
    let page = browser.page("/").await;
    assert!(!page.contains("class=\"line\""), "no samples yet");
    api.history.sample();
    api.history.sample();
    let page = browser.page("/").await;
    // Four charts of all plugins, and four of the only one.
    assert_eq!(page.matches("class=\"chart-tile").count(), 8, "{page}");
    assert_eq!(page.matches("class=\"line\"").count(), 8, "{page}");
    assert!(page.contains("Lag: 0 messages. Last hour: highest 0"), "{page}");
    assert!(page.contains("href=\"/waiting?plugin=email\""), "{page}");
    let history = api.found("/history").await;
    let hour = &history["items"][0]["hour"];
    assert_eq!((&history["items"][0]["plugin"], &hour["step_ms"]), (&json!("email"), &json!(10_000)));
    assert_eq!((&hour["handled"], &hour["lag"]), (&json!([null, 0.0]), &json!([0.0, 0.0])));
    assert!(browser.page("/?range=day").await.contains("Last 24 hours: highest –"));
}

#[tokio::test]
async fn the_rooms_show_settings_and_topics() {
    let api = Api::with(&[]).await;
    let browser = Browser::new(&api, "en");
    let settings = browser.page("/settings").await;
    assert!(settings.contains("[kafka]") && settings.contains("bootstrap-servers"), "{settings}");
    assert_eq!(api.found("/settings").await["items"][0]["settings"][0]["origin"], "default");
    let topics = api.found("/topics").await;
    let uses: Vec<_> = topics["items"].as_array().expect("topics").iter().map(|it| &it["use"]).collect();
    assert_eq!(uses, ["source", "retry", "retry"]);
    assert_eq!(api.found("/groups").await["items"][1]["group"], "email-send-group-retry");
    api.get("/plugins/none").await.is_problem(404, "it has email");
}

#[tokio::test]
async fn the_theme_is_kept() {
    let api = Api::with(&[]).await;
    let browser = Browser::new(&api, "en");
    assert!(browser.page("/").await.contains("data-theme=\"auto\""));
    let answer = browser.get("/failures?all=1&theme=dark").await;
    assert_eq!(
        (answer.status, &answer.headers["location"]),
        (303, &"/failures?all=1".parse().expect("a value"))
    );
    let page = browser.page("/").await;
    assert!(page.contains("data-theme=\"dark\"") && page.contains("?theme=light"), "{page}");
    assert_eq!(browser.get("/?theme=%22%3E").await.status, 200, "an unknown theme is none");
}
