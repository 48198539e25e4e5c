//! `host plugin test`: cases in files, run on built plugins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use testkit::plugin;

use crate::plugin_command::{host, stderr, stdout, text};

/// A new directory with these cases.
fn cases(name: &str, files: &[(&str, Value)]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(format!("cases-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    for (file, case) in files {
        fs::write(directory.join(file), case.to_string()).expect("written");
    }
    directory
}

#[track_caller]
fn test(plugin: &Path, cases: &Path, more: &[&str], code: i32) -> Output {
    let args = [&["plugin", "test", text(plugin), text(cases)], more].concat();
    let output = host("plugin-test", &args, "");
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(&output), stderr(&output));
    output
}

fn email(to: &str) -> Value {
    json!({ "value": { "from": "me@example.com", "to": to, "subject": "Hello", "body": "It works." } })
}

#[test]
fn cases_pass_and_fail_with_their_difference() {
    let plugin = plugin("email");
    let sent = json!({ "message": email("you@example.org"), "expect": { "outcome": "done",
        "effects": [{ "kind": "mail", "to": ["you@example.org"], "text": { "$contains": "works" } }] } });
    let refused = json!({ "message": { "value": "{" }, "expect": { "outcome": "reject" } });
    let directory = cases("pass", &[("a.json", sent.clone()), ("b.json", refused), ("c.txt", json!(1))]);
    let output = test(&plugin, &directory, &[], 0);
    let lines: Vec<_> = stdout(&output).lines().map(str::to_owned).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("ok    ")), "{lines:?}");
    assert_eq!(stderr(&output), "2 cases passed\n");

    let wrong = json!({ "message": email("you@example.org"),
        "expect": { "outcome": "done", "effects": [{ "to": ["other@example.org"] }] } });
    let directory = cases("fail", &[("a.json", sent), ("b.json", wrong)]);
    let output = test(&plugin, &directory, &[], 1);
    let said = stdout(&output);
    for part in
        ["FAIL  ", "-         \"other@example.org\"", "+         \"you@example.org\"", "outcome  done"]
    {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
    assert!(stderr(&output).contains("error: 1 of 2 cases failed"), "{}", stderr(&output));
    let output = test(&plugin, &directory, &["-o", "json"], 1);
    let results: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!((&results[0]["passed"], &results[1]["passed"]), (&json!(true), &json!(false)));
    assert_eq!(results[1]["seen"]["effects"][0]["to"], json!(["you@example.org"]));
    assert_eq!(results[1]["result"]["outcome"], json!("done"));
}

#[test]
fn a_case_has_settings_and_responses_of_its_own() {
    let url = "https://api.example.com";
    let plugin_settings =
        json!({ "allow": [url], "http": { url: { "solapi": { "key": "k", "secret": "s" } } } });
    let case = |more: Value| {
        let mut case = json!({
            "message": { "value": { "from": "02-930-2266", "to": "01012340001", "body": "Hi" } },
            "config": { "gateway": "solapi", "url": url },
        });
        case.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        case
    };
    let accepted = json!({ "statusCode": "2000", "messageId": "M4V" });
    let directory = cases(
        "settings",
        &[
            (
                "accepted.json",
                case(
                    json!({ "plugin": plugin_settings, "http-responses": [{ "status": 200, "body": accepted }],
                    "expect": { "outcome": "done", "receipt": "M4V", "effects": [{ "kind": "http", "method": "POST" }] } }),
                ),
            ),
            (
                "busy.json",
                case(json!({ "plugin": plugin_settings, "http-responses": ["429"],
                    "expect": { "outcome": "retry", "code": "rate-limited" } })),
            ),
            (
                "denied.json",
                case(json!({ "expect": { "outcome": "reject", "code": "http-denied", "effects": [] } })),
            ),
        ],
    );
    test(&plugin("sms"), &directory, &[], 0);
    let unknown = case(json!({ "plugin": { "alow": [] }, "expect": { "outcome": "done" } }));
    let output = test(&plugin("sms"), &cases("unknown", &[("a.json", unknown)]), &[], 2);
    assert!(stderr(&output).contains("did you mean allow?"), "{}", stderr(&output));
}

