//! The example `plugins/examples/order-enricher`, with a service that fails, waits and lies.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Kafka, Record, plugin};

use crate::http_server::{HttpServer, Request, answer};
use crate::sms::{codes, settle};
use crate::support::{Host, file};

/// Longer than the plugin waits for a response, and shorter than a call may last.
const TOO_LONG: Duration = Duration::from_secs(9);

/// The customers by number, with the requests that one order makes and the failure code of its dead letter. An order has 3
/// attempts.
const CUSTOMERS: [(&str, usize, &str); 10] = [
    ("kim", 1, ""),
    ("fails-once", 2, ""),
    ("ends-once", 2, ""),
    ("busy-once", 2, ""),
    ("slow-once", 2, ""),
    ("unknown", 1, "unknown-customer"),
    ("moved", 1, "http-302"),
    ("fails", 3, "http-500"),
    ("html", 3, "http-body"),
    ("huge", 3, "http-response-too-large"),
];

fn order(id: &str, customer: &str) -> Record {
    let items = json!([{"sku": "a", "quantity": 2, "price": 150}, {"sku": "b", "quantity": 1, "price": 99}]);
    Record::new(json!({"id": id, "customer": customer, "items": items}).to_string()).with_key(id)
}

fn serve() -> HttpServer {
    let seen = Mutex::new(Vec::new());
    HttpServer::start(move |request: &Request, stream: &mut TcpStream| {
        let customer = request.line.rsplit('/').next().unwrap_or_default().to_owned();
        let is_first = {
            let mut seen = seen.lock().expect("the customers");
            let is_first = !seen.contains(&customer);
            seen.push(customer.clone());
            is_first
        };
        let mut respond = |status, body: &str| answer(stream, status, &[], body);
        match customer.as_str() {
            "fails-once" if is_first => respond(500, "oops"),
            "ends-once" if is_first => {}
            "busy-once" if is_first => answer(stream, 429, &[("Retry-After", "1")], ""),
            "slow-once" if is_first => {
                sleep(TOO_LONG);
                respond(200, &json!({"name": customer, "tier": "gold"}).to_string());
            }
            "unknown" => respond(404, "{}"),
            "moved" => answer(stream, 302, &[("Location", "/customers/kim")], ""),
            "fails" => respond(500, "<html>"),
            "html" => respond(200, "<html>"),
            "huge" => respond(200, &format!(r#"{{"name":"{}"}}"#, "x".repeat(2 << 20))),
            name => respond(200, &json!({"name": name, "tier": "gold", "secret": true}).to_string()),
        }
    })
}

/// The plugin on a topic of its own, with these grants.
fn start(kafka: &Kafka, topic: &str, server: &HttpServer, publishes: &str, granted: &str) -> Host {
    for topic in [topic, granted] {
        kafka.create_topic(topic, 2, &[]);
    }
    let url = format!("http://{}", server.address);
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = {topic:?}\ngroup = \"{topic}-group\"\n\
         dead-letter-topic = \"{topic}.dlt\"\nallow = [\"{url}/customers\", \"produce:{granted}\"]\n\
         config = {{ customers = \"{url}/customers\", topic = {publishes:?} }}\n\
         retry = {{ retries = 2, delay = \"100ms\", multiplier = 1.0 }}\n\
         [plugin.http.\"{url}/customers\"]\nbreaker = 0\n",
        plugin("order-enricher"),
    );
    let config = file(&format!("{topic}.toml"), text.as_bytes());
    let config = config.to_str().expect("a path in UTF-8").to_owned();
    Host::run(&["--config", &config, "--bootstrap-servers", kafka.bootstrap()], &[])
}

/// The published orders by key. Each was published once.
fn published(kafka: &Kafka, topic: &str) -> BTreeMap<String, Value> {
    let records = kafka.read_all(topic);
    let by_key = |record: &Record| {
        let key = String::from_utf8(record.key.clone().expect("a key")).expect("a text");
        (key, serde_json::from_str(&record.text()).expect("JSON"))
    };
    let orders: BTreeMap<_, _> = records.iter().map(by_key).collect();
    assert_eq!(orders.len(), records.len(), "an order was published twice");
    orders
}

#[test]
fn orders_are_published_once_whatever_the_service_does() {
    let (kafka, topic, enriched) = (Kafka::shared(), "enrich-orders", "enrich-orders.enriched");
    let server = serve();
    let host = start(kafka, topic, &server, enriched, enriched);
    kafka.produce(topic, CUSTOMERS.iter().map(|(customer, ..)| order(&format!("o-{customer}"), customer)));
    let hostile = [
        ("h-path", json!({"id": "h-path", "customer": "../admin", "items": []}), "invalid-order"),
        (
            "h-dots",
            json!({"id": "h-dots", "customer": "..", "items": [{"sku": "a", "quantity": 1, "price": 1}]}),
            "unknown-customer",
        ),
        ("h-type", json!({"id": "h-type", "customer": 7, "items": []}), "invalid-message"),
        (
            "h-price",
            json!({"id": "h-price", "customer": "kim", "items": [{"sku": "a", "quantity": 1, "price": -1}]}),
            "invalid-message",
        ),
        ("h-list", json!([]), "invalid-message"),
    ];
    kafka.produce(topic, hostile.iter().map(|(key, value, _)| Record::new(value.to_string()).with_key(*key)));
    settle(kafka, topic);
    host.stop();

    let (published, codes) = (published(kafka, enriched), codes(kafka, topic));
    for (customer, tries, code) in CUSTOMERS {
        let id = format!("o-{customer}");
        let line = format!("GET /customers/{customer}");
        let requests = server.requests().iter().filter(|request| request.line == line).count();
        assert_eq!((requests, codes.get(&id).map_or("", String::as_str)), (tries, code), "{customer}");
        let is_done = published.get(&id).is_some_and(|order| order["name"] == customer);
        assert_eq!(is_done, code.is_empty(), "{customer}");
    }
    for (key, _, code) in &hostile {
        assert_eq!(codes.get(*key).map(String::as_str), Some(*code), "{key}");
    }
    let kim = &published["o-kim"];
    assert_eq!((&kim["total"], &kim["tier"], &kim["secret"]), (&json!(399), &json!("gold"), &Value::Null));
    let asked: usize = CUSTOMERS.iter().map(|(_, tries, _)| tries).sum();
    assert_eq!(server.requests().len(), asked, "a hostile order has reached the service");
}

#[test]
fn an_order_for_a_topic_that_is_not_granted_is_a_dead_letter() {
    let (kafka, topic, granted) = (Kafka::shared(), "enrich-denied", "enrich-denied.enriched");
    let server = serve();
    let host = start(kafka, topic, &server, "enrich-elsewhere", granted);
    kafka.produce(topic, [order("o", "kim")]);
    settle(kafka, topic);
    host.stop();
    assert_eq!(codes(kafka, topic), BTreeMap::from([("o".to_owned(), "produce-denied".to_owned())]));
    assert_eq!(published(kafka, granted), BTreeMap::new());
}
