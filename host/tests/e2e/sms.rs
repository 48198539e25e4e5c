//! The SMS plugin against a double of its gateways. The real gateways are not available to tests: the double
//! answers as documented by them, and checks credentials as they do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use testkit::{FaultySmtp, Kafka, Record, Rng, Shares, eventually, get, plugin};

use crate::http_server::{HttpServer, Request, answer};
use crate::support::{BOUND, Host, between, file};

const KEY: &str = "NCSAYU7YDBXYORXC";
const SECRET: &str = "solapi-secret-of-the-test";
/// `AC1:token`, in base64.
const BASIC: &str = "Basic QUMxOnRva2Vu";
/// The Retry-After of the gateway. The delays of the policy are far shorter.
const THROTTLED: Duration = Duration::from_secs(2);

/// Recipients by their last digit, with the number of requests and the failure code of their message.
const NUMBERS: [(char, usize, &str); 9] = [
    // Accepted.
    ('1', 1, ""),
    // The first response is 429 with Retry-After, then accepted.
    ('2', 2, ""),
    // The first response is 500.
    ('3', 2, ""),
    // The first connection breaks.
    ('4', 2, ""),
    ('5', 1, "invalid-number"),
    ('6', 1, "sms-rejected"),
    ('7', 3, "insufficient-balance"),
    ('8', 3, "gateway-auth"),
    // The first response is 429 without Retry-After.
    ('9', 2, ""),
];

