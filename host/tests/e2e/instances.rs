//! Getting an instance costs no message its attempt, however large the component and however full the pool.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use consumer::Subscriber;
use contract::{Message, Outcome};
use effects::Effects;
use futures_util::future::join_all;
use sandbox::call::{Outside, Services};
use sandbox::cause::{Cause, LeadsTo};
use sandbox::engine::Engines;
use sandbox::engine::guest_memory::GuestMemory;
use sandbox::output::{At, Place};
use settings::File;
use testkit::{Kafka, Record, eventually, plugin};

use crate::plugin_command::{config, host, stderr, text};
use crate::support::{BOUND, Guest, Host, body, file};

/// The number of messages that sleep, and how long each of them does.
const MESSAGES: usize = 500;
const SLEEP: &str = r#","ms":50"#;
/// As many core instances as a Python component has, in addition to those of the guest.
const CORE_INSTANCES: u8 = 16;

/// A component with more core instances: the bytes of a module, and of its instantiations, behind the sections of the
/// component.
fn with_core_instances(component: &Path, name: &str) -> PathBuf {
    let module = wat::parse_str("(module (func))").expect("a module");
    let mut bytes = std::fs::read(component).expect("a component");
    let number = core_modules(&bytes);
    bytes.push(1);
    bytes.push(u8::try_from(module.len()).expect("a short module"));
    bytes.extend(module);
    // Each is 0, for an instantiation, the number of the module, and no arguments.
    let instances = (0..CORE_INSTANCES).flat_map(|_| [0, number, 0]);
    bytes.extend([2, 1 + 3 * CORE_INSTANCES, CORE_INSTANCES]);
    bytes.extend(instances);
    file(&format!("{name}.wasm"), &bytes)
}

