//! The state of partitions, in the API and on the overview.

use std::time::Duration;

use kafka::health::PartitionStatus;
use kafka::partition::{Block, Condition, Limit};
use serde_json::json;

use crate::console_client::Browser;
use crate::fixture::Api;

fn status(topic: &str, partition: i32, condition: Condition, seconds: u64) -> PartitionStatus {
    PartitionStatus {
        group: "email-send-group".to_owned(),
        topic: topic.to_owned(),
        partition,
        condition,
        lasts: Duration::from_secs(seconds),
        next: 40,
        lag: 7,
        in_flight: 3,
        held_keys: 2,
    }
}

async fn api() -> Api {
    let api = Api::with(&[]).await;
    let mut all: Vec<PartitionStatus> =
        (0..300).map(|partition| status("email.send", partition, Condition::Reading, 0)).collect();
    all[200].condition = Condition::Resting(Limit::Memory);
    all[200].lasts = Duration::from_secs(90);
    all.push(status("email.send-retry-1000", 4, Condition::Blocked(Block::Publish), 3700));
    all.push(status("email.send", 300, Condition::Draining, 0));
    // Of no plugin of this host.
    all.push(status("other", 0, Condition::Blocked(Block::Commit), 5));
    api.member.set_partitions(all);
    api
}

#[tokio::test]
async fn partitions_are_listed_with_their_state_and_those_that_are_not_read_come_first() {
    let api = api().await;
    let listed = api.found("/partitions").await;
    let all = listed["items"].as_array().expect("items");
    assert_eq!(all.len(), 302);
    let states: Vec<_> = all.iter().take(4).map(|it| &it["state"]).collect();
    assert_eq!(states, ["blocked", "resting", "draining", "reading"]);
    let blocked = &all[0];
    assert_eq!((&blocked["topic"], &blocked["partition"]), (&json!("email.send-retry-1000"), &json!(4)));
    assert_eq!(blocked["reason"], "a failed message cannot be published");
    assert_eq!((&blocked["plugin"], &blocked["lag"]), (&json!("email"), &json!(7)));
    assert_eq!((&blocked["in_progress"], &blocked["held_keys"]), (&json!(3), &json!(2)));
    let since = base::clock::now_ms() - blocked["since_ms"].as_i64().expect("a time");
    assert!((3_700_000..3_760_000).contains(&since), "{since}");
    assert_eq!((&all[3]["reason"], &all[3]["since_ms"]), (&json!(null), &json!(null)));
    assert_eq!((&all[3]["member"], &all[3]["offset"]), (&json!(null), &json!(40)), "no assignment yet");
    api.get("/partitions?limit=1").await.is_problem(400, "limit");
}

#[tokio::test]
async fn the_overview_says_which_partitions_are_not_read_and_why() {
    let api = api().await;
    let plugins = Browser::new(&api, "en").page("/").await;
    assert!(plugins.contains("1 partition, email.send-retry-1000, "), "{plugins}");
    assert!(plugins.contains("1 h ago</time>: A failed message cannot be published."), "{plugins}");
    assert!(plugins.contains("take all the memory they may have."), "{plugins}");
    let page = Browser::new(&api, "en").page("/topics").await;
    assert_eq!(page.matches("A failed message cannot be published.").count(), 2, "the strip and a row");
    assert!(page.contains("302 partitions") && page.contains("Partitions not listed: 202"), "{page}");
    assert!(page.contains("Draining") && page.contains("Held keys"), "{page}");
    let tables = page.split("id=\"topic-list\"").nth(1).expect("the tables");
    assert!(!tables.contains(">other<"), "of no plugin of this host: {page}");
    let korean = Browser::new(&api, "ko").page("/topics").await;
    assert!(
        korean.contains("파티션 302개") && korean.contains("실패한 메시지를 발행하지 못하고"),
        "{korean}"
    );
}
