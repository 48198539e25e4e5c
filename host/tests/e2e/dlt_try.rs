//! `host dlt try` and what is said of groups, on a running host.

use base::bytes::Bytes;
use desk::Letter;
use testkit::{Kafka, eventually};

use crate::dlt::{Desk, letter, texts};
use crate::support::{BOUND, Guest, body, file};

/// A letter whose message asks the guest for this.
fn asking(guest: &Guest, offset: i64, action: &str) -> Letter {
    let value = Bytes(body(&offset.to_string(), action, "").into_bytes());
    Letter { value: Some(value), ..letter(guest, offset, "asked-reject") }
}

#[test]
fn a_build_is_tried_and_those_that_pass_are_sent_back() {
    let (kafka, guest) = (Kafka::shared(), Guest::fast("dlt-try"));
    let desk = Desk::start(&guest, &[]);
    let actions = ["done", "reject", "done", "reject", "done"];
    let letters: Vec<Letter> =
        actions.iter().zip(0..).map(|(action, offset)| asking(&guest, offset, action)).collect();
    desk.import(&letters);
    let build = guest.path.to_str().expect("UTF-8");
    let output = desk.run(&["try", "--plugin", build, "--code", "asked-reject"], b"");
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stdout.starts_with("3 of 5 would pass; 2 still: asked-reject\n"), "{stdout}");
    assert!(stdout.contains("asked to reject") && stdout.contains("handled id=0 attempt=1"), "{stdout}");
    assert!(stderr.contains("has no settings") && stderr.contains("not passed: 2 letters"), "{stderr}");
    let next =
        stderr.lines().find_map(|line| line.split("host dlt replay --trial ").nth(1)).expect("a command");
    let trial = next.split(' ').next().expect("an id");
    assert_eq!(desk.json(&["list"]).as_array().map(Vec::len), Some(5), "no letter has changed");
    assert_eq!(kafka.end_offsets(&guest.topic).iter().sum::<i64>(), 0, "nothing was sent");
    let one = ["try", "--plugin", build, "--of-plugin", &letters[0].plugin, "-o", "json", &letters[0].id];
    let told = desk.run(&one, b"");
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!((told.status.code(), json["trial"]["pass"].as_u64()), (Some(0), Some(1)), "{json}");
    desk.ok(&["replay", "--trial", trial, "--yes"]);
    assert_eq!(
        desk.json(&["list", "--state", "open"]).as_array().map(Vec::len),
        Some(2),
        "those that do not pass are left"
    );
    let sent: Vec<String> = kafka.read_all(&guest.topic).iter().map(|record| record.text()).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.iter().all(|text| text.contains("done")), "{sent:?}");
    eventually(BOUND, || desk.host.handled("0") == 1);
    desk.host.stop();
}

#[test]
fn what_cannot_be_tried_is_refused() {
    let guest = Guest::fast("dlt-try-no");
    let desk = Desk::start(&guest, &[]);
    let build = guest.path.to_str().expect("UTF-8");
    desk.fails(&["try", "--plugin", build], 1, &["there are no such letters"]);
    desk.import(&[asking(&guest, 0, "done")]);
    desk.fails(&["try", "--plugin", "/nowhere.wasm"], 2, &["cannot read /nowhere.wasm", "--plugin FILE"]);
    desk.fails(&["try", "--plugin", build, "--of-plugin", "another"], 1, &["there are no such letters"]);
    let text = file("not-a-build.wasm", b"#!/bin/sh\n");
    desk.fails(&["try", "--plugin", text.to_str().expect("UTF-8")], 2, &["the build"]);
    desk.fails(&["replay", "--trial", "00ff"], 1, &["no trial has the id"]);
    desk.host.stop();
}

#[test]
fn groups_are_closed_and_have_notes() {
    let guest = Guest::fast("dlt-groups");
    let desk = Desk::start(&guest, &[]);
    desk.import(&[asking(&guest, 0, "done")]);
    let group = desk.json(&["groups"])[0]["id"].as_str().expect("an id").to_owned();
    let (_, said) =
        desk.ok(&["groups", "note", &group[..10], "see the\u{1b} ticket", "--reason", "night shift"]);
    assert!(said.contains("see the\\u{1b} ticket"), "{said}");
    let (_, said) = desk.ok(&["groups", "close", &group, "--reason", "0.2.0 is out"]);
    assert!(said.contains("is closed") && said.contains("1 of its letters are open still"), "{said}");
    assert!(desk.ok(&["groups"]).0.contains("(closed)"));
    desk.ok(&["groups", "reopen", &group]);
    assert_eq!(desk.json(&["groups"])[0]["state"], "open");
    desk.fails(&["groups", "close", "zz"], 2, &["not an id of a group", "host dlt groups"]);
    desk.fails(&["groups", "close", "00ff00ff"], 1, &["no group has the id"]);
    desk.host.stop();
}
