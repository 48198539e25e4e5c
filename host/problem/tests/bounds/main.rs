//! The bounds of the server, from the other end of a real connection.

mod client;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use problem::Problem;
use problem::body::{self, ReadError};
use problem::server::{Bounds, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;

/// The bounds that most tests wait for.
const SHORT: Duration = Duration::from_millis(400);
/// Pauses that must stay below `SHORT` on a busy machine.
const STEP: Duration = Duration::from_millis(100);
/// Bounds that a test must not meet.
const LONG: Duration = Duration::from_secs(60);
const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

fn bounds() -> Bounds {
    Bounds {
        max_connections: 16,
        header_timeout: LONG,
        idle_timeout: LONG,
        max_header_bytes: 8 * 1024,
        body_timeout: LONG,
        drain_timeout: LONG,
    }
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

impl Server {
    async fn start(bounds: Bounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, router(), bounds, async { drop(stopped.await) }));
        Self { address, stop, task }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("connection"))
    }

    /// Shuts down; the number of connections left open and how long it took.
    async fn stop(self) -> (usize, Duration) {
        let started = Instant::now();
        drop(self.stop);
        let left = timeout(LONG, self.task).await.expect("an end").expect("no panic");
        (left, started.elapsed())
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/slow", get(async || sleep(3 * SHORT).await))
        .route("/stream", get(async || Body::from_stream(ticks(12))))
        .route("/endless", get(async || Body::from_stream(ticks(usize::MAX))))
        .route("/upload", post(upload))
        .route(
            "/late-upload",
            post(async |body: Body| {
                sleep(3 * SHORT).await;
                upload(body).await
            }),
        )
        .route("/refuse", post(refuse))
}

/// A dot every `STEP`.
fn ticks(count: usize) -> impl stream::Stream<Item = Result<&'static str, Infallible>> {
    stream::unfold(0, move |sent| async move {
        sleep(STEP).await;
        (sent < count).then_some((Ok("."), sent + 1))
    })
}

async fn upload(mut body: Body) -> Response {
    let declared = axum::body::HttpBody::size_hint(&body).lower();
    let mut length = 0;
    loop {
        match body::next(&mut body, Instant::now() + LONG).await {
            Ok(Some(data)) => length += data.len(),
            Ok(None) => return format!("{length} of {declared}").into_response(),
            Err(error) => {
                let status = match error {
                    ReadError::TimedOut => StatusCode::REQUEST_TIMEOUT,
                    ReadError::Incomplete => StatusCode::BAD_REQUEST,
                };
                return Problem::new(status, error.to_string()).into_response();
            }
        }
    }
}

/// Refuses a body, but takes up to 4 bytes of it before that.
async fn refuse(mut body: Body) -> Problem {
    body::drain(&mut body, 4, SHORT).await;
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too large")
}

