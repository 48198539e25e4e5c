//! The start of the host. An error is one line with the next step and an exit code.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{Kafka, Process, binary, eventually, free_port, get, plugin};

use crate::support::{BOUND, Guest, Host, file, patched};

/// An address without a server.
const NOWHERE: &str = "127.0.0.1:9";

/// Runs the host until it exits.
#[track_caller]
fn run(args: &[&str], bound: Duration) -> (Option<i32>, Vec<String>) {
    let mut process = Process::start("host", args);
    let status = process.wait(bound);
    (status.code(), process.lines())
}

/// Checks that the host refuses these arguments with exit code 2: one `error:` line that contains `what`, and
/// a next step that contains `next`.
#[track_caller]
fn refuses(args: &[&str], what: &str, next: &str) {
    // A free port unless the arguments have one, and a Kafka address that is never contacted.
    let more = ["--bootstrap-servers", NOWHERE, "--listen", "127.0.0.1:0"];
    let more = more.chunks(2).filter(|flag| !args.contains(&flag[0])).flatten();
    let args: Vec<&str> = args.iter().chain(more).copied().collect();
    let (code, lines) = run(&args, Duration::from_secs(20));
    let text = lines.join("\n");
    assert_eq!(code, Some(2), "{args:?}\n{text}");
    explains(&lines, what, next);
}

#[track_caller]
fn explains(lines: &[String], what: &str, next: &str) {
    let text = lines.join("\n");
    let errors: Vec<&String> = lines.iter().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert!(text.contains(what), "expected {what:?} in\n{text}");
    // The format of clap, and that of the host.
    let help = lines.iter().find(|line| {
        let step = line.starts_with("  help: ") || line.contains("tip: ") || line.contains("try '--help'");
        step && line.contains(next)
    });
    assert!(help.is_some(), "expected {next:?} as the next step in\n{text}");
    let noise = lines.iter().find(|line| line.contains("panicked") || line.contains("RUST_BACKTRACE"));
    assert_eq!(noise, None);
}

#[track_caller]
fn refuses_plugin(path: &Path, what: &str, next: &str) {
    let path = path.to_str().expect("a path in UTF-8");
    refuses(&["--plugin", path], &format!("error: {path}: {what}"), next);
}

#[test]
fn files_that_are_not_plugins_are_refused() {
    refuses_plugin(Path::new("nowhere.wasm"), "No such file", "make build");
    refuses_plugin(Path::new("/"), "Is a directory", "make build");
    refuses_plugin(&file("text.wasm", b"some text"), "not a WebAssembly component", "wasm32-wasip2");
    refuses_plugin(&file("empty.wasm", b""), "not a WebAssembly component", "wasm32-wasip2");
    let module = file("module.wasm", b"\0asm\x01\0\0\0");
    refuses_plugin(&module, "a core WebAssembly module, not a component", "wasm32-wasip2");
    let component = file("component.wasm", b"\0asm\x0d\0\x01\0");
    refuses_plugin(
        &component,
        "not a plugin: it does not export kafka-host:plugin/handler",
        "wit/plugin.wit",
    );
    let whole = std::fs::read(plugin("sms")).expect("the plugin's bytes");
    refuses_plugin(&file("half.wasm", &whole[..whole.len() / 2]), "not a valid component", "build");
}

