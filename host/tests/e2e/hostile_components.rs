//! Components that try everything: each costs its own message only, and reaches nothing.
//!
//! A case is a line: what a message asks for, and the failure code that its dead letter has, or "" where
//! it is done. Two guests try: `hostile`, in Rust, and `raw.wat`, which breaks the canonical ABI.

mod outside;
mod raw;

use std::collections::BTreeMap;
use std::path::PathBuf;

use testkit::{Kafka, Record, eventually, plugin};

use self::outside::Outside;
use crate::support::{BOUND, Host, deliveries, file};

/// What `hostile` is asked for, where, and how it ends.
const HOSTILE: &[(&str, &str, &str)] = &[
    // Time.
    ("loop", "", "cpu-timeout"),
    ("config", "", "too-many-host-calls"),
    ("log-empty", "", "too-many-host-calls"),
    ("random", "", "cpu-timeout"),
    ("sleep-forever", "", "timeout"),
    ("poll-forever", "", "timeout"),
    ("poll-nothing", "", "trap"),
    // Memory, the guest's and the host's.
    ("memory-at-once", "", "out-of-memory"),
    ("memory-in-small", "", "out-of-memory"),
    ("memory-doubling", "", "out-of-memory"),
    ("recurse", "", "trap"),
    ("handles", "", "too-many-handles"),
    ("random-giant", "18446744073709551615", "too-much-data"),
    ("random-giant", "8000000", "too-much-data"),
    // What it returns and writes.
    ("no-outcomes", "", "wrong-outcome-count"),
    ("two-outcomes", "", "wrong-outcome-count"),
    ("many-outcomes", "", "outcome-too-large"),
    ("giant-receipt", "", "outcome-too-large"),
    ("giant-failure", "", "outcome-too-large"),
    ("log-lines", "", "log-too-large"),
    // A line is cut off at 8 KiB.
    ("log-one", "", ""),
    ("log-giant", "", "too-much-data"),
    ("log-fields", "", "too-much-data"),
    ("stdout", "", "log-too-large"),
    ("stderr", "", "log-too-large"),
    // How it ends.
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
];

/// What `raw.wat` is asked for, by the first byte of the value, and how it ends.
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

/// What `raw.wat` does while it is handed a value of this length, and how it ends.
const HANDED: &[(&str, usize, &str)] = &[
    ("memory outside of memory", 7001, "trap"),
    ("trap in realloc", 7002, "trap"),
    ("endless loop in realloc", 7003, "cpu-timeout"),
    ("host call in realloc", 7004, "trap"),
    ("endless recursion in realloc", 7005, "stack-overflow"),
];
/// And while it is handed so many headers: memory between two words.
const HEADERS: usize = 77;

/// How many rounds of them all there are: what leaks adds up.
const TIMES: usize = 4;
/// How many harmless messages are under way meanwhile, for how many milliseconds each.
const BESIDE: usize = 20;
const BESIDE_MS: u64 = 2000;
/// What the host may hold more after all rounds than before them, in bytes: it warms up over the first
/// few (12 rounds end where 4 do). In each round those that exhaust their memory alone take some 100 MiB.
const HELD: u64 = 96 << 20;
/// A line of a plugin has 8 KiB at most, and the host says before and behind it what it is about.
const LONGEST_LINE: usize = 9 << 10;

/// A message, under a key that names it, and the code that it ends with.
struct Case {
    topic: String,
    record: Record,
    code: &'static str,
}

#[test]
fn each_costs_its_own_message_only_where_instances_are_fresh() {
    suite("message");
}

#[test]
fn each_costs_its_own_message_only_where_instances_are_used_again() {
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
    let settle = || {
        for topic in &topics {
            eventually(BOUND, || kafka.lag(&format!("{topic}-group"), topic) == 0);
        }
    };
    kafka.produce(&topics[0], (0..100).map(|number| harmless(&format!("before{number}"), 1)));
    settle();
    let before = host.process.usage().rss;

    let beside: Vec<String> = (0..BESIDE).map(|number| format!("beside{number}")).collect();
    kafka.produce(&topics[0], beside.iter().map(|id| harmless(id, BESIDE_MS)));
    eventually(BOUND, || beside.iter().all(|id| host.handled(id) == 1));
    let mut held = vec![before];
    for _ in 0..TIMES {
        for topic in &topics {
            let own = cases.values().filter(|case| case.topic == *topic);
            kafka.produce(topic, own.map(|case| case.record.clone()));
        }
        settle();
        held.push(host.process.usage().rss);
    }
    let mib: Vec<u64> = held.iter().map(|bytes| bytes >> 20).collect();
    println!("{isolation}: {mib:?} MiB, {} at most", host.process.usage().peak_rss >> 20);
    eventually(BOUND, || host.process.usage().rss < before + HELD);

    let lines = host.stop();
    assert_eq!(lines.iter().map(String::len).find(|len| *len > LONGEST_LINE), None);
    let all = deliveries(&lines);
    for id in &beside {
        assert_eq!(all.get(id).map(Vec::len), Some(1), "{id}");
    }
    assert_codes(kafka, &topics, &cases);
    outside.assert_untouched();
    let mails = cases.iter().filter(|(name, case)| name.starts_with("mail-") && case.code.is_empty()).count();
    assert_eq!(outside.assert_nothing_smuggled(), mails * TIMES);
}

/// Every dead letter is that of a hostile message, with its code, and each hostile message has its own.
fn assert_codes(kafka: &Kafka, topics: &[String; 2], cases: &BTreeMap<String, Case>) {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for topic in topics {
        for letter in kafka.read_all(&format!("{topic}.dlt")) {
            let name = String::from_utf8_lossy(&letter.key.clone().unwrap_or_default()).into_owned();
            let text = |name: &str| letter.header_text(name).unwrap_or_default();
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
        expected.map(|(name, case)| (name.clone(), vec![case.code.to_owned(); TIMES])).collect();
    assert_eq!(found, expected);
}

fn cases(name: &str, outside: &Outside, [hostile, raw]: &[String; 2]) -> BTreeMap<String, Case> {
    let mut all = BTreeMap::new();
    let mut add = |name: &str, topic: &String, value: Vec<u8>, code| {
        let record = Record::new(value).with_key(name);
        let case = Case { topic: topic.clone(), record, code };
        assert!(all.insert(name.to_owned(), case).is_none(), "{name} is there twice");
    };
    for (action, at, code) in HOSTILE {
        let at = outside.fill(at).replace("{name}", name);
        let value = format!(r#"{{"do":"{action}","at":"{at}"}}"#);
        add(format!("{action} {at}").trim(), hostile, value.into_bytes(), code);
    }
    for (name, letter, code) in RAW {
        add(name, raw, letter.to_string().into_bytes(), code);
    }
    for (name, len, code) in HANDED {
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
             dead-letter-topic = \"{topic}.dlt\"\nisolation = \"{isolation}\"\n\
             allow = [\"mail\", \"dir:{}\"]\nretry = {{ retries = 0 }}\n\
             limits = {{ memory = \"16MiB\", guest-time = \"300ms\", call-time = \"5s\", outcome = \"64KiB\", \
             log = \"64KiB\", mail = \"256KiB\", host-calls = 1000 }}\n",
            outside.directory.display()
        );
    }
    let config = file(&format!("hostile-{isolation}.toml"), text.as_bytes());
    let config = config.to_str().expect("a path in UTF-8");
    let args = ["--config", config, "--bootstrap-servers", kafka.bootstrap()];
    Host::run(&args, &[("SECRET", "not for guests")])
}
