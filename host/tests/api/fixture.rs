//! A desk with some dead letters, and a client of its API.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use consumer::Gate;
use desk::Desk;
use desk::pauses::Pauses;
use desk::record;
use desk::record::Record;
use desk::replay::Replayer;
use desk::replay::Route;
use desk_api::{DeadLetter, Location, Setting, SettingTable};
use destinations::{Destinations, Options};
use http_body_util::BodyExt as _;
use kafka::decisions::{self, Decisions};
use kafka::health::Health;
use kafka::publisher::{Destination, Publisher};
use kafka::waiting::Waiting;
use serde_json::Value;
use server::guard::AccessPolicy;
use server::history::History;
use server::{DeskState, PluginInfo, PluginWaiting, Status, api};
use settings::KafkaArgs;
use store::{Store, StoreUrl};
use tower::ServiceExt as _;
use trials::Trials;

/// Time at which the first message was dead-lettered.
pub const NOW: i64 = 1_795_435_410_000;

/// How long the ledger keeps effects.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Checks that it is a problem document with this status, whose detail contains this text.
    #[track_caller]
    pub fn is_problem(&self, status: u16, expected_text: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].is_string() && problem["title"].is_string());
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(expected_text), "no {expected_text:?} in {detail:?}");
    }
}

/// An API over a desk of its own.
pub struct Api {
    /// The desk.
    pub desk: Desk,
    /// The store of the desk.
    pub store: Store,
    /// The API and the console.
    pub router: Router,
    /// The gate of the plugin.
    pub gate: Arc<Gate>,
    /// The health of the plugin's consumer group member.
    pub member: Arc<Health>,
    /// What the plugin did.
    pub history: Arc<History>,
    directory: PathBuf,
}

impl Api {
    /// Starts an API with these dead letters and no token.
    pub async fn with(dead_letters: &[DeadLetter]) -> Self {
        Self::start(dead_letters, None, "127.0.0.1:1").await
    }

    /// Starts an API with a token and a Kafka.
    pub async fn start(dead_letters: &[DeadLetter], token: Option<&str>, kafka: &str) -> Self {
        Self::open(dead_letters, token, kafka, |desk| Trials::new(desk, vec![])).await
    }

    /// Starts an API with these trials.
    pub async fn with_trials(dead_letters: &[DeadLetter], trials: impl FnOnce(Desk) -> Trials) -> Self {
        Self::open(dead_letters, None, "127.0.0.1:1", trials).await
    }

    /// Starts an API without dead letters, with a Kafka and a store; without a URL, the store is a SQLite file.
    pub async fn on(store: Option<&str>, kafka: &str) -> Self {
        Self::open_in(store, &[], None, kafka, |desk| Trials::new(desk, vec![])).await
    }

    async fn open(
        dead_letters: &[DeadLetter],
        token: Option<&str>,
        kafka: &str,
        trials: impl FnOnce(Desk) -> Trials,
    ) -> Self {
        Self::open_in(None, dead_letters, token, kafka, trials).await
    }

    async fn open_in(
        store: Option<&str>,
        dead_letters: &[DeadLetter],
        token: Option<&str>,
        kafka: &str,
        trials: impl FnOnce(Desk) -> Trials,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("host-api-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let url = store.map_or_else(|| format!("sqlite:{}/host.db", directory.display()), str::to_owned);
        let store = Store::open(StoreUrl::parse(&url).expect("a URL")).await.expect("a store");
        let desk = Desk::open(&store).await.expect("a desk");
        desk.ingest(dead_letters).await.expect("ingested");
        let status = Status::default();
        let kafka = kafka_at(kafka);
        let publisher = Arc::new(Publisher::new(&kafka).expect("a producer"));
        // No worker runs: replays keep the state they are created with.
        let gate = Gate::new(&served().name, NonZeroU32::new(1));
        let route = route(&served(), &gate);
        let replayer = Replayer::new(desk.clone(), kafka.clone(), publisher, vec![route], WEEK);
        let pauses = Pauses::new(desk.clone(), vec![Arc::clone(&gate)]);
        let member = Arc::new(Health::default());
        let (plugins, members) = (Arc::from([served()]), Arc::from([Arc::clone(&member)]));
        let history = History::new(&plugins, &members);
        member.set_group(&served().group);
        member.beat();
        member.join(None);
        status.set_kafka(&kafka.bootstrap_servers);
        status.set_members(vec![Arc::clone(&member)]);
        status.set_gates(vec![Arc::clone(&gate)]);
        let trials = trials(desk.clone());
        status.set_desk(DeskState {
            desk: desk.clone(),
            plugins,
            members,
            destinations: destinations().await,
            replayer,
            trials,
            alerts: None,
            pauses,
            held_keys: [].into(),
            waiting: [waiting(&kafka)].into(),
            settings: settings().into(),
            topic_settings: Arc::default(),
            groups: server::group_inquiry(&kafka),
            history: Arc::clone(&history),
        });
        let access = AccessPolicy::new(token);
        let router = api::router(status.clone(), access.clone());
        let router = router.merge(console::router(status.clone(), access)).merge(server::router(status));
        Self { desk, store, router, gate, member, history, directory }
    }

    /// Sends a request as a client on this machine.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        ask(&self.router, method, path, headers, body).await
    }