#[test]
fn plugins_of_other_contracts_and_hosts_are_refused() {
    let newer = [
        ("kafka-host:plugin/handler@0.2.0", "kafka-host:plugin/handler@0.9.0"),
        ("kafka-host:plugin/messages@0.2.0", "kafka-host:plugin/messages@0.9.0"),
    ];
    refuses_plugin(
        &patched("sms", "newer", &newer),
        "it implements kafka-host:plugin 0.9.0, and this host supports kafka-host:plugin 0.2",
        "wit/",
    );
    let foreign = [("wasi:clocks/", "acme:clocks/")];
    let foreign = patched("faulty_fast", "foreign", &foreign);
    refuses_plugin(
        &foreign,
        "it has imports that this host does not provide:\n    acme:clocks/",
        "a plugin may import",
    );
    let later = [("wasi:cli/stdout@0.2.", "wasi:cli/stdout@0.3.")];
    let later = patched("faulty_fast", "later", &later);
    refuses_plugin(
        &later,
        "it has imports that this host does not provide:\n    wasi:cli/stdout@0.3.",
        "a plugin may import",
    );
    let function = [("kafka-host:plugin/log@", "kafka-host:plugin/lug@")];
    let function = patched("faulty_fast", "function", &function);
    refuses_plugin(&function, "it cannot be linked", "wit/");
    let topic = patched("faulty_fast", "topic", &[("faulty-fast", "faulty fast")]);
    refuses_plugin(&topic, r#"its topic "faulty fast" is not a topic name"#, "describe");
}

#[test]
fn invalid_arguments_are_refused() {
    let email = plugin("email");
    let email = email.to_str().expect("a path in UTF-8");
    refuses(&[], "--plugin", "--help");
    refuses(&["--plugin", email, "--plugins", "x"], "--plugins", "--plugin");
    refuses(&["--plugin", email, "--listen", "8081"], "--listen", "--help");
    refuses(&["--plugin", email, "--listen", "192.0.2.1:80"], "cannot listen on 192.0.2.1:80", "--listen");
    refuses(&["--plugin", email, "-X", "nosuch.property=1"], "nosuch.property", "librdkafka");
    refuses(&["--plugin", email, "-X", "fetch.wait.max.ms=never"], "fetch.wait.max.ms", "librdkafka");
    refuses(&["--plugin", email, "-X", "nothing"], "PROPERTY=VALUE", "--help");
    for property in
        ["enable.auto.commit=true", "group.protocol=consumer", "isolation.level=read_uncommitted", "acks=1"]
    {
        let name = property.split('=').next().unwrap_or_default();
        refuses(&["--plugin", email, "-X", property], name, &format!("remove -X {name}"));
    }
    refuses(
        &["--plugin", email, "-X", "max.poll.interval.ms=20000"],
        "max.poll.interval.ms",
        "raise max.poll.interval.ms",
    );
    refuses(&["--plugin", email, "--auto-offset-reset", "newest"], "newest", "--help");
    refuses(&["--plugin", email, "--mail-url", "ftp://example.com"], "mail", "smtp://");
    refuses(
        &["--plugin", email, "--plugin", email],
        "both use consumer group email-send-group",
        "remove one of them",
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("the address").to_string();
    refuses(
        &["--plugin", email, "--listen", &address],
        &format!("cannot listen on {address}"),
        "--listen 127.0.0.1:0",
    );
}

#[test]
fn without_kafka_the_start_ends_after_its_bound() {
    let sms = plugin("sms");
    let address = format!("127.0.0.1:{}", free_port());
    let started = Instant::now();
    let args = [
        "--plugin",
        sms.to_str().expect("a path in UTF-8"),
        "--bootstrap-servers",
        &address,
        "--listen",
        "127.0.0.1:0",
    ];
    let (code, lines) = run(&args, BOUND);
    let took = started.elapsed().as_secs();
    assert_eq!(code, Some(1), "{}", lines.join("\n"));
    assert!((29..45).contains(&took), "{took} s");
    explains(&lines, &format!("cannot reach Kafka at {address}"), "--bootstrap-servers");
    assert_eq!(lines.iter().filter(|line| line.starts_with("Waiting up to 30 s")).count(), 1);
}

#[test]
fn missing_topics_are_reported_if_the_host_may_not_create_them() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("no-topic");
    let args = [
        "--plugin",
        guest.path.to_str().expect("a path in UTF-8"),
        "--bootstrap-servers",
        kafka.bootstrap(),
        "--listen",
        "127.0.0.1:0",
        "--create-topics=false",
    ];
    for (missing, create) in [(&guest.topic, true), (&guest.retry_topics[0], false)] {
        let (code, lines) = run(&args, BOUND);
        assert_eq!(code, Some(1), "{}", lines.join("\n"));
        explains(
            &lines,
            &format!("topic {missing} does not exist"),
            &format!("host topics create {missing}"),
        );
        if create {
            kafka.create_topic(missing, 1, &[]);
        }
    }
}

#[test]
fn health_is_served_and_derived_topics_follow_the_source() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("health");
    kafka.create_topic(&guest.topic, 3, &[("max.message.bytes", "200000")]);
    let host = Host::start(kafka, &[&guest.path]);
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/nothing", 404)] {
        assert_eq!(get(host.port, path).expect("an answer").status, status, "{path}");
    }
    for topic in guest.retry_topics.iter().chain([&guest.dead]) {
        assert_eq!(kafka.end_offsets(topic), [0, 0, 0], "{topic}");
    }
    host.process.wait_for(|line| line.contains("e-mail is only logged"), BOUND);
    host.stop();
}

#[test]
fn environment_variables_replace_flags() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("environment");
    let env = [
        ("HOST_PLUGINS", guest.path.to_str().expect("a path in UTF-8")),
        ("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap()),
        ("HOST_LISTEN", "127.0.0.1:0"),
        ("KAFKA_PROPERTIES", "client.rack=here;fetch.wait.max.ms=100"),
    ];
    let mut process = Process::start_with(&binary("host"), &[], &env);
    process.wait_for(|line| line.starts_with("Ready in"), BOUND);
    eventually(BOUND, || kafka.end_offsets(&guest.dead).len() == 1);
    process.signal("INT");
    assert_eq!(process.wait(BOUND).code(), Some(0));
}
