//! Held keys in the API and the console of a running host.

use serde_json::{Value, json};
use testkit::{Kafka, Record, eventually, get, post, request};

use crate::support::{BOUND, Guest, Host, between, body, file, fresh, sqlite};

/// A host whose plugin holds the keys `a` and `b`, and its guest.
fn holding(kafka: &Kafka, name: &'static str) -> (Guest, Host) {
    let guest = Guest::fast(name);
    kafka.create_topic(&guest.topic, 1, &[]);
    let text = format!(
        "[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\nordering = \"key\"\non-dead = \"hold\"\n",
        guest.path.display(),
        guest.topic
    );
    let config = file(&format!("{name}.toml"), text.as_bytes());
    let (config, store) = (config.to_str().expect("a path in UTF-8"), sqlite(&fresh(name)));
    let host =
        Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap(), "--store", &store], &[]);
    let rejected = ["a", "b"].map(|key| Record::new(body(&format!("{key}-1"), "reject", "")).with_key(key));
    kafka.produce(&guest.topic, rejected);
    eventually(BOUND, || held(&host).len() == 2);
    (guest, host)
}

fn held(host: &Host) -> Vec<Value> {
    let answer = get(host.port, "/api/v1/held-keys").expect("an answer");
    let page: Value = serde_json::from_slice(&answer.body).expect("JSON");
    page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
}

#[test]
fn held_keys_are_listed_and_released_in_the_api() {
    let kafka = Kafka::shared();
    let (guest, host) = holding(kafka, "held-api");
    let keys = held(&host);
    let plugin = keys[0]["plugin"].as_str().expect("a name");
    assert_eq!((&keys[0]["key"], &keys[0]["code"]), (&json!("a"), &json!("asked-reject")));
    assert_eq!((&keys[1]["topic"], &keys[1]["offset"]), (&json!(guest.topic), &json!(1)));
    let release = |plugin: &str, body: Value| {
        let path = format!("/api/v1/plugins/{plugin}/release");
        let answer = post(host.port, &path, &body.to_string()).expect("an answer");
        (answer.status, serde_json::from_slice::<Value>(&answer.body).expect("JSON"))
    };
    for bad in [json!({}), json!({"ids": ["a"]}), json!({"all": true, "ids": [keys[0]["id"]]})] {
        assert_eq!(release(plugin, bad).0, 400);
    }
    assert_eq!(release("other", json!({"all": true})).0, 404);
    assert_eq!(held(&host).len(), 2);
    let (status, answer) = release(plugin, json!({"ids": [keys[0]["id"]], "reason": "repaired"}));
    assert_eq!((status, &answer["released"]), (200, &json!(1)), "{answer}");
    // From the answer on, here: the next message of the key is handled.
    kafka.produce(
        &guest.topic,
        [("a-2", "a"), ("b-2", "b")].map(|(id, key)| Record::new(body(id, "done", "")).with_key(key)),
    );
    eventually(BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
    assert_eq!((host.handled("a-2"), host.handled("b-2")), (1, 0));
    let left: Vec<Value> = held(&host).iter().map(|key| key["key"].clone()).collect();
    assert_eq!(left, ["b"]);
    let log = get(host.port, "/api/v1/audit-log").expect("an answer").text();
    assert!(log.contains("release-keys") && log.contains("repaired"), "{log}");
    assert_eq!(release(plugin, json!({"all": true})).1["released"], 1);
    assert_eq!(release(plugin, json!({"all": true})).1["released"], 0);
    host.stop();
}

#[test]
fn held_keys_are_listed_and_released_in_the_console() {
    let kafka = Kafka::shared();
    let (guest, host) = holding(kafka, "held-page");
    let page = |path: &str| get(host.port, path).expect("an answer");
    let overview = page("/").text();
    let section = between(&overview, "<section id=\"held-keys\"", "</section>").expect("the held keys");
    assert!(section.contains("2 keys") && section.contains("asked-reject"), "{section}");
    let link = between(section, "<a class=\"button\" href=\"", "\"").expect("a link").replace("&amp;", "&");
    let form = page(&link);
    let text = form.text();
    assert!(form.status == 200 && text.contains(">a</span>"), "{text}");
    let cookie = form.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
    let field =
        |name: &str| between(&text, &format!("name=\"{name}\" value=\""), "\"").expect("a field").to_owned();
    let fields = format!("csrf={}&plugin={}&id={}&reason=", field("csrf"), field("plugin"), field("id"));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("cookie", cookie)];
    let forged = format!("csrf=0&plugin={}&id=", field("plugin"));
    let refused = request(host.port, "POST", "/release", &headers, forged.as_bytes()).expect("an answer");
    assert!(refused.status >= 400 && held(&host).len() == 2, "{}", refused.status);
    let answer = request(host.port, "POST", "/release", &headers, fields.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 303, "{}", answer.text());
    let left: Vec<Value> = held(&host).iter().map(|key| key["key"].clone()).collect();
    assert_eq!(left, ["b"]);
    assert_eq!(page("/release?plugin=other").status, 404);
    kafka.produce(&guest.topic, [Record::new(body("a-2", "done", "")).with_key("a")]);
    eventually(BOUND, || host.handled("a-2") == 1);
    host.stop();
}
