//! Hostile components: each attempt fails only its own message, and reaches nothing outside the sandbox.
//!
//! Each case is one line: the action that a message requests, and the failure code of its dead letter, or ""
//! if the message is done. Two guests act: `hostile`, in Rust, and `raw.wat`, which breaks the canonical ABI.

mod outside;
mod raw;

use std::collections::BTreeMap;
use std::path::PathBuf;

use testkit::{Kafka, Record, eventually, plugin};

use self::outside::Outside;
pub use self::raw::component_of;
use crate::support::{BOUND, Host, deliveries, file};

/// Actions of `hostile`, their targets and their failure codes.
const HOSTILE: &[(&str, &str, &str)] = &[
    // Time.
    ("loop", "", "cpu-timeout"),
    ("config", "", "too-many-host-calls"),
    ("log-empty", "", "too-many-host-calls"),
    ("random", "", "cpu-timeout"),
    ("sleep-forever", "", "timeout"),
    ("poll-forever", "", "timeout"),
    ("poll-nothing", "", "trap"),
    // Memory of the guest and of the host.
    ("memory-at-once", "", "out-of-memory"),
    ("memory-in-small", "", "out-of-memory"),
    ("memory-doubling", "", "out-of-memory"),
    ("recurse", "", "trap"),
    ("handles", "", "too-many-handles"),
    ("random-giant", "18446744073709551615", "too-much-data"),
    ("random-giant", "8000000", "too-much-data"),
    // Outcomes and logs.
    ("no-outcomes", "", "wrong-outcome-count"),
    ("two-outcomes", "", "wrong-outcome-count"),
    ("many-outcomes", "", "outcome-too-large"),
    ("giant-receipt", "", "outcome-too-large"),
    ("giant-failure", "", "outcome-too-large"),
    ("log-lines", "", "log-too-large"),
    // A line is truncated at 8 KiB.
    ("log-one", "", ""),
    ("log-giant", "", "too-much-data"),
    ("log-fields", "", "too-much-data"),
    ("stdout", "", "log-too-large"),
    ("stderr", "", "log-too-large"),
    // Ends of a call.
    ("exit", "0", "exit"),
    ("exit", "1", "exit"),
    ("abort", "", "trap"),
    ("panic", "", "trap"),
    ("panic-in-panic", "", "trap"),
    ("divide", "", "trap"),
    // Files.
    ("reach-read", "{dir}/inside.txt", "reached"),
    ("reach-read", "/etc/passwd", "denied"),
    ("reach-read", "/proc/self/environ", "denied"),
    ("reach-read", "../../../../../../etc/passwd", "denied"),
    ("reach-read", "{dir}/../outside-{name}.txt", "denied"),
    ("reach-read", "{dir}/link", "denied"),
    ("reach-read", "{dir}/absolute", "denied"),
    ("reach-open", "/etc/passwd", "denied"),
    ("reach-open", "../outside-{name}.txt", "denied"),
    ("reach-open", "link", "denied"),
    ("reach-open-to-write", "inside.txt", "denied"),
    ("reach-list", "/", "denied"),
    ("reach-list", ".", "denied"),
    ("reach-list", "{dir}/..", "denied"),
    ("reach-write", "{dir}/inside.txt", "denied"),
    ("reach-write", "{dir}/new.txt", "denied"),
    ("reach-write", "/tmp/hostile", "denied"),
    ("reach-remove", "{dir}/inside.txt", "denied"),
    ("reach-rename", "{dir}/inside.txt", "denied"),
    ("reach-make", "{dir}/new", "denied"),
    ("reach-symlink", "/etc/passwd", "denied"),
    ("reach-link", "inside.txt", "denied"),
    // The process and the network.
    ("reach-variables", "", "denied"),
    ("reach-arguments", "", "denied"),
    ("reach-input", "", "denied"),
    ("reach-tcp", "{tcp}", "denied"),
    ("reach-udp", "{udp}", "denied"),
    ("reach-listen", "127.0.0.1:0", "denied"),
    ("reach-name", "localhost:80", "denied"),
    // E-mails.
    ("mail-subject", "", "refused"),
    ("mail-name", "", "refused"),
    ("mail-recipient-name", "", "refused"),
    ("mail-address", "", "refused"),
    ("mail-sender", "", "refused"),
    ("mail-header", "", "refused"),
    ("mail-header-name", "", "refused"),
    ("mail-filename", "", "refused"),
    ("mail-content-type", "", "refused"),
    ("mail-body", "", ""),
    ("mail-large", "", "mail-too-large"),
    ("mail-flood", "", "too-many-host-calls"),
    // Records.
    ("produce-to", "hostile", "denied"),
    ("produce-to", "hostile.dlt", "denied"),
    ("produce-to", "__consumer_offsets", "denied"),
    ("produce-to", "", "denied"),
    ("produce-to", "a/../b", "denied"),
    ("produce-none", "", ""),
    ("produce-large", "t", "produce-too-large"),
    ("produce-giant", "t", "too-much-data"),
    ("produce-flood", "t", "too-many-host-calls"),
];

