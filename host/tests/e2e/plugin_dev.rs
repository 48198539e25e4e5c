//! `host plugin dev`: a project is built and tested again at every change. Its build copies a built plugin.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{Process, eventually, plugin};

use crate::plugin_command::text;
use crate::support::{BOUND, file};

/// A project whose build is this command of a shell.
fn project(name: &str, build: &str) -> PathBuf {
    let directory = file("project.txt", b"").with_file_name(format!("dev-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("cases")).expect("a directory");
    let manifest = format!("[project]\nname = \"x\"\n[tool.kafka-host-plugin]\nbuild = {build:?}\n");
    fs::write(directory.join("pyproject.toml"), manifest).expect("written");
    directory
}

fn dev(directory: &Path) -> Process {
    Process::start("host", &["plugin", "dev", text(directory)])
}

/// Waits for the next line that begins like this, and returns all lines so far.
#[track_caller]
fn wait(dev: &Process, seen: &mut usize, start: &str) -> Vec<String> {
    eventually(BOUND, || dev.lines().iter().skip(*seen).any(|line| line.starts_with(start)));
    let lines = dev.lines();
    let at = lines.iter().skip(*seen).position(|line| line.starts_with(start));
    let from = *seen;
    *seen += at.map_or(0, |at| at + 1);
    lines[from..*seen].to_vec()
}

const CASE: &str = r#"{"message": {"value": {"from": "me@example.com", "to": "you@example.org", "subject": "Hello",
    "body": "It works."}}, "expect": {"outcome": "done"}}"#;
const WATCHING: &str = "— watching for changes";

#[test]
fn a_change_is_built_and_its_cases_run_again() {
    let email = plugin("email");
    let build = format!("echo a line of the tool; test ! -e broken && cp {} x.wasm", text(&email));
    let directory = project("changes", &build);
    let (case, mut seen) = (directory.join("cases/a.json"), 0);
    let mut dev = dev(&directory);
    let lines = wait(&dev, &mut seen, WATCHING).join("\n");
    assert!(lines.contains("a line of the tool") && lines.contains("— built in"), "{lines}");
    assert!(lines.contains("no cases yet; a first one, of a message on email.send"), "{lines}");

    // A case is run without a build.
    fs::write(&case, CASE).expect("written");
    let lines = wait(&dev, &mut seen, WATCHING).join("\n");
    assert!(lines.contains("— changed: cases/a.json") && lines.contains("1 of 1 cases passed"), "{lines}");
    assert!(
        lines.contains("captured e-mail from me@example.com") && !lines.contains("— building"),
        "{lines}"
    );

    // What is not as it was.
    fs::write(&case, CASE.replace("Hello", "Hello again")).expect("written");
    let lines = wait(&dev, &mut seen, WATCHING).join("\n");
    assert!(
        lines.contains("since the last run") && lines.contains("+       \"subject\": \"Hello again\""),
        "{lines}"
    );

    fs::write(directory.join("broken"), "").expect("written");
    let lines = wait(&dev, &mut seen, WATCHING).join("\n");
    assert!(lines.contains("— the build failed") && lines.contains("a line of the tool"), "{lines}");
    assert!(!lines.contains("cases passed"), "{lines}");
    fs::remove_file(directory.join("broken")).expect("removed");
    assert!(wait(&dev, &mut seen, WATCHING).join("\n").contains("1 of 1 cases passed"));

    fs::write(&case, "{").expect("written");
    assert!(wait(&dev, &mut seen, WATCHING).join("\n").contains("not a case"));
    assert_eq!(dev.count(|line| line.contains('\u{1b}')), 0, "plain text");
    dev.terminate();
    assert_eq!(dev.wait(BOUND).code(), Some(0));
}

#[test]
fn the_end_kills_a_build_that_hangs() {
    let directory = project("hangs", "sleep 600 & echo $! > ../dev-hangs.pid; wait");
    let pid = directory.with_file_name("dev-hangs.pid");
    let _ = fs::remove_file(&pid);
    let mut dev = dev(&directory);
    let read = || fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse::<u32>().ok());
    eventually(BOUND, || read().is_some());
    let sleep = read().expect("a process");
    dev.signal("INT");
    assert_eq!(dev.wait(Duration::from_secs(10)).code(), Some(0));
    let stat = format!("/proc/{sleep}/stat");
    eventually(BOUND, || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
}

#[test]
fn a_build_that_hangs_is_started_again_when_a_file_changes() {
    let build = format!("test -e mended || sleep 600; cp {} x.wasm", text(&plugin("email")));
    let directory = project("mended", &build);
    let mut dev = dev(&directory);
    dev.wait_for(|line| line.starts_with("— building"), BOUND);
    fs::write(directory.join("mended"), "").expect("written");
    dev.wait_for(|line| line.starts_with("— built in"), BOUND);
    dev.terminate();
    assert_eq!(dev.wait(BOUND).code(), Some(0));
}

#[test]
fn a_project_that_vanishes_ends_the_command() {
    let directory = project("vanishes", "true");
    let mut dev = dev(&directory);
    dev.wait_for(|line| line.starts_with(WATCHING), BOUND);
    fs::remove_dir_all(&directory).expect("removed");
    assert_eq!(dev.wait(BOUND).code(), Some(1));
    assert_eq!(dev.count(|line| line.contains("cannot watch")), 1);
    // None is there at the start.
    let mut dev = Process::start("host", &["plugin", "dev", text(&directory)]);
    assert_eq!(dev.wait(BOUND).code(), Some(2));
    assert_eq!(dev.count(|line| line.contains("no Cargo.toml, package.json or pyproject.toml")), 1);
}
