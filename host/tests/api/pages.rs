//! Pages: following the cursors reads every dead letter once.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::scale;

use crate::fixture::{Api, dead_letters};

#[tokio::test]
async fn pages_lead_to_the_last_dead_letter_and_back() {
    let some = dead_letters(25);
    let newest: Vec<String> = some.iter().rev().map(|dead_letter| dead_letter.id.clone()).collect();
    let api = Api::with(&some).await;
    let (mut seen, mut path, mut pages) = (Vec::new(), "/dead-letters?limit=10".to_owned(), 0);
    let last = loop {
        let page = api.found(&path).await;
        seen.extend(ids(&page));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/dead-letters?limit=10&after={next}"),
            None => break page,
        }
    };
    assert_eq!((seen, pages), (newest.clone(), 3));
    let before = last["previous"].as_str().expect("newer ones");
    let before = api.found(&format!("/dead-letters?limit=10&before={before}")).await;
    assert_eq!(ids(&before), newest[10..20]);
    let last = api.found("/dead-letters?limit=10&last=true").await;
    assert_eq!((ids(&last), &last["next"]), (newest[15..].to_vec(), &Value::Null));
    assert!(api.found("/dead-letters?limit=500").await["next"].is_null());
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().filter_map(|dead_letter| dead_letter["id"].as_str()).map(str::to_owned).collect()
}

/// `--nocapture` prints the times; a page should take at most 100 ms.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_many_dead_letters_is_read() {
    let count: i64 = scale(5_000, 100_000);
    let some = dead_letters(count);
    let api = Api::with(&[]).await;
    let started = Instant::now();
    for some in some.chunks(1000) {
        api.desk.ingest(some).await.expect("ingested");
    }
    println!("{count} dead letters ingested in {:.1} s", started.elapsed().as_secs_f64());
    for (name, filter) in [("all", ""), ("open", "&state=open"), ("of a topic", "&topic=email.send")] {
        let mut took: Vec<Duration> = Vec::new();
        let (mut path, mut read) = (format!("/dead-letters?limit=50{filter}"), 0);
        loop {
            let started = Instant::now();
            let page = api.found(&path).await;
            took.push(started.elapsed());
            read += ids(&page).len();
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/dead-letters?limit=50{filter}&after={next}");
        }
        assert_eq!(i64::try_from(read), Ok(count), "{name}");
        let started = Instant::now();
        let last = api.found(&format!("/dead-letters?limit=50&last=true{filter}")).await;
        let jump = started.elapsed();
        assert_eq!(ids(&last).len(), 50);
        let slowest = took.iter().max().expect("pages");
        println!(
            "{name}: {} pages; first {:?}, middle {:?}, last {:?}, by last=true {jump:?}, slowest {slowest:?}",
            took.len(),
            took[0],
            took[took.len() / 2],
            took[took.len() - 1]
        );
    }
}
