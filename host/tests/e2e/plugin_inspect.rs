//! `host plugin inspect`: its report on plugins, and its errors for other files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::plugin;

use crate::plugin_command::{config, host, stderr, stdout, text};
use crate::support::{file, patched};

#[track_caller]
fn inspect(path: &Path, more: &[&str], code: i32) -> (Value, String) {
    let args = [&["plugin", "inspect", text(path), "-o", "json"], more].concat();
    let output = host("inspected", &args, "");
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    (serde_json::from_str(&stdout(&output)).expect("JSON"), stderr(&output))
}

#[test]
fn a_plugin_is_described_and_runs() {
    let email = plugin("email");
    let (report, _) = inspect(&email, &[], 0);
    assert_eq!(
        (&report["name"], &report["runs"], &report["errors"]),
        (&json!("email"), &json!(true), &json!([]))
    );
    assert_eq!(report["contract"], json!(["0.2.0"]));
    assert_eq!(report["size"], std::fs::metadata(&email).expect("the file").len());
    assert_eq!(report["sha256"].as_str().map(str::len), Some(64));
    assert_eq!((&report["wants"], &report["granted"]), (&json!(["mail"]), &json!(["mail"])));
    let reads = &report["subscription"];
    assert_eq!(
        (&reads["topic"], &reads["dead_letter_topic"]),
        (&json!("email.send"), &json!("email.send.dlt"))
    );
    assert_eq!(reads["tiers"][4], json!({ "topic": "email.send-retry-16000", "delay_ms": 16000 }));
    let all = |group: &str| report["imports"][group].to_string();
    assert!(all("contract").contains("mail@0.2.0") && all("wasi").contains("cli/"), "{report}");
    assert!(report["exports"].to_string().contains("kafka-host:plugin/handler@0.2.0"), "{report}");
    assert!(!report["exports"].to_string().contains("handle-reset"), "{report}");
    assert_eq!(report["not_reset"], json!(null), "its instances are reset");
    let needs = &report["needs"];
    assert!(needs["core_instances"].as_u64().is_some_and(|count| count > 0), "{report}");
    assert!(
        needs["memories"].as_u64().is_some_and(|count| count > 0) && needs["tables"].is_u64(),
        "{report}"
    );
    assert_eq!((&report["isolation"], &report["memory_limit"]), (&json!("message"), &json!(64 << 20)));
    assert!(report["warnings"][0].as_str().is_some_and(|report| report.contains("--mail-url")), "{report}");

    let more = "allow = [\"env:TZ\"]\nretry = { retries = 2, delay = \"50ms\" }\nconfig.brand = { env = \"SECRET\" }";
    let path = config("inspected", &email, more);
    let (report, _) = inspect(&email, &["--config", text(&path)], 0);
    assert_eq!(report["subscription"]["tiers"][1]["topic"], json!("inspected-retry-100"));
    assert_eq!((&report["granted"], &report["config_keys"]), (&json!(["env:TZ"]), &json!(["brand"])));
    assert!(report["warnings"][0].as_str().is_some_and(|report| report.contains("not granted")), "{report}");

    let sms = plugin("sms");
    let args = ["plugin", "inspect", text(&sms), "--mail-url", "smtp://me:hush-hush@h"];
    let output = host("inspected", &args, "");
    let report = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    let more = "isolation = \"new-instance\"\nlimits.memory = \"48 MiB\"";
    let path = config("inspected-instances", &sms, more);
    let said = stdout(&host("inspected", &["plugin", "inspect", text(&sms), "--config", text(&path)], ""));
    for part in [
        "new for each message: isolation = \"new-instance\"",
        "up to 48.0 MiB (limits.memory)",
        "  takes        core instances ",
    ] {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
    for line in ["sms@0.1.0", "  wants        http", "  mail server  smtp://me:***@h", "  runs here    yes"] {
        assert!(report.lines().any(|report| report == line), "{line:?} in\n{report}");
    }
    assert!(report.contains("  warning      it imports wasi:http"), "{report}");
}

#[test]
fn a_plugin_that_does_not_run_is_explained_as_by_the_host() {
    let email = plugin("email");
    let newer = [
        ("kafka-host:plugin/handler@0.2.0", "kafka-host:plugin/handler@0.9.0"),
        ("kafka-host:plugin/messages@0.2.0", "kafka-host:plugin/messages@0.9.0"),
    ];
    let newer = patched("sms", "inspected-newer", &newer);
    let foreign = patched("faulty_fast", "inspected-foreign", &[("wasi:clocks/", "acme:clocks/")]);
    let listed = config("inspected-listed", &plugin("sms"), "");
    let limits = config("inspected-limits", &email, "limits.memory = \"1 KiB\"");
    let topic = config("inspected-topic", &email, "dead-letter-topic = \"inspected-topic\"");
    let of = |path: &PathBuf| vec!["--config".to_owned(), text(path).to_owned()];
    let poll = ["-X", "max.poll.interval.ms=20000"].map(str::to_owned).to_vec();
    for (path, more, what, is_known) in [
        (&newer, vec![], "kafka-host:plugin 0.9.0", false),
        (&foreign, vec![], "acme:clocks/", false),
        (&email, of(&listed), "is not listed in", true),
        (&email, of(&limits), "limits.memory", true),
        (&email, of(&topic), "is its source topic", true),
        (&email, poll, "max.poll.interval.ms", true),
        (&email, ["-X", "nosuch.property=1"].map(str::to_owned).to_vec(), "nosuch.property", true),
        (&email, vec!["--mail-url".to_owned(), "ftp://h".to_owned()], "smtp://", true),
    ] {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let (report, error) = inspect(path, &more, 1);
        assert_eq!((&report["runs"], report["name"].is_string()), (&json!(false), is_known), "{report}");
        assert!(report["imports"]["wasi"].is_array() && error.contains(what), "{error}");
        // The same words as the host.
        let args = [&["--plugin", text(path), "--listen", "127.0.0.1:0"], &more[..]].concat();
        let refused = host("inspected", &args, "");
        assert_eq!((refused.status.code(), stderr(&refused)), (Some(2), error));
    }
}

#[test]
fn inspect_refuses_files_that_are_not_plugins() {
    for (path, what) in [
        (file("inspected.txt", b"some text"), "not a WebAssembly component"),
        (file("inspected-module.wasm", b"\0asm\x01\0\0\0"), "a core WebAssembly module"),
        (file("inspected-empty.wasm", b"\0asm\x0d\0\x01\0"), "not a plugin"),
        (PathBuf::from("/nowhere.wasm"), "No such file"),
    ] {
        for command in [&["inspect"][..], &["invoke", "--message", "-"]] {
            let args = [&["plugin"], command, &[text(&path)]].concat();
            let output = host("no-plugin", &args, "{}");
            assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
            assert!(output.stdout.is_empty() && stderr(&output).contains(what), "{}", stderr(&output));
            assert!(stderr(&output).contains("help: "), "{}", stderr(&output));
        }
    }
}
