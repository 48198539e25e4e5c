//! Alerts, on both databases, with a real HTTP sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use desk::Desk;
use desk::alerts::Alerts;
use desk::alerts::Channels;
use desk::alerts::Destinations;
use desk::alerts::Thresholds;
use desk::audit::Actor;
use desk_api::{DeadLetter, Filter};
use parking_lot::Mutex;
use server::serve;
use settings::OutgoingHttp;

use crate::fixture::{dead_letter, on_both};

const WAIT: i64 = 10_000;
const HOUR: i64 = 3_600_000;

/// A webhook that records its alerts.
#[derive(Clone, Default)]
struct Sink {
    received: Arc<Mutex<Vec<String>>>,
    /// Status of its answers; 0 stands for 200.
    answer: Arc<AtomicU16>,
}

impl Sink {
    async fn start(&self) -> Destinations {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let router = axum::Router::new().route("/hook", post(take)).with_state(self.clone());
        tokio::spawn(serve(listener, router, std::future::pending()));
        Destinations { webhook: Some(url.parse().expect("a URL")), mail: None, console: None }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().clone()
    }
}

async fn take(State(sink): State<Sink>, body: String) -> StatusCode {
    let answer = sink.answer.load(Ordering::Relaxed);
    if answer != 0 {
        return StatusCode::from_u16(answer).expect("a status");
    }
    let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    sink.received.lock().push(json["text"].as_str().expect("a text").to_owned());
    StatusCode::OK
}

fn alerts(desk: &Desk, destinations: &Destinations) -> Alerts {
    let channels = Channels::new(destinations, None, &OutgoingHttp::default()).expect("channels");
    Alerts::new(desk.clone(), channels, None, Thresholds::default())
}

