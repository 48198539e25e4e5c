//! The HTTP API on an embedded broker: responses and published records.

use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use producer::{EMAIL_TOPIC, SMS_TOPIC, Settings};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::{Value, json};
use testkit::{Response, eventually};
use tokio::sync::oneshot;

const EMAILS: &str = "/api/emails/send";
const SMS: &str = "/api/sms/send";
const VALID: &str = r#"{"from":"a@example.com","to":"b@example.com","subject":"제목","body":"내용"}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

/// The producer in this process, on an embedded broker of its own.
struct Service {
    broker: MockCluster<'static, DefaultProducerContext>,
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Service {
    fn start() -> Self {
        Self::start_with(|_| {}, &[])
    }

    fn start_with(
        prepare: impl FnOnce(&MockCluster<'static, DefaultProducerContext>),
        properties: &[(&str, &str)],
    ) -> Self {
        let broker = MockCluster::new(1).expect("embedded broker");
        for topic in [EMAIL_TOPIC, SMS_TOPIC] {
            broker.create_topic(topic, 1, 1).expect("topic");
        }
        prepare(&broker);
        let mut settings = Settings::new(broker.bootstrap_servers());
        settings.timeout = Duration::from_secs(3);
        settings.properties =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        listener.set_nonblocking(true).expect("nonblocking");
        let port = listener.local_addr().expect("address").port();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                producer::serve(listener, &settings, async { drop(stopped.await) }).await
            })
        });
        Self { broker, port, stop: Some(stop), thread: Some(thread) }
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        testkit::request(self.port, "POST", path, headers, body).expect("an answer")
    }

    fn end(&mut self) -> anyhow::Result<()> {
        drop(self.stop.take());
        self.thread.take().expect("ended once").join().expect("no panic")
    }

    /// Key, value and headers of the first `count` records of a topic.
    fn records(&self, topic: &str, count: usize) -> Vec<Record> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.broker.bootstrap_servers())
            .set("group.id", "test")
            .create()
            .expect("consumer");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(topic, 0, Offset::Beginning).expect("partition");
        consumer.assign(&partitions).expect("assigned");
        let next = || consumer.poll(Duration::from_secs(20)).expect("a record").expect("no error");
        (0..count)
            .map(|_| {
                let record = next().detach();
                let headers = record.headers().into_iter().flat_map(Headers::iter);
                Record {
                    key: record.key().map(<[u8]>::to_vec),
                    value: String::from_utf8(record.payload().expect("value").to_vec()).expect("text"),
                    headers: headers
                        .map(|header| {
                            let value = header.value.unwrap_or_default();
                            (header.key.to_owned(), String::from_utf8_lossy(value).into_owned())
                        })
                        .collect(),
                }
            })
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.thread.is_some() && !std::thread::panicking() {
            self.end().expect("a clean end");
        }
    }
}

#[derive(Debug)]
struct Record {
    key: Option<Vec<u8>>,
    value: String,
    headers: Vec<(String, String)>,
}

#[track_caller]
fn problem(response: &Response, status: u16) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let document: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(document["status"], status);
    assert_eq!(document["type"], "about:blank");
    assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
    document
}

#[test]
fn an_accepted_message_is_published_and_answered_in_plain_text() {
    let service = Service::start();
    let email = service.post(EMAILS, &[JSON], VALID.as_bytes());
    assert_eq!((email.status, email.text().as_str()), (200, "이메일 발송 요청 완료"));
    assert_eq!(email.header("content-type"), Some("text/plain; charset=utf-8"));
    let sms = service.post(
        SMS,
        &[JSON, ("accept", "*/*")],
        r#"{"to":"010-1234-5678","from":"MY SHOP","x":1}"#.as_bytes(),
    );
    assert_eq!((sms.status, sms.text().as_str()), (200, "SMS 발송 요청 완료"));

    let records = service.records(EMAIL_TOPIC, 1);
    assert_eq!((&records[0].key, records[0].value.as_str()), (&None, VALID));
    let [(name, id)] = records[0].headers.as_slice() else { panic!("{records:?}") };
    assert_eq!((name.as_str(), id.len()), ("host-id", 36));
    assert_eq!(
        service.records(SMS_TOPIC, 1)[0].value,
        r#"{"from":"MY SHOP","to":"010-1234-5678","body":""}"#
    );
}

#[test]
fn a_charset_by_its_other_name_and_a_byte_order_mark_are_accepted() {
    let service = Service::start();
    let utf8 = [("content-type", "application/json; charset=utf8")];
    assert_eq!(service.post(EMAILS, &utf8, VALID.as_bytes()).status, 200);
    assert_eq!(service.post(EMAILS, &[JSON], format!("\u{feff}{VALID}").as_bytes()).status, 200);
    let records = service.records(EMAIL_TOPIC, 2);
    assert_eq!(records[0].value, records[1].value);
    problem(&service.post(EMAILS, &[JSON], format!("\u{feff}\u{feff}{VALID}").as_bytes()), 400);
    let other = [("content-type", "application/json; charset=euc-kr")];
    let document = problem(&service.post(EMAILS, &other, VALID.as_bytes()), 415);
    assert!(document["detail"].as_str().is_some_and(|detail| detail.contains("utf-8")), "{document}");
}