/// A gateway: its responses and its requests.
pub struct Gateway {
    name: &'static str,
    config: &'static str,
    /// A line of `[plugin.http."URL"]`.
    pub credentials: String,
    is_known: fn(&Request) -> bool,
    path: &'static str,
    /// The recipient's number in a body.
    number: fn(&str) -> Option<&str>,
    /// The answer to a message that it accepts.
    pub accepted: (u16, &'static str),
    /// The responses for an invalid number, another error, no credit, and an unknown account.
    errors: [(u16, &'static str); 4],
}

pub fn solapi() -> Gateway {
    Gateway {
        name: "solapi",
        config: "gateway = \"solapi\"",
        credentials: format!("solapi = {{ key = \"{KEY}\", secret = {{ env = \"SECRET\" }} }}"),
        is_known: is_signed,
        path: "POST /messages/v4/send",
        number: |body| between(body, r#""to":""#, "\""),
        accepted: (
            200,
            r#"{"groupId":"G","messageId":"M4V","statusCode":"2000","statusMessage":"정상 접수"}"#,
        ),
        errors: [
            (200, r#"{"statusCode":"1062","statusMessage":"발신번호 미등록"}"#),
            (400, r#"{"errorCode":"ValidationError","errorMessage":"why"}"#),
            (400, r#"{"errorCode":"NotEnoughBalance","errorMessage":"why"}"#),
            (403, r#"{"errorCode":"InvalidAPIKey","errorMessage":"why"}"#),
        ],
    }
}

fn twilio() -> Gateway {
    Gateway {
        name: "twilio",
        config: "gateway = \"twilio\", account = \"AC1\"",
        credentials: "headers = { authorization = { env = \"BASIC\" } }".to_owned(),
        is_known: |request| request.header("authorization") == Some(BASIC),
        path: "POST /2010-04-01/Accounts/AC1/Messages.json",
        number: |body| between(body, "To=", "&"),
        accepted: (201, r#"{"sid":"SM1","status":"queued","error_code":null}"#),
        errors: [
            (400, r#"{"code":21211,"message":"why","status":400}"#),
            (400, r#"{"code":21610,"message":"why","status":400}"#),
            (400, r#"{"code":30002,"message":"why","status":400}"#),
            (401, r#"{"code":20003,"message":"why","status":401}"#),
        ],
    }
}

#[test]
fn responses_of_solapi_decide_the_end_of_a_message() {
    check_responses(solapi());
}

#[test]
fn responses_of_twilio_decide_the_end_of_a_message() {
    check_responses(twilio());
}

fn check_responses(gateway: Gateway) {
    let kafka = Kafka::shared();
    let Gateway { name, config, is_known, path, number, .. } = gateway;
    let server = serve(gateway.accepted, gateway.errors, is_known, number);
    let url = format!("http://{}", server.address);
    let granted = format!("allow = [\"{url}\"]\n[plugin.http.\"{url}\"]\n{}\n", gateway.credentials);
    let topic = format!("sms.{name}");
    let host = start(kafka, &topic, &format!("{config}, url = \"{url}\""), &granted);
    let to = |digit: char| format!("0101234000{digit}");
    let message = |to: &str| format!(r#"{{"from":"02-930-2266","to":"{to}","body":"본문"}}"#);
    kafka.produce(
        &topic,
        NUMBERS.iter().map(|(digit, ..)| Record::new(message(&to(*digit))).with_key(to(*digit))),
    );
    settle(kafka, &topic);
    let lines = host.stop();
    assert_eq!(lines.iter().find(|line| line.contains(SECRET) || line.contains(BASIC)), None);

    let requests = server.requests();
    let mut by_number: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in &requests {
        assert_eq!(request.line, path);
        assert!(is_known(request), "{request:?}");
        by_number.entry(number(&request.body).expect("a number")).or_default().push(request);
    }
    let codes = codes(kafka, &topic);
    let mut keys = BTreeSet::new();
    for (digit, tries, code) in NUMBERS {
        let to = to(digit);
        let requests = &by_number[to.as_str()];
        assert_eq!((requests.len(), codes.get(&to).map_or("", String::as_str)), (tries, code), "{to}");
        let key = |request: &Request| request.header("idempotency-key").unwrap_or_default().to_owned();
        let own: BTreeSet<String> = requests.iter().map(|request| key(request)).collect();
        assert_eq!(own.len(), 1, "the key of {to} changed: {own:?}");
        keys.extend(own);
        if digit == '2' {
            let after = requests[1].at - requests[0].at;
            assert!(after >= THROTTLED, "after {after:?}");
        }
    }
    assert_eq!(keys.len(), NUMBERS.len(), "two messages share a key: {keys:?}");
    assert!(!keys.contains(""));
    assert_eq!(codes.len(), 4, "{codes:?}");
}

/// 200 is not always a success: only the plugin can read the body.
#[test]
fn a_response_that_the_plugin_does_not_accept_is_requested_again() {
    let (kafka, topic) = (Kafka::shared(), "sms.no-balance");
    let Gateway { accepted, credentials, .. } = solapi();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = HttpServer::start(move |_: &Request, stream: &mut TcpStream| {
        let (status, body) = match counted.fetch_add(1, Ordering::SeqCst) {
            0 => (200, r#"{"statusCode":"1030","statusMessage":"잔액 부족"}"#),
            1 => (200, "<html>maintenance</html>"),
            _ => accepted,
        };
        answer(stream, status, &[], body);
    });
    let url = format!("http://{}", server.address);
    let granted = format!("allow = [\"{url}\"]\n[plugin.http.\"{url}\"]\n{credentials}\n");
    let host = start(kafka, topic, &format!("gateway = \"solapi\", url = \"{url}\""), &granted);
    kafka
        .produce(topic, [Record::new(r#"{"from":"1588-0000","to":"01012340001","body":"b"}"#).with_key("k")]);
    eventually(BOUND, || count.load(Ordering::SeqCst) == 3);
    settle(kafka, topic);
    let metrics = get(host.port, "/metrics").expect("an answer").text();
    host.stop();
    assert_eq!(codes(kafka, topic), BTreeMap::new());
    assert!(metrics.contains(r#"result="undone"} 2"#), "{metrics}");
    let keys: BTreeSet<_> = server
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").map(str::to_owned))
        .collect();
    assert_eq!(keys.len(), 1, "one message, one key");
}

/// An outage of the gateway: once it is known, no message spends an attempt.
#[test]
fn an_outage_of_the_gateway_leaves_no_dead_letter() {
    let (kafka, topic) = (Kafka::shared(), "sms.outage");
    let Gateway { accepted, credentials, .. } = solapi();
    let is_down = Arc::new(AtomicBool::new(true));
    let (down, sent) = (Arc::clone(&is_down), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&sent);
    let server = HttpServer::start(move |_: &Request, stream: &mut TcpStream| {
        if down.load(Ordering::SeqCst) {
            return answer(stream, 503, &[], "{}");
        }
        counted.fetch_add(1, Ordering::SeqCst);
        answer(stream, accepted.0, &[], accepted.1);
    });
    let url = format!("http://{}", server.address);
    let granted = format!("allow = [\"{url}\"]\n[plugin.http.\"{url}\"]\n{credentials}\n");
    let host = start(kafka, topic, &format!("gateway = \"solapi\", url = \"{url}\""), &granted);
    let message = |n: usize| Record::new(format!(r#"{{"from":"1588-0000","to":"010123{n:05}","body":"b"}}"#));
    kafka.produce(topic, (0..200).map(message));
    host.process.wait_for(|line| line.contains("does not work"), BOUND);
    std::thread::sleep(Duration::from_secs(4));
    let tries = server.requests().len();
    assert!(tries < 40, "{tries} requests to a server that is down");
    is_down.store(false, Ordering::SeqCst);
    eventually(BOUND, || sent.load(Ordering::SeqCst) == 200);
    settle(kafka, topic);
    host.stop();
    assert_eq!((sent.load(Ordering::SeqCst), codes(kafka, topic)), (200, BTreeMap::new()));
    println!("{tries} requests during the outage");
}

/// The log says once why there is no TLS connection; messages wait.
#[test]
fn a_gateway_whose_certificate_is_not_trusted_is_explained_once() {
    let (kafka, topic) = (Kafka::shared(), "sms.untrusted");
    // Any server with a certificate of an authority that is not public.
    let server = FaultySmtp::start(Rng::seeded(), Shares { faults: 0, hangs: 0 });
    let port = server.url().rsplit(':').next().expect("a port").to_owned();
    let url = format!("https://localhost:{port}");
    let granted = format!("allow = [\"{url}\", \"network:127.0.0.0/8\", \"network:::1/128\"]\n");
    let host = start(kafka, topic, &format!("gateway = \"solapi\", url = \"{url}\""), &granted);
    kafka
        .produce(topic, [Record::new(r#"{"from":"1588-0000","to":"01012340001","body":"b"}"#).with_key("k")]);
    host.process.wait_for(|line| line.contains("does not work"), BOUND);
    std::thread::sleep(Duration::from_secs(3));
    let lines = host.stop();
    let reasons: Vec<_> = lines.iter().filter(|line| line.contains("does not work")).collect();
    let explained = "no TLS connection: the issuer of its certificate is not trusted; set http.ca to a file";
    assert!(reasons.len() == 1 && reasons[0].contains(explained), "{reasons:?}");
    assert_eq!(codes(kafka, topic), BTreeMap::new());
}

#[test]
fn without_a_grant_no_sms_is_sent_and_without_a_gateway_it_is_only_logged() {
    let kafka = Kafka::shared();
    let Gateway { accepted, errors, is_known, number, .. } = solapi();
    let server = serve(accepted, errors, is_known, number);
    let url = format!("http://{}", server.address);
    for (topic, config, code) in [
        ("sms.denied", format!("gateway = \"solapi\", url = \"{url}\""), Some("http-denied")),
        ("sms.logged", String::new(), None),
    ] {
        let host = start(kafka, topic, &config, "");
        kafka.produce(
            topic,
            [Record::new(r#"{"from":"1588-0000","to":"0101234001","body":"b"}"#).with_key("k")],
        );
        settle(kafka, topic);
        let lines = host.stop();
        assert!(!lines.iter().any(|line| line.contains("0101234001")), "numbers are personal data");
        assert_eq!(codes(kafka, topic).get("k").map(String::as_str), code);
    }
    assert_eq!(server.connections(), 0);
}

/// The double of a gateway. Unknown accounts are refused as by the real gateway.
fn serve(
    accepted: (u16, &'static str),
    errors: [(u16, &'static str); 4],
    is_known: fn(&Request) -> bool,
    number: fn(&str) -> Option<&str>,
) -> HttpServer {
    let first = std::sync::Mutex::new(BTreeSet::new());
    HttpServer::start(move |request: &Request, stream: &mut TcpStream| {
        let to = number(&request.body).unwrap_or_default().to_owned();
        let is_first = first.lock().expect("no panic").insert(to.clone());
        let seconds = THROTTLED.as_secs().to_string();
        let mut respond = |(status, body): (u16, &str)| answer(stream, status, &[], body);
        match to.chars().last() {
            _ if !is_known(request) => respond(errors[3]),
            Some('2') if is_first => answer(stream, 429, &[("Retry-After", &seconds)], "{}"),
            Some('3') if is_first => respond((500, "<html>")),
            // No response: the connection ends.
            Some('4') if is_first => {}
            Some('9') if is_first => respond((429, "{}")),
            Some('5') => respond(errors[0]),
            Some('6') => respond(errors[1]),
            Some('7') => respond(errors[2]),
            Some('8') => respond(errors[3]),
            _ => respond(accepted),
        }
    })
}

/// The check of Solapi: the signature covers date and salt, with the secret.
fn is_signed(request: &Request) -> bool {
    let signed = || {
        let text = request.header("authorization")?.strip_prefix("HMAC-SHA256 ")?;
        let part = |name: &str| {
            let prefix = format!("{name}=");
            text.split(", ").find_map(|part| part.strip_prefix(prefix.as_str()))
        };
        let (date, salt) = (part("date")?, part("salt")?);
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).ok()?;
        mac.update(format!("{date}{salt}").as_bytes());
        let signature: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let is_date = date.len() >= 20 && date.as_bytes()[10] == b'T' && date.ends_with('Z');
        Some(
            part("apiKey")? == KEY
                && (12..=64).contains(&salt.len())
                && is_date
                && part("signature")? == signature,
        )
    };
    signed().unwrap_or(false)
}

fn start(kafka: &Kafka, topic: &str, config: &str, more: &str) -> Host {
    start_in(&[], kafka, topic, config, more)
}

/// Starts the plugin with `config` and the lines `more` in an environment without authorities of its own.
pub fn start_in(env: &[(&str, &str)], kafka: &Kafka, topic: &str, config: &str, more: &str) -> Host {
    kafka.create_topic(topic, 1, &[]);
    let text = format!(
        "[[plugin]]\npath = {:?}\ntopic = \"{topic}\"\ngroup = \"{topic}-group\"\n\
         dead-letter-topic = \"{topic}.dlt\"\nconfig = {{ {config} }}\n\
         retry = {{ retries = 2, delay = \"100ms\", multiplier = 1.0 }}\n{more}\n",
        plugin("sms")
    );
    let path = file(&format!("{topic}.toml"), text.as_bytes());
    let path = path.to_str().expect("a path in UTF-8");
    let args = ["--config", path, "--bootstrap-servers", kafka.bootstrap()];
    let own = [("SECRET", SECRET), ("BASIC", BASIC), ("SSL_CERT_FILE", "")];
    Host::run(&args, &[&own, env].concat())
}

/// Waits until the topic and its retry topic have no lag. The source comes first.
pub fn settle(kafka: &Kafka, topic: &str) {
    let (group, retries) = (format!("{topic}-group"), format!("{topic}-retry"));
    eventually(BOUND, || {
        kafka.lag(&group, topic) == 0 && kafka.lag(&format!("{group}-retry"), &retries) == 0
    });
}

/// The failure code of each dead letter, by its key.
pub fn codes(kafka: &Kafka, topic: &str) -> BTreeMap<String, String> {
    let dead_letters = kafka.read_all(&format!("{topic}.dlt"));
    let code_by_key = |dead_letter: &Record| {
        let key = dead_letter.key.clone().unwrap_or_default();
        let code = dead_letter.header_text("host-failure-code").unwrap_or_default();
        (String::from_utf8_lossy(&key).into_owned(), code)
    };
    dead_letters.iter().map(code_by_key).collect()
}
