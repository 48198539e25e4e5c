//! What people are told, on both databases, with a real HTTP sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use desk::actions::By;
use desk::alerts::{Alerts, Channels, Places, Thresholds};
use desk::{Desk, Filter, Letter};
use parking_lot::Mutex;
use server::serve;

use crate::desk::{letter, on_both};

const WAIT: i64 = 10_000;
const HOUR: i64 = 3_600_000;

/// A webhook that keeps what it is told.
#[derive(Clone, Default)]
struct Sink {
    told: Arc<Mutex<Vec<String>>>,
    /// What it answers; 0 is 200.
    answer: Arc<AtomicU16>,
}

impl Sink {
    async fn start(&self) -> Places {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let router = axum::Router::new().route("/hook", post(take)).with_state(self.clone());
        tokio::spawn(serve(listener, router, std::future::pending()));
        Places { webhook: Some(url.parse().expect("a URL")), mail: None, console: None }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().clone()
    }
}

async fn take(State(sink): State<Sink>, body: String) -> StatusCode {
    let answer = sink.answer.load(Ordering::Relaxed);
    if answer != 0 {
        return StatusCode::from_u16(answer).expect("a status");
    }
    let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    sink.told.lock().push(json["text"].as_str().expect("a text").to_owned());
    StatusCode::OK
}

fn alerts(desk: &Desk, places: &Places) -> Alerts {
    let channels = Channels::new(places, None).expect("channels");
    Alerts::new(desk.clone(), channels, None, Thresholds::default())
}

/// The moment when the letters have waited long enough to be told of.
fn due(letters: &[Letter]) -> i64 {
    letters.iter().map(|letter| letter.failed_ms).min().unwrap_or_default() + WAIT
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_one_alert_and_one_recovery() {
    on_both(async |desk| {
        let sink = Sink::default();
        let places = sink.start().await;
        let alerts = alerts(&desk, &places);
        let letters: Vec<Letter> = (0..10_000).map(|offset| letter(offset, "bad-address", "d1")).collect();
        let now = due(&letters);
        desk.take_in(&letters[..3]).await.expect("taken");
        assert_eq!(alerts.turn(now - 1).await.expect("a turn"), 0, "it waits for more");
        for some in letters.chunks(1000) {
            desk.take_in(some).await.expect("taken");
        }
        for later in 0..50 {
            alerts.turn(now + later * 1000).await.expect("a turn");
        }
        let told = sink.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("1 new failure") && told[0].contains("10000 open letters"), "{told:?}");
        let by = By { who: "kim", reason: "mended", now_ms: now };
        assert_eq!(desk.discard(&Filter::default(), by).await.expect("discarded"), 10_000);
        for later in 50..100 {
            alerts.turn(now + later * 1000).await.expect("a turn");
        }
        let told = sink.told();
        assert!(told.len() == 2 && told[1].contains("RECOVERED: bad-address"), "{told:?}");
        // What fails again soon is not told again sooner.
        desk.restore(&Filter::default(), by).await.expect("restored");
        alerts.turn(now + HOUR).await.expect("a turn");
        assert_eq!(sink.told().len(), 2);
        alerts.turn(now + 100_000 + HOUR).await.expect("a turn");
        assert!(sink.told().last().expect("told").contains("NEW: bad-address"), "{:?}", sink.told());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_hosts_one_tells() {
    on_both(async |desk| {
        let sink = Sink::default();
        let places = sink.start().await;
        let letters: Vec<Letter> =
            (0..40).map(|offset| letter(offset, &format!("code-{}", offset % 20), "d1")).collect();
        desk.take_in(&letters).await.expect("taken");
        let now = due(&letters) + 1000;
        let hosts: Vec<_> = (0..8)
            .map(|_| {
                let alerts = alerts(&desk, &places);
                tokio::spawn(async move {
                    for later in 0..5 {
                        alerts.turn(now + later).await.expect("a turn");
                    }
                })
            })
            .collect();
        for host in hosts {
            host.await.expect("no panic");
        }
        let told = sink.told();
        assert!(told.len() == 1 && told[0].contains("20 new failures"), "{told:?}");
        assert!(told[0].contains("… and 10 new failures"), "{told:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_channel_does_not_take_is_told_later_and_once() {
    on_both(async |desk| {
        let sink = Sink::default();
        let places = sink.start().await;
        let alerts = alerts(&desk, &places);
        let letters = [letter(1, "bad-address", "d1")];
        desk.take_in(&letters).await.expect("taken");
        sink.answer.store(503, Ordering::Relaxed);
        let now = base::clock::now_ms().max(due(&letters));
        assert_eq!(alerts.turn(now).await.expect("a turn"), 0);
        assert_eq!(alerts.turn(now).await.expect("a turn"), 0, "not at once");
        sink.answer.store(0, Ordering::Relaxed);
        // As another process would, after the pause.
        let again = self::alerts(&desk, &places);
        assert_eq!(again.turn(now + 600_000).await.expect("a turn"), 1);
        assert_eq!(again.turn(now + 1_200_000).await.expect("a turn"), 0);
        assert_eq!(sink.told().len(), 1);
        // What is refused for good is given up.
        sink.answer.store(404, Ordering::Relaxed);
        let other = [letter(2, "another", "d1")];
        desk.take_in(&other).await.expect("taken");
        assert_eq!(alerts.turn(now + 1_300_000).await.expect("a turn"), 0);
        sink.answer.store(0, Ordering::Relaxed);
        assert_eq!(alerts.turn(now + 9_000_000).await.expect("a turn"), 0);
        assert_eq!(sink.told().len(), 1);
    })
    .await;
}