/// Actions of `raw.wat` by the first byte of the value, and their failure codes.
const RAW: &[(&str, char, &str)] = &[
    ("done", 'A', ""),
    ("text that is not UTF-8", 'B', "trap"),
    ("result outside of memory", 'C', "trap"),
    ("list outside of memory", 'D', "trap"),
    ("list of 4,294,967,295 outcomes", 'E', "trap"),
    ("result between two words", 'F', "trap"),
    ("list between two words", 'G', "trap"),
    ("outcome of no kind", 'H', "trap"),
    ("option of no kind", 'I', "trap"),
    ("text that ends behind memory", 'J', "trap"),
    ("text whose end overflows", 'K', "trap"),
    ("100,000 outcomes", 'L', "outcome-too-large"),
    ("4,000 outcomes of the same 60 KiB", 'M', "outcome-too-large"),
    ("logs from outside of memory", 'N', "trap"),
    ("logs what is not UTF-8", 'O', "trap"),
    ("logs at no level", 'P', "trap"),
    ("logs 4,294,967,295 fields", 'Q', "trap"),
    ("sends 4,294,967,295 e-mails", 'R', "trap"),
    ("takes results outside of memory", 'S', "trap"),
    ("logs 4,000 fields of the same 60 KiB", 'T', "too-much-data"),
    ("endless host calls", 'U', "too-many-host-calls"),
    ("grows a table", 'V', "out-of-memory"),
    ("grows its memory page by page", 'W', "out-of-memory"),
    ("grows its memory at once", 'X', "out-of-memory"),
    ("endless recursion", 'Y', "stack-overflow"),
    ("endless loop", 'Z', "cpu-timeout"),
    ("unreachable", 'a', "trap"),
    ("division by zero", 'b', "trap"),
    ("division that overflows", 'c', "trap"),
    ("no integer", 'd', "trap"),
    ("reads outside of memory", 'e', "trap"),
    ("copies more than there is", 'f', "trap"),
    ("calls what is not in the table", 'g', "trap"),
    ("calls null", 'h', "trap"),
    ("calls another type", 'i', "trap"),
    ("traps after its answer", 'j', "trap"),
    ("loops after its answer", 'k', "cpu-timeout"),
    ("calls the host after its answer", 'l', "trap"),
];

/// Actions of `raw.wat` while it receives a value of this length, and their failure codes.
const RECEIVED: &[(&str, usize, &str)] = &[
    ("memory outside of memory", 7001, "trap"),
    ("trap in realloc", 7002, "trap"),
    ("endless loop in realloc", 7003, "cpu-timeout"),
    ("host call in realloc", 7004, "trap"),
    ("endless recursion in realloc", 7005, "stack-overflow"),
];
/// With this many headers `raw.wat` returns memory that is not aligned.
const HEADERS: usize = 77;

/// The number of rounds. Leaks add up over the rounds.
fn rounds() -> usize {
    testkit::scale(4, 12)
}

/// The maximum number of concurrent calls of a plugin.
const CALLS: usize = 8;
/// The number of harmless messages in flight meanwhile, and the duration of each in milliseconds.
const HARMLESS: usize = 4;
const HARMLESS_MS: u64 = 2000;
/// The bound on the growth of the host's memory over all rounds, in bytes. Each call of the two plugins has a memory in the
/// pool, which keeps up to 8 MiB of it. Reused instances take these in turn, so that all of them are full after some rounds.
/// In each round the messages that exhaust their memory use some 100 MiB.
const MAX_GROWTH: u64 = (2 * CALLS as u64) * (8 << 20);
/// The bound on a log line: at most 8 KiB of a plugin, and the fields that the host adds.
const MAX_LINE: usize = 9 << 10;

/// A message whose key names the case, and its failure code.
struct Case {
    topic: String,
    record: Record,
    code: &'static str,
}

#[test]
fn an_attempt_fails_only_its_own_message_in_a_clean_instance() {
    suite("message");
}

#[test]
fn an_attempt_fails_only_its_own_message_in_a_new_instance() {
    suite("new-instance");
}

#[test]
fn an_attempt_fails_only_its_own_message_in_a_reused_instance() {
    suite("instance");
}