#[tokio::test]
async fn slow_headers_end_the_connection() {
    let server = Server::start(Bounds { header_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    let started = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ").await;
    let (mut read, mut write) = client.0.split();
    let drip = async {
        // Every byte is in time; all of them are not.
        while write.write_all(b"x").await.is_ok() {
            sleep(STEP).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    let closed = async { timeout(LONG, read.read_to_end(&mut answer)).await.expect("closed in time") };
    tokio::select! {
        () = drip => {}
        result = closed => assert!(result.map_or_else(|e| e.kind() == ErrorKind::ConnectionReset, |n| n == 0)),
    }
    assert!(started.elapsed() >= SHORT, "{:?}", started.elapsed());
    assert!(started.elapsed() < LONG / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = Server::start(Bounds { header_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    let started = Instant::now();
    assert_eq!(client.read_all().await, "");
    assert!((SHORT..LONG / 2).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_timeout_and_then_closed() {
    let server = Server::start(Bounds { idle_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    // Together longer than the timeout, each pause shorter.
    for _ in 0..8 {
        client.get().await;
        sleep(STEP).await;
    }
    client.get().await;
    let idle = Instant::now();
    assert_eq!(client.read_all().await, "");
    assert!((SHORT / 2..LONG / 2).contains(&idle.elapsed()), "{:?}", idle.elapsed());
}

#[tokio::test]
async fn an_idle_connection_outlives_the_timeout_of_unfinished_headers() {
    let server = Server::start(Bounds { header_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    for body in ["", "POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nok"] {
        client.send(body).await;
        if !body.is_empty() {
            client.read_to("2 of 2").await;
        }
        client.get().await;
        assert!(client.is_silent(3 * SHORT).await, "closed while it was idle");
    }
    client.get().await;
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(client.read_all().await, "");
    assert!((SHORT / 2..LONG / 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[test]
fn by_default_an_idle_connection_outlives_those_of_load_balancers() {
    let Bounds { idle_timeout, header_timeout, .. } = Bounds::default();
    assert!(idle_timeout > Duration::from_secs(60) && header_timeout <= Duration::from_secs(30));
}

#[tokio::test]
async fn requests_above_the_maximum_wait_for_a_place() {
    const ENDLESS: &str = "GET /endless HTTP/1.1\r\nHost: test\r\n\r\n";
    let server = Server::start(Bounds { max_connections: 2, ..bounds() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for client in [&mut first, &mut second] {
        client.send(ENDLESS).await;
        client.read_to("1\r\n.\r\n").await;
    }
    let mut third = server.connect().await;
    third.send(GET).await;
    assert!(third.is_silent(SHORT).await, "there is no place for a third");
    second.read_to("1\r\n.\r\n").await;
    drop(first);
    assert!(third.read_to("\r\n\r\nok").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_without_a_request_makes_room_for_a_new_one() {
    let server = Server::start(Bounds { max_connections: 3, ..bounds() }).await;
    let (mut busy, mut half, mut idle) =
        (server.connect().await, server.connect().await, server.connect().await);
    busy.send("GET /endless HTTP/1.1\r\nHost: test\r\n\r\n").await;
    busy.read_to("1\r\n.\r\n").await;
    half.send("GET / HTTP/1.1\r\nX-Half").await;
    idle.get().await;
    // The longest wait ends first; requests in progress are not touched.
    let mut fourth = server.connect().await;
    fourth.get().await;
    assert_eq!(half.read_all().await, "");
    let mut fifth = server.connect().await;
    fifth.get().await;
    assert_eq!(idle.read_all().await, "");
    fourth.get().await;
    fifth.get().await;
    busy.read_to("1\r\n.\r\n").await;
}

#[tokio::test]
async fn a_place_is_free_when_the_requests_that_held_all_of_them_end() {
    let server = Server::start(Bounds { max_connections: 1, ..bounds() }).await;
    let mut first = server.connect().await;
    first.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").await;
    first.read_to("1\r\n.\r\n").await;
    let mut second = server.connect().await;
    second.get().await;
    assert!(first.read_all().await.ends_with("\r\n0\r\n\r\n"), "the request was finished before");
}

#[tokio::test]
async fn oversized_headers_are_refused() {
    let server = Server::start(bounds()).await;
    let request =
        |length: usize| format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(length));
    let mut client = server.connect().await;
    client.send(&request(7 * 1024)).await;
    assert!(client.read_to("\r\n\r\nok").await.starts_with("HTTP/1.1 200"));
    client.send(&request(9 * 1024)).await;
    let answer = client.read_all().await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut other = server.connect().await;
    other.send(&"x".repeat(9 * 1024)).await;
    let answer = other.read_all().await;
    assert!(answer.starts_with("HTTP/1.1 4"), "a request line without an end: {answer}");
}

#[tokio::test]
async fn long_responses_are_not_cut() {
    let server = Server::start(Bounds { header_timeout: SHORT, body_timeout: SHORT, ..bounds() }).await;
    let (mut slow, mut stream) = (server.connect().await, server.connect().await);
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n").await;
    stream.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let answer = slow.read_to("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = stream.read_to("\r\n0\r\n\r\n").await;
    assert_eq!(answer.matches("1\r\n.\r\n").count(), 12, "{answer}");
    // Both connections are good for another request.
    slow.get().await;
    stream.get().await;
}

#[tokio::test]
async fn a_body_that_stops_arriving_times_out() {
    let server = Server::start(Bounds { body_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    client.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nsome").await;
    let started = Instant::now();
    let answer = client.read_to("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!((SHORT / 2..LONG / 2).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_body_that_keeps_arriving_is_read_however_long_it_takes() {
    let server = Server::start(Bounds { header_timeout: SHORT, body_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    client.send("POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 12\r\n\r\n").await;
    for _ in 0..12 {
        sleep(STEP).await;
        client.send("x").await;
    }
    let answer = client.read_to("12 of 12").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_waits_for_its_handler_is_not_late() {
    let server = Server::start(Bounds { body_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    client.send("POST /late-upload HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nsome").await;
    let answer = client.read_to("4 of 4").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn draining_ends_with_the_body_its_bytes_or_its_time() {
    let server = Server::start(bounds()).await;
    // The declared length, the pieces sent, and whether the response has to wait for the timeout.
    for (length, pieces, waits) in
        [(3, vec!["123"], false), (9, vec!["123", "45"], false), (9, vec!["123"], true)]
    {
        let mut client = server.connect().await;
        let started = Instant::now();
        client
            .send(&format!("POST /refuse HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"))
            .await;
        for piece in &pieces {
            client.send(piece).await;
            sleep(STEP).await;
        }
        let answer = client.read_to("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert_eq!(started.elapsed() >= SHORT, waits, "{pieces:?}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_body_cut_short_is_incomplete() {
    let server = Server::start(bounds()).await;
    let mut client = server.connect().await;
    client
        .send("POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nno chunk size\r\n")
        .await;
    let answer = client.read_to("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn shutdown_finishes_requests_in_progress_and_closes_the_rest() {
    let server = Server::start(bounds()).await;
    let address = server.address;
    let (mut idle, mut busy, mut silent) =
        (server.connect().await, server.connect().await, server.connect().await);
    idle.get().await;
    busy.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n").await;
    sleep(STEP).await;
    let stop = tokio::spawn(server.stop());
    assert_eq!(idle.read_all().await, "");
    assert_eq!(silent.read_all().await, "");
    assert!(!stop.is_finished(), "a request is in progress");
    assert!(TcpStream::connect(address).await.is_err(), "the port is free");
    let answer = busy.read_all().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(stop.await.expect("no panic").0, 0);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_an_endless_response() {
    let server = Server::start(Bounds { drain_timeout: SHORT, ..bounds() }).await;
    let mut client = server.connect().await;
    client.send("GET /endless HTTP/1.1\r\nHost: test\r\n\r\n").await;
    client.read_to("1\r\n.\r\n").await;
    let (left, took) = server.stop().await;
    assert_eq!(left, 1);
    assert!((SHORT..LONG / 2).contains(&took), "{took:?}");
    client.read_to("1\r\n.\r\n").await;
}
