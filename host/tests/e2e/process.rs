//! The process: its log, its signals, and the limits that the system sets it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{Kafka, Process, Record, binary, eventually, free_port, get, plugin};

use crate::support::{BOUND, Guest, Host, SHUTDOWN, body, file};

/// The number of SIGTERM.
const TERM: i32 = 15;

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer.into()
}

/// A file on a full disk.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("a full disk").into()
}

/// The value of a metric without labels.
fn metric(port: u16, name: &str) -> Option<u64> {
    let text = get(port, "/metrics").expect("the metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn a_log_that_cannot_be_written_ends_neither_the_host_nor_its_work() {
    const MESSAGES: usize = 50;
    let kafka = Kafka::shared();
    let cases: [(_, fn() -> Stdio, _); 2] = [("log-gone", closed, "TERM"), ("log-full", full, "INT")];
    for (name, output, signal) in cases {
        let guest = Guest::fast(name);
        kafka.create_topic(&guest.topic, 2, &[]);
        let (port, path) = (free_port(), guest.path.to_str().expect("a path in UTF-8"));
        let listen = format!("127.0.0.1:{port}");
        let args = ["--plugin", path, "--bootstrap-servers", kafka.bootstrap(), "--listen", &listen];
        let mut process = Process::start_into(&binary("host"), &args, &[], [full(), output()]);
        eventually(BOUND, || get(port, "/readyz").is_ok_and(|answer| answer.status == 200));
        kafka.produce(
            &guest.topic,
            (0..MESSAGES).map(|number| Record::new(body(&format!("l{number}"), "log", ""))),
        );
        guest.settle(kafka);
        let dropped = metric(port, "host_log_lines_dropped_total").expect("the metric");
        assert!(dropped >= MESSAGES as u64, "{name}: {dropped}");
        process.signal(signal);
        assert_eq!(process.wait(SHUTDOWN).code(), Some(0), "{name}");
        assert_eq!(kafka.members(&guest.group), Vec::<String>::new(), "{name} has left its group");
    }
}

#[test]
fn a_closed_or_full_stdout_ends_a_command_without_a_panic() {
    for (output, code, text) in [(closed(), 0, ""), (full(), 1, "error: cannot write to stdout")] {
        let outputs = [output, Stdio::piped()];
        let mut process = Process::start_into(&binary("host"), &["config", "reference"], &[], outputs);
        let status = process.wait(BOUND);
        let lines = process.lines().join("\n");
        assert_eq!(status.code(), Some(code), "{lines}");
        assert!(lines.starts_with(text) && !lines.contains("panicked"), "{lines}");
    }
}

/// A plugin's file that never can be read to its end.
fn endless(name: &str) -> PathBuf {
    let path = file(name, b"");
    std::fs::remove_file(&path).expect("the name is free");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    path
}

/// Starts a host that does not get beyond loading its plugin.
fn loading(path: &Path) -> Process {
    let path = path.to_str().expect("a path in UTF-8");
    let args = ["--plugin", path, "--bootstrap-servers", "127.0.0.1:9", "--listen", "127.0.0.1:0"];
    Process::start("host", &args)
}

/// Whether the process has a handler for SIGTERM. For process 1 of a container, the kernel drops the signal without.
fn handles_term(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    caught & (1 << (TERM - 1)) != 0
}

#[test]
fn a_signal_ends_a_host_that_is_still_loading_its_plugin() {
    let path = endless("endless.wasm");
    for signal in ["TERM", "INT"] {
        let mut process = loading(&path);
        eventually(BOUND, || handles_term(&process));
        process.signal(signal);
        let status = process.wait(SHUTDOWN);
        assert_eq!(status.code(), Some(0), "{:?}", process.lines());
        assert_eq!(process.count(|line| line.starts_with("Stopped during the start")), 1);
    }
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_the_host() {
    use std::os::unix::process::ExitStatusExt as _;
    for delay in [0, 2, 5, 10, 20, 50, 100, 200, 400, 800] {
        let mut process = loading(&plugin("sms"));
        // The moment is what is tested.
        std::thread::sleep(Duration::from_millis(delay));
        let is_handled = handles_term(&process);
        process.terminate();
        let status = process.wait(SHUTDOWN);
        // Before its first instruction, the system ends the process.
        let ended = status.code() == Some(0) || !is_handled && status.signal() == Some(TERM);
        assert!(ended, "after {delay} ms: {status:?} {:?}", process.lines());
    }
}

#[test]
fn a_host_that_another_one_with_its_instance_id_replaces_ends() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("fenced");
    kafka.create_topic(&guest.topic, 2, &[]);
    let more = ["-X", "group.instance.id=the-same", "--desk=false"];
    let mut first = Host::start_with(kafka, &[&guest.path], &more);
    let second = Host::start_with(kafka, &[&guest.path], &more);
    let status = first.process.wait(BOUND);
    let lines = first.process.lines().join("\n");
    assert_eq!(status.code(), Some(1), "{lines}");
    assert!(lines.contains("error: consumer group fenced-") && lines.contains("  help: start"), "{lines}");
    kafka.produce(&guest.topic, [Record::new(body("f", "done", ""))]);
    guest.settle(kafka);
    assert_eq!(second.handled("f"), 1);
    second.stop();
}

#[test]
fn a_relative_home_is_no_place_for_the_cache() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("relative-home");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory");
    for (home, cache) in [(".", ""), ("", "cache"), ("home", ".")] {
        let inspected = Command::new(binary("host"))
            .args(["plugin", "inspect"])
            .arg(std::path::absolute(plugin("sms")).expect("a path"))
            .current_dir(&dir)
            .env("HOME", home)
            .env("XDG_CACHE_HOME", cache)
            .output()
            .expect("the host runs");
        assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
        let found: Vec<_> = std::fs::read_dir(&dir).expect("the directory").collect();
        assert!(found.is_empty(), "HOME={home} XDG_CACHE_HOME={cache}: {found:?}");
    }
}

/// Runs the host on a terminal until it has logged a line.
fn coloured(no_color: &str) -> bool {
    let host = binary("host").display().to_string();
    let (sms, env) = (plugin("sms").display().to_string(), [("NO_COLOR", no_color), ("RUST_LOG", "debug")]);
    let line = format!("exec {host} --plugin {sms} --bootstrap-servers 127.0.0.1:9 --listen 127.0.0.1:0");
    let process = Process::start_with(Path::new("script"), &["-qefc", &line, "/dev/null"], &env);
    process.wait_for(|line| line.contains("DEBUG"), BOUND).contains('\u{1b}')
}

#[test]
fn no_color_turns_colours_off() {
    assert!(coloured(""), "on a terminal");
    assert!(!coloured("1"));
}