/// The time at which these dead letters are due for an alert.
fn due(dead_letters: &[DeadLetter]) -> i64 {
    dead_letters.iter().map(|dead_letter| dead_letter.failed_ms).min().unwrap_or_default() + WAIT
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_is_one_alert_and_one_recovery() {
    on_both(async |desk| {
        let sink = Sink::default();
        let destinations = sink.start().await;
        let alerts = alerts(&desk, &destinations);
        let dead_letters: Vec<DeadLetter> =
            (0..10_000).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        let now = due(&dead_letters);
        desk.ingest(&dead_letters[..3]).await.expect("ingested");
        assert_eq!(alerts.check(now - 1).await.expect("a check"), 0, "alerts are delayed to be grouped");
        for some in dead_letters.chunks(1000) {
            desk.ingest(some).await.expect("ingested");
        }
        for later in 0..50 {
            alerts.check(now + later * 1000).await.expect("a check");
        }
        let received = sink.received();
        assert_eq!(received.len(), 1, "{received:?}");
        assert!(
            received[0].contains("1 new failure") && received[0].contains("10000 open dead letters"),
            "{received:?}"
        );
        let by = Actor { name: "kim", reason: "fixed", now_ms: now };
        assert_eq!(desk.discard(&Filter::default(), by).await.expect("discarded"), 10_000);
        for later in 50..100 {
            alerts.check(now + later * 1000).await.expect("a check");
        }
        let received = sink.received();
        assert!(received.len() == 2 && received[1].contains("RECOVERED: bad-address"), "{received:?}");
        // A failure that returns soon is not reported again before the pause is over.
        desk.restore(&Filter::default(), by).await.expect("restored");
        alerts.check(now + HOUR).await.expect("a check");
        assert_eq!(sink.received().len(), 2);
        alerts.check(now + 100_000 + HOUR).await.expect("a check");
        assert!(
            sink.received().last().expect("an alert").contains("NEW: bad-address"),
            "{:?}",
            sink.received()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_hosts_sends_the_alert() {
    on_both(async |desk| {
        let sink = Sink::default();
        let destinations = sink.start().await;
        let dead_letters: Vec<DeadLetter> =
            (0..40).map(|offset| dead_letter(offset, &format!("code-{}", offset % 20), "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        let now = due(&dead_letters) + 1000;
        let hosts: Vec<_> = (0..8)
            .map(|_| {
                let alerts = alerts(&desk, &destinations);
                tokio::spawn(async move {
                    for later in 0..5 {
                        alerts.check(now + later).await.expect("a check");
                    }
                })
            })
            .collect();
        for host in hosts {
            host.await.expect("no panic");
        }
        let received = sink.received();
        assert!(received.len() == 1 && received[0].contains("20 new failures"), "{received:?}");
        assert!(received[0].contains("… and 10 more new failures"), "{received:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_alert_is_sent_later_and_once() {
    on_both(async |desk| {
        let sink = Sink::default();
        let destinations = sink.start().await;
        let alerts = alerts(&desk, &destinations);
        let dead_letters = [dead_letter(1, "bad-address", "d1")];
        desk.ingest(&dead_letters).await.expect("ingested");
        sink.answer.store(503, Ordering::Relaxed);
        let now = base::clock::now_ms().max(due(&dead_letters));
        assert_eq!(alerts.check(now).await.expect("a check"), 0);
        assert_eq!(alerts.check(now).await.expect("a check"), 0, "not at once");
        sink.answer.store(0, Ordering::Relaxed);
        // Another process does it after the pause.
        let again = self::alerts(&desk, &destinations);
        assert_eq!(again.check(now + 600_000).await.expect("a check"), 1);
        assert_eq!(again.check(now + 1_200_000).await.expect("a check"), 0);
        assert_eq!(sink.received().len(), 1);
        // A rejected alert is not sent again.
        sink.answer.store(404, Ordering::Relaxed);
        let other = [dead_letter(2, "another", "d1")];
        desk.ingest(&other).await.expect("ingested");
        assert_eq!(alerts.check(now + 1_300_000).await.expect("a check"), 0);
        sink.answer.store(0, Ordering::Relaxed);
        assert_eq!(alerts.check(now + 9_000_000).await.expect("a check"), 0);
        assert_eq!(sink.received().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_does_not_wait_for_a_clock_that_was_set_back() {
    on_both(async |desk| {
        let sink = Sink::default();
        let destinations = sink.start().await;
        let alerts = alerts(&desk, &destinations);
        let dead_letters = [dead_letter(1, "bad-address", "d1")];
        desk.ingest(&dead_letters).await.expect("ingested");
        sink.answer.store(503, Ordering::Relaxed);
        let now = base::clock::now_ms().max(due(&dead_letters));
        assert_eq!(alerts.check(now).await.expect("a check"), 0);
        sink.answer.store(0, Ordering::Relaxed);
        assert_eq!(alerts.check(now - HOUR / 2).await.expect("a check"), 0, "a server may ask for an hour");
        assert_eq!(alerts.check(now - 9 * HOUR).await.expect("a check"), 1);
        assert_eq!(sink.received().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_about_which_there_is_nothing_to_say_are_not_read() {
    const FAILURES: i64 = 1200;
    on_both(async |desk| {
        let sink = Sink::default();
        let destinations = sink.start().await;
        let alerts = alerts(&desk, &destinations);
        let code = |number: i64| format!("code-{number}");
        let dead_letters: Vec<DeadLetter> =
            (0..FAILURES).map(|number| dead_letter(number, &code(number), "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        let now = dead_letters.iter().map(|dead_letter| dead_letter.failed_ms).max().expect("some") + WAIT;
        let due = async |now_ms| alerts.due(now_ms).await.expect("the failures").len();
        // A check reports 500 of them at most, and the next one the others.
        for left in [1200, 700, 200] {
            assert_eq!(due(now).await, left.min(500));
            alerts.check(now).await.expect("a check");
        }
        assert_eq!((due(now).await, sink.received().len()), (0, 3));
        assert_eq!(due(now + HOUR).await, 0, "none has grown");
        let more: Vec<DeadLetter> =
            (0..9).map(|number| dead_letter(FAILURES + number, &code(7), "d1")).collect();
        desk.ingest(&more).await.expect("ingested");
        assert_eq!((due(now + HOUR - 1).await, due(now + HOUR).await), (0, 1), "ten times as many");
        assert_eq!(due(now + 24 * HOUR).await, 500, "all are old");
        let by = Actor { name: "kim", reason: "fixed", now_ms: now };
        let filter = Filter { code: Some(code(3)), ..Filter::default() };
        desk.discard(&filter, by).await.expect("discarded");
        assert_eq!(due(now).await, 1, "a recovery");
    })
    .await;
}
