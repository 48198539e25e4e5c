//! Pages: each holds what comes next, the last one too, and none takes long.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::scale;

use crate::fixture::{Api, letters};

#[tokio::test]
async fn pages_lead_to_the_last_letter_and_back() {
    let some = letters(25);
    let newest: Vec<String> = some.iter().rev().map(|letter| letter.id.clone()).collect();
    let api = Api::with(&some).await;
    let (mut seen, mut path, mut pages) = (Vec::new(), "/letters?limit=10".to_owned(), 0);
    let last = loop {
        let page = api.found(&path).await;
        seen.extend(ids(&page));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => path = format!("/letters?limit=10&after={next}"),
            None => break page,
        }
    };
    assert_eq!((seen, pages), (newest.clone(), 3));
    let before = last["previous"].as_str().expect("newer ones");
    let before = api.found(&format!("/letters?limit=10&before={before}")).await;
    assert_eq!(ids(&before), newest[10..20]);
    let last = api.found("/letters?limit=10&last=true").await;
    assert_eq!((ids(&last), &last["next"]), (newest[15..].to_vec(), &Value::Null));
    assert!(api.found("/letters?limit=500").await["next"].is_null());
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().filter_map(|letter| letter["id"].as_str()).map(str::to_owned).collect()
}

/// How long pages take is shown with `--nocapture`; the wanted bound is 100 ms.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_many_letters_is_read() {
    let count: i64 = scale(5_000, 100_000);
    let some = letters(count);
    let api = Api::with(&[]).await;
    let started = Instant::now();
    for some in some.chunks(1000) {
        api.desk.take_in(some).await.expect("taken in");
    }
    println!("{count} letters taken in within {:.1} s", started.elapsed().as_secs_f64());
    for (name, filter) in [("all", ""), ("open", "&state=open"), ("of a topic", "&topic=email.send")] {
        let mut took: Vec<Duration> = Vec::new();
        let (mut path, mut read) = (format!("/letters?limit=50{filter}"), 0);
        loop {
            let started = Instant::now();
            let page = api.found(&path).await;
            took.push(started.elapsed());
            read += ids(&page).len();
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/letters?limit=50{filter}&after={next}");
        }
        assert_eq!(i64::try_from(read), Ok(count), "{name}");
        let started = Instant::now();
        let last = api.found(&format!("/letters?limit=50&last=true{filter}")).await;
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
