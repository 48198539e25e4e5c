//! The example `plugins/examples/invoice-mail`, in Python, with a real Postfix.

use std::collections::BTreeMap;

use mail_parser::{MessageParser, MimeHeaders};
use serde_json::{Value, json};
use testkit::{Kafka, Postfix, Record, eventually, plugin};

use crate::support::{BOUND, Host, file};

const TOPIC: &str = "invoice-mail-orders";
/// The number of orders that are valid.
const VALID: usize = 20;

fn order(number: &str) -> Value {
    json!({
        "number": number,
        "ordered": "2026-11-30T05:00:00Z",
        "customer": { "name": "김민지", "email": "kim@example.com" },
        "items": [
            { "name": "<b>Coffee</b>", "quantity": 2, "unit_price": "12.50" },
            { "name": "=HYPERLINK(\"http://example.org\")", "quantity": 1, "unit_price": 3 },
        ],
    })
}

fn start(kafka: &Kafka, postfix: &Postfix) -> Host {
    let text = format!(
        "[mail]\nurl = {:?}\nca = {:?}\n[[plugin]]\npath = {:?}\ntopic = {TOPIC:?}\ngroup = \"{TOPIC}-group\"\n\
         dead-letter-topic = \"{TOPIC}.dlt\"\nallow = [\"mail\"]\n\
         config = {{ sender = \"shop@example.com\", shop = \"Café, Seoul\" }}\nretry = {{ retries = 0 }}\n",
        postfix.starttls(),
        postfix.ca(),
        plugin("invoice_mail"),
    );
    let config = file("invoice-mail.toml", text.as_bytes());
    let config = config.to_str().expect("a path in UTF-8").to_owned();
    Host::run(&["--config", &config, "--bootstrap-servers", kafka.bootstrap()], &[])
}

/// An order with other values, and the failure code and a part of the detail of its dead letter.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let with = |key: &str, value: Value| {
        let mut order = order("hostile");
        order[key] = value;
        order.to_string().into_bytes()
    };
    let item = json!({ "name": "a", "quantity": 1, "unit_price": "1" });
    let customer = |name: &str, email: &str| json!({ "name": name, "email": email });
    let invalid = "invalid-message";
    vec![
        (
            "name",
            with("customer", customer("a\r\nBcc: x@example.com", "a@example.com")),
            invalid,
            "customer: name",
        ),
        (
            "address",
            with("customer", customer("a", "a@example.com>\r\nRCPT TO:<x@example.com")),
            invalid,
            "customer: email",
        ),
        ("no address", with("customer", customer("a", "nobody")), "smtp-permanent", "nobody"),
        ("unknown", with("customer", customer("a", "refused@example.com")), "smtp-550", "550 5.1.1"),
        ("subject", with("number", json!("1\nBcc: x@example.com")), invalid, "number must be"),
        ("path", with("number", json!("../../etc/passwd")), invalid, "number must be"),
        ("items", with("items", Value::Array(vec![item; 20_000])), invalid, "1 to 500 items"),
        (
            "type",
            with("items", json!([{ "name": 1 }])),
            invalid,
            "items[0].name: expected a text, found an integer",
        ),
        ("null", with("customer", Value::Null), invalid, "customer: expected an object, found null"),
        ("surrogate", br#"{"number":"\ud800"}"#.to_vec(), invalid, "number: has half of a surrogate pair"),
        ("bytes", b"\xff\xfe".to_vec(), invalid, "is not UTF-8"),
        ("deep", vec![b'['; 500_000], invalid, "nested too deeply"),
    ]
}

#[test]
#[ignore = "needs make guests-py"]
fn languages_invoices_arrive_and_hostile_orders_are_dead_letters() {
    let (kafka, postfix) = (Kafka::shared(), Postfix::start());
    for topic in [TOPIC.to_owned(), format!("{TOPIC}.dlt")] {
        kafka.create_topic(&topic, 2, &[]);
    }
    let host = start(kafka, &postfix);
    let hostile = hostile();
    kafka.produce(TOPIC, hostile.iter().map(|(name, value, ..)| Record::new(value.clone()).with_key(*name)));
    kafka.produce(TOPIC, (0..VALID).map(|number| Record::new(order(&format!("N-{number}")).to_string())));
    eventually(BOUND, || kafka.lag(&format!("{TOPIC}-group"), TOPIC) == 0);
    eventually(BOUND, || postfix.count() == VALID);
    host.stop();

    let dead = kafka.read_all(&format!("{TOPIC}.dlt"));
    let dead: BTreeMap<String, (String, String)> = dead
        .iter()
        .map(|record| {
            let text = |name: &str| record.header_text(name).unwrap_or_default();
            let key = String::from_utf8_lossy(&record.key.clone().unwrap_or_default()).into_owned();
            (key, (text("host-failure-code"), text("kafka_exception-message")))
        })
        .collect();
    assert_eq!(dead.len(), hostile.len(), "{dead:?}");
    for (name, _, code, detail) in hostile {
        let (found, text) = &dead[name];
        assert!(found == code && text.contains(detail), "{name}: {found}: {text}");
    }
    invoices_are_whole(&postfix);
}

/// Each was delivered once, with its name, texts and file.
fn invoices_are_whole(postfix: &Postfix) {
    let mails = postfix.mails();
    let mut subjects = Vec::new();
    for bytes in &mails {
        let mail = MessageParser::default().parse(bytes).expect("an e-mail");
        let to: Vec<_> =
            mail.to().into_iter().flat_map(|to| to.iter()).map(|to| (to.name(), to.address())).collect();
        assert_eq!(to, [(Some("김민지"), Some("kim@example.com"))]);
        assert!(
            mail.body_text(0).is_some_and(|text| text.contains("Dear 김민지,") && text.contains("28.00 EUR"))
        );
        assert!(mail.body_html(0).is_some_and(|html| html.contains("&lt;b&gt;Coffee&lt;/b&gt;")));
        let file = mail.attachment(0).expect("a file");
        assert!(file.attachment_name().is_some_and(|name| name.starts_with("invoice-N-")));
        let table = String::from_utf8(file.contents().to_vec()).expect("UTF-8");
        assert!(table.contains("'=HYPERLINK"), "a spreadsheet would run it: {table}");
        subjects.push(mail.subject().unwrap_or_default().to_owned());
    }
    subjects.sort();
    let mut expected: Vec<_> =
        (0..VALID).map(|number| format!("Invoice N-{number} of Café, Seoul")).collect();
    expected.sort();
    assert_eq!(subjects, expected);
}