    /// GET below the API's base.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], Body::empty()).await
    }

    /// GET that must succeed, as JSON.
    #[track_caller]
    pub fn found(&self, path: &str) -> impl Future<Output = Value> {
        let (router, path) = (self.router.clone(), path.to_owned());
        async move {
            let answer = ask(&router, "GET", &path, &[], Body::empty()).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            answer.json()
        }
    }

    /// POST of JSON below the API's base.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Sends a request to a router.
pub async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8081");
    }
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    let request = request.body(body.into()).expect("a request");
    let answer = router.clone().oneshot(request).await.expect("an answer");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
    let answer = Answer { status: head.status.as_u16(), headers: head.headers, body };
    // No browser may cache an answer or guess its media type.
    assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    answer
}

/// The settings of a Kafka client for this address.
pub fn kafka_at(servers: &str) -> KafkaArgs {
    KafkaArgs {
        bootstrap_servers: servers.to_owned(),
        properties: Vec::new(),
        environment_properties: None,
        file_properties: Vec::new(),
    }
}

/// The retries of the plugin, on a Kafka that is away unless the test has one.
fn waiting(kafka: &KafkaArgs) -> PluginWaiting {
    let PluginInfo { name, topic, group, retry_group, retry_topics, .. } = served();
    let decided = Destination::new(&decisions::topic_of(&topic), 1).expect("a topic");
    PluginWaiting {
        plugin: name,
        source: topic,
        delays_ms: [1000, 2000].into(),
        waiting: Waiting::new(kafka, &group, &retry_group, retry_topics),
        decisions: Some(Decisions::new(&group, decided)),
        publisher: Arc::new(Publisher::new(kafka).expect("a producer")),
        kafka: kafka.clone(),
        creates_topics: true,
    }
}

/// A mail server that is away.
async fn destinations() -> Destinations {
    let options = Options { max: 10, per_minute: None, breaker: Some(1) };
    let all = Destinations::default();
    let server = all.get_or_add("smtp://mail.example:25", Some(options), options).expect("new");
    server.reserve(1).await.enter().await.expect("room").failed("connection <b>refused</b>");
    all
}

/// The effective configuration.
fn settings() -> Vec<SettingTable> {
    let setting = |key: &str, value: &str| Setting {
        key: key.to_owned(),
        value: value.to_owned(),
        origin: "default".to_owned(),
    };
    let kafka = vec![setting("bootstrap-servers", "\"127.0.0.1:1\"")];
    vec![SettingTable { heading: "[kafka]".to_owned(), remark: String::new(), settings: kafka }]
}

fn served() -> PluginInfo {
    PluginInfo {
        name: "email".into(),
        label: "email@0.1.0".to_owned(),
        topic: "email.send".to_owned(),
        group: "email-send-group".to_owned(),
        retry_group: "email-send-group-retry".to_owned(),
        retry_topics: vec!["email.send-retry-1000".to_owned(), "email.send-retry-2000".to_owned()],
        pipeline: Weak::new(),
    }
}

fn route(served: &PluginInfo, gate: &Arc<Gate>) -> Route {
    Route {
        topic: served.topic.clone(),
        group: served.group.clone(),
        plugin: served.label.clone(),
        retry: Destination::new(&served.retry_topics[0], 1),
        dead_letter: format!("{}.dlt", served.topic),
        in_place: false,
        gate: Arc::clone(gate),
    }
}

/// A dead letter of this host, dead-lettered `offset` milliseconds after [`NOW`].
pub fn dead_letter(offset: i64, code: &str) -> DeadLetter {
    let headers: Vec<(&str, Vec<u8>)> = vec![
        ("kafka_original-topic", b"email.send".to_vec()),
        ("kafka_original-partition", 2_i32.to_be_bytes().to_vec()),
        ("kafka_original-offset", offset.to_be_bytes().to_vec()),
        ("kafka_original-timestamp", (NOW - 5000).to_be_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", b"email-send-group".to_vec()),
        ("kafka_exception-fqcn", b"consumer.plugin.Reject".to_vec()),
        ("kafka_exception-cause-fqcn", code.as_bytes().to_vec()),
        ("kafka_exception-message", b"no such <script>mailbox</script>".to_vec()),
        ("host-attempts", b"6".to_vec()),
        ("host-failure-code", code.as_bytes().to_vec()),
        ("host-plugin", b"email@0.1.0".to_vec()),
        ("host-plugin-digest", b"d1".to_vec()),
        ("sender", vec![0, 255]),
    ];
    let record = Record {
        location: Location { topic: "email.send.dlt".to_owned(), partition: 0, offset },
        timestamp_ms: NOW + offset,
        key: Some(vec![0, 1, 254]),
        value: Some(format!("{{\"to\":\"user{offset}@example.com\"}}").into_bytes()),
        headers: headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), Some(value))).collect(),
    };
    record::dead_letter(record, NOW)
}

/// `count` dead letters with one failure code.
pub fn dead_letters(count: i64) -> Vec<DeadLetter> {
    (0..count).map(|offset| dead_letter(offset, "bad-address")).collect()
}