fn suite(isolation: &str) {
    let kafka = Kafka::shared();
    let outside = Outside::new(isolation);
    let topics = [format!("hostile-{isolation}"), format!("raw-{isolation}")];
    for topic in &topics {
        kafka.create_topic(topic, 2, &[]);
    }
    let cases = cases(isolation, &outside, &topics);
    let host = start(kafka, &outside, isolation, &topics);
    if isolation == "message" {
        let reason = "  instance new for each message: it uses the operator Table";
        assert_eq!(host.process.count(|line| line.starts_with(reason)), 1, "the raw component is not reset");
    }
    let settle = || {
        for topic in &topics {
            eventually(BOUND, || kafka.lag(&format!("{topic}-group"), topic) == 0);
        }
    };
    kafka.produce(&topics[0], (0..100).map(|number| harmless(&format!("before{number}"), 1)));
    settle();
    let before = host.process.usage().rss;

    let harmless_ids: Vec<String> = (0..HARMLESS).map(|number| format!("harmless{number}")).collect();
    kafka.produce(&topics[0], harmless_ids.iter().map(|id| harmless(id, HARMLESS_MS)));
    eventually(BOUND, || harmless_ids.iter().all(|id| host.handled(id) == 1));
    let mut resident = vec![before];
    for _ in 0..rounds() {
        for topic in &topics {
            let own = cases.values().filter(|case| case.topic == *topic);
            kafka.produce(topic, own.map(|case| case.record.clone()));
        }
        settle();
        resident.push(host.process.usage().rss);
    }
    let mib: Vec<u64> = resident.iter().map(|bytes| bytes >> 20).collect();
    println!("{isolation}: {mib:?} MiB, {} at most", host.process.usage().peak_rss >> 20);
    eventually(BOUND, || host.process.usage().rss < before + MAX_GROWTH);

    let lines = host.stop();
    assert_eq!(lines.iter().map(String::len).find(|len| *len > MAX_LINE), None);
    let all = deliveries(&lines);
    for id in &harmless_ids {
        assert_eq!(all.get(id).map(Vec::len), Some(1), "{id}");
    }
    assert_codes(kafka, &topics, &cases);
    outside.assert_untouched();
    let mails = cases.iter().filter(|(name, case)| name.starts_with("mail-") && case.code.is_empty()).count();
    assert_eq!(outside.assert_nothing_smuggled(), mails * rounds());
}

/// Every dead letter belongs to a hostile message and has its code, and every hostile message has its dead
/// letters.
fn assert_codes(kafka: &Kafka, topics: &[String; 2], cases: &BTreeMap<String, Case>) {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for topic in topics {
        for dead_letter in kafka.read_all(&format!("{topic}.dlt")) {
            let name = String::from_utf8_lossy(&dead_letter.key.clone().unwrap_or_default()).into_owned();
            let text = |name: &str| dead_letter.header_text(name).unwrap_or_default();
            let code = text("host-failure-code");
            let is_right = cases.get(&name).is_some_and(|case| case.code == code);
            if !is_right {
                println!("{name}: {code}: {}", text("kafka_exception-message"));
            }
            found.entry(name).or_default().push(code);
        }
    }
    let expected = cases.iter().filter(|(_, case)| !case.code.is_empty());
    let expected: BTreeMap<String, Vec<String>> =
        expected.map(|(name, case)| (name.clone(), vec![case.code.to_owned(); rounds()])).collect();
    assert_eq!(found, expected);
}

fn cases(name: &str, outside: &Outside, [hostile, raw]: &[String; 2]) -> BTreeMap<String, Case> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, topic: &String, value: Vec<u8>, code| {
        let record = Record::new(value).with_key(name);
        let case = Case { topic: topic.clone(), record, code };
        assert!(all.insert(name.to_owned(), case).is_none(), "{name} occurs twice");
    };
    for (action, at, code) in HOSTILE {
        let at = outside.fill(at).replace("{name}", name);
        let value = format!(r#"{{"do":"{action}","at":"{at}"}}"#);
        add(format!("{action} {at}").trim(), hostile, value.into_bytes(), code);
    }
    for (name, action, code) in RAW {
        add(name, raw, action.to_string().into_bytes(), code);
    }
    for (name, len, code) in RECEIVED {
        add(name, raw, vec![b'A'; *len], code);
    }
    let headers =
        (0..HEADERS).fold(Record::new("A").with_key("headers"), |record, _| record.with_header("h", "v"));
    all.insert("headers".to_owned(), Case { topic: raw.clone(), record: headers, code: "trap" });
    all
}

fn harmless(id: &str, ms: u64) -> Record {
    Record::new(format!(r#"{{"do":"sleep","at":"{ms}"}}"#)).with_key(id)
}

fn start(kafka: &Kafka, outside: &Outside, isolation: &str, topics: &[String; 2]) -> Host {
    let plugins: [PathBuf; 2] = [plugin("hostile"), raw::component()];
    let mut text = outside.fill("[mail]\nurl = \"smtp://{smtp}\"\n");
    for (path, topic) in plugins.iter().zip(topics) {
        text += &format!(
            "[[plugin]]\npath = {path:?}\ntopic = \"{topic}\"\ngroup = \"{topic}-group\"\n\
             dead-letter-topic = \"{topic}.dlt\"\nconcurrency = {CALLS}\nisolation = \"{isolation}\"\n\
             allow = [\"mail\", \"dir:{}\"]\nretry = {{ retries = 0 }}\n\
             limits = {{ memory = \"16MiB\", guest-time = \"300ms\", call-time = \"5s\", outcome = \"64KiB\", \
             log = \"64KiB\", mail = \"256KiB\", produce = \"256KiB\", host-calls = 1000 }}\n",
            outside.directory.display()
        );
    }
    let config = file(&format!("hostile-{isolation}.toml"), text.as_bytes());
    let config = config.to_str().expect("a path in UTF-8");
    let args = ["--config", config, "--bootstrap-servers", kafka.bootstrap()];
    Host::run(&args, &[("SECRET", "not for guests")])
}
