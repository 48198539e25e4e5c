//! `host dlt try` and `host dlt failures` on a running host.

use base::bytes::Bytes;
use desk_api::DeadLetter;
use testkit::{Kafka, eventually};

use crate::dlt::{Desk, dead_letter, texts};
use crate::support::{BOUND, Guest, body, file};

/// A dead letter whose message requests this action of the guest.
fn asking(guest: &Guest, offset: i64, action: &str) -> DeadLetter {
    let value = Bytes(body(&offset.to_string(), action, "").into_bytes());
    DeadLetter { value: Some(value), ..dead_letter(guest, offset, "asked-reject") }
}

#[test]
fn a_build_is_tried_and_passed_dead_letters_are_replayed() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("dlt-try"));
    let desk = Desk::start(&guest, &[]);
    let actions = ["done", "reject", "done", "reject", "done"];
    let dead_letters: Vec<DeadLetter> =
        actions.iter().zip(0..).map(|(action, offset)| asking(&guest, offset, action)).collect();
    desk.import(&dead_letters);
    let build = guest.path.to_str().expect("UTF-8");
    let output = desk.run(&["try", "--plugin", build, "--code", "asked-reject"], b"");
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stdout.starts_with("3 of 5 passed; 2 failed: asked-reject\n"), "{stdout}");
    assert!(stdout.contains("asked to reject") && stdout.contains("handled id=0 attempt=1"), "{stdout}");
    assert!(
        !stderr.contains("ran without settings") && stderr.contains("2 dead letters did not pass"),
        "{stderr}"
    );
    let next =
        stderr.lines().find_map(|line| line.split("host dlt replay --trial ").nth(1)).expect("a command");
    let trial = next.split(' ').next().expect("an id");
    assert_eq!(desk.json(&["list"]).as_array().map(Vec::len), Some(5), "no dead letter has changed");
    assert_eq!(kafka.end_offsets(&guest.topic).iter().sum::<i64>(), 0, "nothing was sent");
    let one =
        ["try", "--plugin", build, "--of-plugin", &dead_letters[0].plugin, "-o", "json", &dead_letters[0].id];
    let output = desk.run(&one, b"");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), json["trial"]["passed"].as_u64()), (Some(0), Some(1)), "{json}");
    desk.ok(&["replay", "--trial", trial, "--yes"]);
    assert_eq!(
        desk.json(&["list", "--state", "open"]).as_array().map(Vec::len),
        Some(2),
        "those that failed are left"
    );
    let sent: Vec<String> = kafka.read_all(&guest.topic).iter().map(|record| record.text()).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.iter().all(|text| text.contains("done")), "{sent:?}");
    eventually(BOUND, || desk.host.handled("0") == 1);
    desk.host.stop();
}

#[test]
fn builds_and_selections_that_cannot_be_tried_are_rejected() {
    let guest = Guest::fast("dlt-try-no");
    let desk = Desk::start(&guest, &[]);
    let build = guest.path.to_str().expect("UTF-8");
    desk.fails(&["try", "--plugin", build], 1, &["no dead letters match"]);
    desk.import(&[asking(&guest, 0, "done")]);
    desk.fails(&["try", "--plugin", "/nowhere.wasm"], 2, &["cannot read /nowhere.wasm", "--plugin FILE"]);
    desk.fails(&["try", "--plugin", build, "--of-plugin", "another"], 1, &["no dead letters match"]);
    let text = file("not-a-build.wasm", b"#!/bin/sh\n");
    desk.fails(&["try", "--plugin", text.to_str().expect("UTF-8")], 2, &["the build"]);
    desk.fails(&["replay", "--trial", "00ff"], 1, &["no trial has the id"]);
    desk.host.stop();
}

#[test]
fn failures_are_closed_and_have_notes() {
    let guest = Guest::fast("dlt-failing");
    let desk = Desk::start(&guest, &[]);
    desk.import(&[asking(&guest, 0, "done")]);
    let failure = desk.json(&["failures"])[0]["id"].as_str().expect("an id").to_owned();
    let (_, stderr) =
        desk.ok(&["failures", "note", &failure[..10], "see the\u{1b} ticket", "--reason", "night shift"]);
    assert!(stderr.contains("see the\\u{1b} ticket"), "{stderr}");
    let (_, stderr) = desk.ok(&["failures", "close", &failure, "--reason", "0.2.0 is out"]);
    assert!(stderr.contains("is closed") && stderr.contains("1 open dead letter left"), "{stderr}");
    assert!(desk.ok(&["failures"]).0.contains("(closed)"));
    desk.ok(&["failures", "reopen", &failure]);
    assert_eq!(desk.json(&["failures"])[0]["state"], "open");
    desk.fails(&["failures", "close", "zz"], 2, &["not an id", "host dlt failures"]);
    desk.fails(&["failures", "close", "00ff00ff"], 1, &["no failure has the id"]);
    desk.host.stop();
}
