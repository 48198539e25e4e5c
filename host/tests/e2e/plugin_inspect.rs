//! `host plugin inspect`: what it says of plugins, and of what is none.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::plugin;

use crate::plugin_invoke::{config, host, stderr, stdout, text};
use crate::support::{file, patched};

#[track_caller]
fn inspect(path: &Path, more: &[&str], code: i32) -> (Value, String) {
    let args = [&["plugin", "inspect", text(path), "-o", "json"], more].concat();
    let output = host("inspected", &args, "");
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    (serde_json::from_str(&stdout(&output)).expect("JSON"), stderr(&output))
}

#[test]
fn a_plugin_says_what_it_is_and_that_it_runs() {
    let email = plugin("email");
    let (told, _) = inspect(&email, &[], 0);
    assert_eq!((&told["name"], &told["runs"], &told["errors"]), (&json!("email"), &json!(true), &json!([])));
    assert_eq!(told["contract"], json!(["0.1.0"]));
    assert_eq!(told["size"], std::fs::metadata(&email).expect("the file").len());
    assert_eq!(told["sha256"].as_str().map(str::len), Some(64));
    assert_eq!((&told["wants"], &told["granted"]), (&json!(["mail"]), &json!(["mail"])));
    let reads = &told["subscription"];
    assert_eq!(
        (&reads["topic"], &reads["dead_letter_topic"]),
        (&json!("email.send"), &json!("email.send.dlt"))
    );
    assert_eq!(reads["tiers"][4], json!({ "topic": "email.send-retry-16000", "delay_ms": 16000 }));
    let all = |group: &str| told["imports"][group].to_string();
    assert!(all("contract").contains("mail@0.1.0") && all("wasi").contains("cli/"), "{told}");
    assert!(told["exports"].to_string().contains("consumer:plugin/handler@0.1.0"), "{told}");
    assert!(told["warnings"][0].as_str().is_some_and(|told| told.contains("--mail-url")), "{told}");

    let more = "allow = [\"env:TZ\"]\nretry = { retries = 2, delay = \"50ms\" }\nconfig.brand = { env = \"SECRET\" }";
    let path = config("inspected", &email, more);
    let (told, _) = inspect(&email, &["--config", text(&path)], 0);
    assert_eq!(told["subscription"]["tiers"][1]["topic"], json!("inspected-retry-100"));
    assert_eq!((&told["granted"], &told["config_keys"]), (&json!(["env:TZ"]), &json!(["brand"])));
    assert!(told["warnings"][0].as_str().is_some_and(|told| told.contains("not granted")), "{told}");

    let sms = plugin("sms");
    let args = ["plugin", "inspect", text(&sms), "--mail-url", "smtp://me:hush-hush@h"];
    let output = host("inspected", &args, "");
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    for line in ["sms@0.1.0", "  wants        http", "  mail server  smtp://me:***@h", "  runs here    yes"] {
        assert!(told.lines().any(|told| told == line), "{line:?} in\n{told}");
    }
    assert!(told.contains("  warning      it imports wasi:http"), "{told}");
}

#[test]
fn a_plugin_that_does_not_run_here_says_why_as_the_host_does() {
    let email = plugin("email");
    let newer = [
        ("consumer:plugin/handler@0.1.0", "consumer:plugin/handler@0.9.0"),
        ("consumer:plugin/types@0.1.0", "consumer:plugin/types@0.9.0"),
    ];
    let newer = patched("sms", "inspected-newer", &newer);
    let foreign = patched("faulty_fast", "inspected-foreign", &[("wasi:clocks/", "acme:clocks/")]);
    let listed = config("inspected-listed", &plugin("sms"), "");
    let limits = config("inspected-limits", &email, "limits.memory = \"1 KiB\"");
    let topic = config("inspected-topic", &email, "dead-letter-topic = \"inspected-topic\"");
    let of = |path: &PathBuf| vec!["--config".to_owned(), text(path).to_owned()];
    let poll = ["-X", "max.poll.interval.ms=20000"].map(str::to_owned).to_vec();
    for (path, more, what, is_known) in [
        (&newer, vec![], "contract 0.9.0", false),
        (&foreign, vec![], "acme:clocks/", false),
        (&email, of(&listed), "is not listed in", true),
        (&email, of(&limits), "limits.memory", true),
        (&email, of(&topic), "is its source topic", true),
        (&email, poll, "max.poll.interval.ms", true),
        (&email, ["-X", "nosuch.property=1"].map(str::to_owned).to_vec(), "nosuch.property", true),
        (&email, vec!["--mail-url".to_owned(), "ftp://h".to_owned()], "smtp://", true),
    ] {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let (told, said) = inspect(path, &more, 1);
        assert_eq!((&told["runs"], told["name"].is_string()), (&json!(false), is_known), "{told}");
        assert!(told["imports"]["wasi"].is_array() && said.contains(what), "{said}");
        // Word by word.
        let args = [&["--plugin", text(path), "--listen", "127.0.0.1:0"], &more[..]].concat();
        let refused = host("inspected", &args, "");
        assert_eq!((refused.status.code(), stderr(&refused)), (Some(2), said));
    }
}

#[test]
fn what_is_no_plugin_is_refused() {
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