/// The number of core modules of a component. A section is its number, its length, and its content.
fn core_modules(bytes: &[u8]) -> u8 {
    let (mut at, mut count) = (8, 0);
    while at < bytes.len() {
        count += u8::from(bytes[at] == 1);
        let (mut length, mut shift) = (0, 0);
        loop {
            at += 1;
            length |= usize::from(bytes[at] & 0x7f) << shift;
            shift += 7;
            if bytes[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + length;
    }
    count
}

/// Runs the host on sleeping messages at these settings, without retries. All must end well.
#[track_caller]
pub fn sleeps(topic: &str, dead: &str, plugin: &Path, settings: &str, record: impl Fn(usize) -> String) {
    let kafka = Kafka::shared();
    for topic in [topic, dead] {
        kafka.create_topic(topic, 2, &[]);
    }
    let more =
        format!("group = \"{topic}-group\"\ndead-letter-topic = \"{dead}\"\n{settings}\nretry.retries = 0");
    let config = config(topic, plugin, &more);
    let host = Host::run(&["--config", text(&config), "--bootstrap-servers", kafka.bootstrap()], &[]);
    kafka.produce(topic, (0..MESSAGES).map(|number| Record::new(record(number)).on(number as i32 % 2)));
    eventually(BOUND, || kafka.lag(&format!("{topic}-group"), topic) == 0);
    host.stop();
    let dead = kafka.read_all(dead);
    let codes: Vec<_> = dead.iter().filter_map(|record| record.header_text("host-failure-code")).collect();
    assert!(codes.is_empty(), "{topic}: {codes:?}");
}

#[test]
fn many_core_instances_cost_no_attempt() {
    for (name, settings) in [("core-all", ""), ("core-one", "concurrency = 1")] {
        let guest = Guest::fast(name);
        let path = with_core_instances(&guest.path, name);
        let record = |number: usize| body(&number.to_string(), "sleep", SLEEP);
        sleeps(&guest.topic, &guest.dead, &path, settings, record);
    }
}

#[test]
fn a_memory_above_the_default_limit_is_described_and_handled() {
    let wat = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/raw.wat"));
    let wat = wat
        .expect("the module")
        .replace("(memory (export \"memory\") 4)", "(memory (export \"memory\") 1280)");
    let path = crate::hostile_components::component_of(wat.as_bytes(), "large");
    let run = |name: &str, more: &str, input: &str| {
        let config = config(name, &path, more);
        let args = ["plugin", "invoke", text(&path), "--message", "-", "--config", text(&config)];
        let output = host(name, &args, input);
        (output.status.code(), stderr(&output))
    };
    let message = r#"{"value":"A"}"#;
    let (code, error) = run("large-not", "", message);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("its memory has 80.0 MiB at first") && error.contains("set limits.memory"),
        "{error}"
    );
    assert_eq!(run("large-is", "limits.memory = \"100 MiB\"", message), (Some(0), String::new()));
}

/// `faulty` with its engines in this process. Its calls may take 300 ms.
async fn load(engines: &Engines) -> Subscriber {
    let path = plugin("faulty");
    let text = format!("[[plugin]]\npath = {path:?}\ntopic = \"faulty\"\nlimits.call-time = \"300ms\"");
    let settings =
        File::parse(&text, &sandbox::capabilities::extensions()).expect("settings").plugins.remove(0);
    let services = Arc::new(Services::new(Effects::new(tokio::runtime::Handle::current())));
    Subscriber::load(&path, Some(&settings), engines, Outside::Sent(services)).await.expect("a plugin")
}

async fn handle(subscriber: &Subscriber, action: &str, ms: u64) -> Result<Outcome, Cause> {
    let value = body("a", action, &format!(r#","ms":{ms}"#));
    let message = Message {
        id: "1",
        topic: "faulty",
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        value: Some(value.as_bytes()),
        headers: Vec::new(),
        attempt: 1,
        max_attempts: 1,
    };
    let place = Place { plugin: Arc::clone(&subscriber.plugin.name), at: At::Nowhere };
    subscriber.handle(message, place).await
}

/// Many calls at once, of which only a few get an instance at the same time. Returns how long they took.
async fn crowd(engines: &Engines) -> Duration {
    let subscriber = load(engines).await;
    let start = Instant::now();
    for outcome in join_all((0..30).map(|_| handle(&subscriber, "sleep", 100))).await {
        assert_eq!(outcome, Ok(Outcome::Done(String::new())));
    }
    start.elapsed()
}

#[tokio::test]
async fn waiting_for_room_in_the_pool_is_no_part_of_the_call() {
    let engines = Engines::with_cache(1, 64 << 20, None).expect("engines");
    assert!(
        crowd(&engines).await > Duration::from_millis(400),
        "they had to wait longer than a call may take"
    );
}

#[tokio::test]
async fn waiting_for_memory_is_no_part_of_the_call() {
    let mut engines = Engines::with_cache(32, 64 << 20, None).expect("engines");
    engines.memory = Arc::new(GuestMemory::new(2 << 20));
    assert!(
        crowd(&engines).await > Duration::from_millis(400),
        "they had to wait longer than a call may take"
    );
    assert_eq!(engines.memory.used(), 0);
}

#[tokio::test]
async fn memory_that_others_have_costs_no_attempt() {
    let mut engines = Engines::with_cache(2, 64 << 20, None).expect("engines");
    engines.memory = Arc::new(GuestMemory::new(2 << 20));
    let subscriber = load(&engines).await;
    let (other, cause) = tokio::join!(handle(&subscriber, "sleep", 200), handle(&subscriber, "memory", 0));
    assert_eq!(other, Ok(Outcome::Done(String::new())));
    let cause = cause.expect_err("it is refused memory");
    assert_eq!((&*cause.code, cause.leads_to.after_ms().is_some()), ("shortage", true));
    // Alone, it has all that its own limit permits.
    let cause = handle(&subscriber, "memory", 0).await.expect_err("it exceeds its limit");
    assert_eq!((&*cause.code, cause.leads_to), ("out-of-memory", LeadsTo::Retry));
}
