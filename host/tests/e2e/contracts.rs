//! Plugins of an earlier contract run beside those of this one. `guests/frozen/email-0.1.wasm` is the plugin `email` as it
//! was built with contract 0.1.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Kafka, ManneredSmtp, Manners, Record, eventually};

use crate::mail_servers::{emails, produce, run};
use crate::plugin_command::{host, stdout, text};
use crate::support::{BOUND, Guest};

fn frozen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/frozen/email-0.1.wasm")
}

#[test]
fn a_plugin_of_contract_0_1_runs_beside_one_of_0_2() {
    let (kafka, topic, count) = (Kafka::shared(), "contract-0-1", 200);
    let server = ManneredSmtp::start(Manners::default());
    let next = Guest::fast("contract-02");
    produce(kafka, topic, count);
    kafka.create_topic(&next.topic, 2, &[]);
    kafka.produce(&next.topic, (0..count).map(|n| Record::new(format!(r#"{{"id":"{n}"}}"#))));
    let config = format!(
        "[mail]\nurl = {:?}\n[[plugin]]\npath = {:?}\ntopic = {topic:?}\ngroup = \"{topic}-group\"\n\
         allow = [\"mail\"]\n[plugin.retry]\nretries = 0\n[[plugin]]\npath = {:?}\ntopic = {:?}\n",
        server.url(),
        frozen(),
        next.path,
        next.topic,
    );
    let host = run(kafka, topic, &config);
    next.settle(kafka);
    eventually(BOUND, || kafka.lag(&format!("{topic}-group"), topic) == 0);
    let copies = server.subjects();
    assert!(copies.len() == count && copies.values().all(|copies| *copies == 1), "{copies:?}");
    let dead = |topic: &str| kafka.end_offsets(topic).iter().sum::<i64>();
    assert_eq!((dead(&format!("{topic}.dlt")), dead(&next.dead)), (0, 0));
    host.stop();
}

#[test]
fn a_plugin_of_contract_0_1_is_inspected_and_invoked() {
    let (path, name) = (frozen(), "contract-0-1-invoke");
    let inspected = host(name, &["plugin", "inspect", text(&path), "-o", "json"], "");
    let report: Value = serde_json::from_str(&stdout(&inspected)).expect("JSON");
    assert_eq!((&report["contract"], &report["wants"]), (&json!(["0.1.0"]), &json!(["mail"])), "{report}");
    assert_eq!((&report["not_reset"], &report["runs"]), (&json!(null), &json!(true)), "{report}");
    let message = emails(name, 1).next().expect("an e-mail");
    let message = json!({ "value": String::from_utf8_lossy(&message.value.unwrap_or_default()) }).to_string();
    let invoked = host(name, &["plugin", "invoke", text(&path), "--message", "-", "-o", "json"], &message);
    let result: Value = serde_json::from_str(&stdout(&invoked)).expect("JSON");
    assert_eq!(
        (&result["outcome"], &result["effects"][0]["kind"]),
        (&json!("done"), &json!("mail")),
        "{result}"
    );
}