#[test]
fn an_update_writes_what_is_seen() {
    let plugin = plugin("email");
    let directory = cases("update", &[("a.json", json!({ "message": email("you@example.org") }))]);
    let output = test(&plugin, &directory, &[], 2);
    assert!(stderr(&output).contains("--update"), "{}", stderr(&output));
    assert!(stdout(&test(&plugin, &directory, &["--update"], 0)).starts_with("written  "));
    let written = fs::read_to_string(directory.join("a.json")).expect("the case");
    assert!(written.contains("\"outcome\": \"done\"") && written.contains("you@example.org"), "{written}");
    assert!(!written.contains("time_ms") && !written.contains("@example.com>"), "{written}");
    test(&plugin, &directory, &[], 0);
    assert!(stdout(&test(&plugin, &directory, &["--update"], 0)).starts_with("same     "));
    assert_eq!(fs::read_to_string(directory.join("a.json")).expect("the case"), written);
    let changed = written.replace("\"done\"", "\"skipped\"");
    fs::write(directory.join("a.json"), changed).expect("written");
    test(&plugin, &directory, &[], 1);
    test(&plugin, &directory, &["--update"], 0);
    test(&plugin, &directory, &[], 0);
}

#[test]
fn what_is_no_case_is_refused() {
    let (plugin, directory) = (plugin("email"), cases("wrong", &[]));
    let path = directory.join("case.json");
    let refused = |content: &[u8], reason: &str| {
        fs::write(&path, content).expect("written");
        let output = test(&plugin, &path, &[], 2);
        assert!(stderr(&output).contains(reason), "{reason:?} in {}", stderr(&output));
    };
    refused(b"{\"message\": \"\xff\"}", "not UTF-8 at byte 13");
    refused("[".repeat(100_000).as_bytes(), "not a case: ");
    let deep = format!("{{\"message\": {}", "[".repeat(100_000));
    refused(deep.as_bytes(), "recursion limit");
    refused(b"{\"message\": {\"valeu\": 1}, \"expect\": {\"outcome\": \"done\"}}", "unknown field `valeu`");
    fs::File::create(&path).and_then(|file| file.set_len(1 << 30)).expect("a file of 1 GiB");
    let output = test(&plugin, &path, &[], 2);
    assert!(stderr(&output).contains("larger than 16 MiB"), "{}", stderr(&output));
    fs::remove_file(&path).expect("removed");
    assert!(stderr(&test(&plugin, &directory, &[], 2)).contains("has no cases"));
    assert!(stderr(&test(&plugin, &directory.join("none"), &[], 2)).contains("No such file"));
    let schema = host("plugin-test", &["plugin", "test", "--schema"], "");
    let schema: Value = serde_json::from_str(&stdout(&schema)).expect("JSON");
    assert_eq!(schema["required"], json!(["message"]));
}

/// The `cases/` of an example pass, with the built plugin beside a copy of its settings.
fn example_passes(name: &str, settings: Option<&str>) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/examples").join(name);
    let directory = cases(&format!("example-{name}"), &[]);
    let component = directory.join(format!("{name}.wasm"));
    fs::copy(plugin(name), &component).expect("copied");
    let mut more = Vec::new();
    let file = directory.join(settings.unwrap_or_default());
    if let Some(settings) = settings {
        fs::copy(source.join(settings), &file).expect("copied");
        more = vec!["--config", text(&file)];
    }
    test(&component, &source.join("cases"), &more, 0);
}

#[test]
fn the_cases_of_the_example_in_rust_pass() {
    example_passes("order-enricher", None);
}

#[test]
#[ignore = "needs make guests-js guests-py"]
fn languages_the_cases_of_the_examples_pass() {
    example_passes("webhook-forwarder", None);
    example_passes("invoice-mail", Some("host.toml"));
}