#[test]
fn addresses_and_numbers_are_published_as_they_were_written() {
    let service = Service::start();
    let email = r#"{"from":"\"Shop\" <a@bücher.de>","to":"<b@c>, d@e","subject":"","body":""}"#;
    assert_eq!(service.post(EMAILS, &[JSON], email.as_bytes()).status, 200);
    assert_eq!(service.records(EMAIL_TOPIC, 1)[0].value, email);
    let sms = "{\"from\":\"tel:+82 2 930 2266\",\"to\":\"010\u{2011}1234\u{2011}5678\",\"body\":\"\"}";
    assert_eq!(service.post(SMS, &[JSON], sms.as_bytes()).status, 200);
    assert_eq!(service.records(SMS_TOPIC, 1)[0].value, sms);
}

#[test]
fn a_json_response_has_the_location_of_the_record() {
    let service = Service::start();
    for offset in 0..2 {
        let key = format!("\"order-{offset}\"");
        let headers = [JSON, ("accept", "application/json"), ("idempotency-key", &key)];
        let answer = service.post(EMAILS, &headers, VALID.as_bytes());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let expected =
            json!({"id": format!("order-{offset}"), "topic": EMAIL_TOPIC, "partition": 0, "offset": offset});
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).expect("JSON"), expected);
    }
    let ids: Vec<_> = service.records(EMAIL_TOPIC, 2).into_iter().flat_map(|record| record.headers).collect();
    assert_eq!(ids, [("host-id".into(), "order-0".into()), ("host-id".into(), "order-1".into())]);
}

