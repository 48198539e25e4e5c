use std::time::Duration;

use kafka_host_plugin::http::{HttpError, Response};
use kafka_host_plugin::produce::{Position, ProduceError};
use kafka_host_plugin::testing::{Host, message};
use kafka_host_plugin::{Failure, retry};
use serde_json::{Value, json};

use super::*;

const CUSTOMERS: &str = "http://crm/customers/";

fn host(answer: Result<Response, HttpError>) -> Host {
    Host::new().config("customers", CUSTOMERS).on_http(move |_| answer.clone())
}

fn kim() -> Result<Response, HttpError> {
    Ok(Response::new(200, r#"{"name": "Kim", "tier": "gold", "secret": 1}"#))
}

fn order() -> Value {
    json!({"id": "7", "customer": "c/1", "items": [
        {"sku": "a", "quantity": 2, "price": 150}, {"sku": "b", "quantity": 1, "price": 99}
    ]})
}

#[track_caller]
fn failure(mut host: Host, order: &Value) -> Failure {
    let failure = host.handle(enrich, &message(order)).expect_err("a failure");
    assert!(host.records.is_empty() || failure.code().starts_with("produce-"), "{failure}");
    failure
}

#[test]
fn an_order_is_published_with_its_customer_and_total() {
    let mut host = host(kim()).on_publish(|_| Ok(Position { partition: 3, offset: 14 }));
    let done = Outcome::done("orders.enriched/3/14");
    assert_eq!(host.handle(enrich, &message(&order())), Ok(done));
    let [request] = &host.requests[..] else { panic!("{:?}", host.requests) };
    assert_eq!((&*request.method, &*request.url), ("GET", "http://crm/customers/c%2F1"));
    let [record] = &host.records[..] else { panic!("{:?}", host.records) };
    assert_eq!((&*record.topic, record.key.as_deref()), ("orders.enriched", Some(&b"7"[..])));
    let value: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
    assert_eq!(
        value,
        json!({"id": "7", "customer": "c/1", "name": "Kim", "tier": "gold", "items": order()["items"], "total": 399})
    );
}

#[test]
fn the_configuration_names_topic_and_service() {
    let mut host = host(kim()).config("topic", "other");
    assert_eq!(host.handle(enrich, &message(&order())), Ok(Outcome::done("other/0/0")));
    assert_eq!(failure(Host::new(), &order()).code(), "config");
}

#[test]
fn answers_of_the_service_decide_about_the_order() {
    for (answer, code, is_retry) in [
        (Ok(Response::new(404, "{}")), "unknown-customer", false),
        (Ok(Response::new(400, "{}")), "http-400", false),
        (Ok(Response::new(302, "")), "http-302", false),
        (Ok(Response::new(500, "oops")), "http-500", true),
        (Ok(Response::new(200, "<html>")), "http-body", true),
        (Ok(Response::new(200, r#"{"name": null}"#)), "http-body", true),
        (Ok(Response::new(204, "")), "http-body", true),
        (Err(HttpError::Transient("no answer".into())), "http-transient", true),
        (Err(HttpError::Denied("not in allow".into())), "http-denied", false),
    ] {
        let failure = failure(host(answer), &order());
        assert_eq!((failure.code(), failure.is_retry()), (code, is_retry), "{failure}");
    }
    let busy = Response { headers: vec![("retry-after".into(), "9".into())], ..Response::new(429, "") };
    assert_eq!(failure(host(Ok(busy)), &order()).delay(), Some(Duration::from_secs(9)));
}

#[test]
fn a_record_that_is_not_published_fails_the_order() {
    for (error, code) in [
        (ProduceError::Denied("d".into()), "produce-denied"),
        (ProduceError::Permanent("d".into()), "produce-permanent"),
    ] {
        let host = host(kim()).on_publish(move |_| Err(error.clone()));
        assert_eq!(failure(host, &order()), reject(code, "d"));
    }
    let host = host(kim()).on_publish(|_| Err(ProduceError::Transient("t".into())));
    assert_eq!(failure(host, &order()), retry("produce-transient", "t"));
}

#[test]
fn orders_that_cannot_be_are_rejected_without_a_request() {
    let with = |items: Value| json!({"id": "7", "customer": "1", "items": items});
    let item = |quantity: u64, price: u64| json!({"sku": "a", "quantity": quantity, "price": price});
    for (order, code, detail) in [
        (with(json!([])), "invalid-order", "it has 0 items; from 1 to 1000 are possible"),
        (
            with(json!(vec![item(1, 1); 1001])),
            "invalid-order",
            "it has 1001 items; from 1 to 1000 are possible",
        ),
        (with(json!([item(0, 1)])), "invalid-order", "the quantity of \"a\" is 0"),
        (with(json!([item(2, u64::MAX)])), "invalid-order", "its total is more than 64 bits have"),
        (
            with(json!([item(1, u64::MAX), item(1, 1)])),
            "invalid-order",
            "its total is more than 64 bits have",
        ),
        (
            with(json!([{"sku": "a", "quantity": "2", "price": 1}])),
            "invalid-message",
            "items[0].quantity: invalid type: string \"2\", expected u32 at line 1 column 59",
        ),
        (
            json!({"id": "7", "customer": "..", "items": [item(1, 1)]}),
            "unknown-customer",
            "\"..\" is no number of a customer",
        ),
        (
            json!({"id": "7", "customer": "", "items": [item(1, 1)]}),
            "unknown-customer",
            "\"\" is no number of a customer",
        ),
    ] {
        let mut host = host(kim());
        let failure = host.handle(enrich, &message(&order)).expect_err("a failure");
        assert_eq!((failure.code(), failure.detail(), failure.is_retry()), (code, detail, false));
        assert!(host.requests.is_empty(), "{failure}");
    }
}