#[test]
fn an_invalid_request_is_answered_with_a_problem_document() {
    let service = Service::start();
    for (body, detail) in [
        (r#"{"to":"b"}"#, "발신자는 필수입니다"),
        (r#"{"from":" \t","to":"b"}"#, "발신자는 필수입니다"),
        (r#"{"from":"a","to":null}"#, "수신자는 필수입니다"),
        (r#"{"from":"a","to":""}"#, "수신자는 필수입니다"),
    ] {
        for path in [EMAILS, SMS] {
            assert_eq!(problem(&service.post(path, &[JSON], body.as_bytes()), 400)["detail"], detail);
        }
    }
    for malformed in ["", "{", "[]", "nonsense", r#"{"from":1,"to":"b"}"#] {
        problem(&service.post(EMAILS, &[JSON], malformed.as_bytes()), 400);
    }
    problem(&service.post(EMAILS, &[JSON], b"{\"from\":\"\xff\",\"to\":\"b\"}"), 400);
    for (path, body, detail) in [
        (
            EMAILS,
            r#"{"from":"Shop, a@b","to":"c@d"}"#,
            "from: \"Shop\" is not an e-mail address: expected `user@example.com`",
        ),
        (EMAILS, r#"{"from":"a@b, c@d","to":"c@d"}"#, "from: \"a@b, c@d\" has more than one address"),
        (
            EMAILS,
            r#"{"from":"a@b","to":"nobody"}"#,
            "to: \"nobody\" is not an e-mail address: expected `user@example.com`",
        ),
        (
            EMAILS,
            r#"{"from":"a@b","to":"c@d","subject":"x\ny"}"#,
            "subject: contains the control character U+000A",
        ),
        (SMS, r#"{"from":"a","to":"12"}"#, "to: \"12\" is not a phone number: expected 3 to 15 digits"),
    ] {
        assert_eq!(problem(&service.post(path, &[JSON], body.as_bytes()), 400)["detail"], detail);
    }
    problem(&service.post(EMAILS, &[JSON, ("idempotency-key", "a b")], VALID.as_bytes()), 400);

    let refused = service.post(EMAILS, &[("content-type", "text/plain")], VALID.as_bytes());
    problem(&refused, 415);
    assert_eq!(refused.header("accept"), Some("application/json"));
    problem(&service.post(EMAILS, &[], VALID.as_bytes()), 415);

    problem(&service.post("/api/emails", &[JSON], VALID.as_bytes()), 404);
    let get = testkit::get(service.port, EMAILS).expect("an answer");
    problem(&get, 405);
    assert_eq!(get.header("allow"), Some("POST"));

    let huge = format!(r#"{{"from":"a","to":"b","body":"{}"}}"#, "x".repeat(1024 * 1024));
    problem(&service.post(EMAILS, &[JSON], huge.as_bytes()), 413);

    // No request was published.
    assert_eq!(service.post(EMAILS, &[JSON], VALID.as_bytes()).status, 200);
    assert_eq!(service.records(EMAIL_TOPIC, 1)[0].value, VALID);
}

#[test]
fn a_body_in_many_chunks_is_read_completely() {
    let service = Service::start();
    let text = "가".repeat(200_000);
    let body = format!(r#"{{"from":"a@b","to":"c@d","subject":"","body":"{text}"}}"#);
    assert_eq!(service.post(EMAILS, &[JSON], body.as_bytes()).status, 200);
    assert_eq!(service.records(EMAIL_TOPIC, 1)[0].value, body);
}

#[test]
fn a_record_refused_by_kafka_is_answered_as_not_sent() {
    let service = Service::start();
    assert_eq!(service.post(EMAILS, &[JSON], VALID.as_bytes()).status, 200);
    let refuse = |error| service.broker.request_errors(RDKafkaApiKey::Produce, &[error]);

    refuse(RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    let large = service.post(EMAILS, &[JSON], VALID.as_bytes());
    assert_eq!(problem(&large, 413)["delivery"], "not-sent");

    refuse(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    let forbidden = service.post(EMAILS, &[JSON], VALID.as_bytes());
    assert_eq!(problem(&forbidden, 503)["delivery"], "not-sent");
    assert_eq!(forbidden.header("retry-after"), Some("1"));

    // The client treats the topic as forbidden until it refreshes its metadata.
    eventually(Duration::from_secs(20), || service.post(EMAILS, &[JSON], VALID.as_bytes()).status == 200);
}

#[test]
fn a_confirmation_without_an_offset_is_answered_as_unknown() {
    let service = Service::start();
    assert_eq!(service.post(EMAILS, &[JSON], VALID.as_bytes()).status, 200);
    // As after a repeated attempt: librdkafka reports success, and no offset.
    let duplicate = RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER;
    service.broker.request_errors(RDKafkaApiKey::Produce, &[duplicate]);
    let document = problem(&service.post(EMAILS, &[JSON], VALID.as_bytes()), 503);
    assert_eq!(document["delivery"], "unknown", "{document}");
}

#[test]
fn a_full_queue_is_answered_at_once() {
    let service = Service::start_with(|_| {}, &[("queue.buffering.max.messages", "1")]);
    eventually(Duration::from_secs(20), || service.post(EMAILS, &[JSON], VALID.as_bytes()).status == 200);
    service.broker.broker_round_trip_time(1, Duration::from_secs(1)).expect("slow");
    let (port, started) = (service.port, Instant::now());
    let answers: Vec<_> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..2).map(|_| scope.spawn(move || testkit::post(port, EMAILS, VALID))).collect();
        posts.into_iter().map(|post| post.join().expect("no panic").expect("an answer")).collect()
    });
    assert!(started.elapsed() < Duration::from_secs(3));
    let refused = answers.iter().find(|answer| answer.status != 200).expect("a refused request");
    assert_eq!(problem(refused, 503)["delivery"], "not-sent");
}

#[test]
fn an_outage_of_kafka_is_answered_in_time_and_survived() {
    let service = Service::start();
    eventually(Duration::from_secs(20), || {
        testkit::get(service.port, "/readyz").is_ok_and(|r| r.status == 200)
    });
    service.broker.broker_down(1).expect("down");
    let started = Instant::now();
    let answer = service.post(EMAILS, &[JSON], VALID.as_bytes());
    assert!(started.elapsed() <= Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(problem(&answer, 503)["delivery"], "not-sent");
    eventually(Duration::from_secs(20), || {
        testkit::get(service.port, "/readyz").is_ok_and(|r| r.status == 503)
    });
    assert_eq!(testkit::get(service.port, "/livez").expect("alive").status, 200);
    service.broker.broker_up(1).expect("up");
    eventually(Duration::from_secs(20), || service.post(EMAILS, &[JSON], VALID.as_bytes()).status == 200);
}

#[test]
fn a_client_with_a_fatal_error_is_replaced() {
    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    let service = Service::start_with(
        |broker| broker.request_errors(RDKafkaApiKey::InitProducerId, &[fatal, fatal]),
        &[],
    );
    eventually(Duration::from_secs(30), || service.post(EMAILS, &[JSON], VALID.as_bytes()).status == 200);
}

#[test]
fn the_shutdown_waits_for_requests_in_flight() {
    let mut service = Service::start();
    eventually(Duration::from_secs(20), || service.post(EMAILS, &[JSON], VALID.as_bytes()).status == 200);
    service.broker.broker_round_trip_time(1, Duration::from_secs(1)).expect("slow");
    let port = service.port;
    let post = std::thread::spawn(move || testkit::post(port, EMAILS, VALID));
    // 300 ms into the round trip of 1 s, the message is in flight.
    std::thread::sleep(Duration::from_millis(300));
    service.end().expect("a clean end");
    assert_eq!(post.join().expect("no panic").expect("an answer").status, 200);
    assert!(testkit::get(port, "/livez").is_err(), "the port is free again");
}
