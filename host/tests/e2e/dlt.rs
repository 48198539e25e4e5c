//! `host dlt` on a running host.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base::text::counted;
use desk::record;
use desk::record::Record;
use desk_api::{DeadLetter, Location};
use serde_json::Value;
use testkit::{Kafka, binary, get};

use crate::support::{Guest, Host, file};

/// A host with a desk of its own, and the command line for it.
pub struct Desk {
    pub host: Host,
    directory: PathBuf,
    token: Option<&'static str>,
}

impl Desk {
    pub fn start(guest: &Guest, more: &[&str]) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dlt-{}", guest.topic));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory");
        let store = format!("sqlite:{}/host.db", directory.display());
        let args = [&["--store", &store], more].concat();
        let host = Host::start_with(Kafka::shared(), &[&guest.path], &args);
        Self { host, directory, token: None }
    }

    /// `host`, or another program, with the desk's address in its environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOST_API", format!("http://127.0.0.1:{}", self.host.port)).env("USER", "kim");
        command.env_remove("HOST_TOKEN").env_remove("VISUAL").env_remove("EDITOR");
        command.envs(self.token.map(|token| ("HOST_TOKEN", token)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(&binary("host")).arg("dlt").args(args).spawn().expect("started");
        let mut stdin = child.stdin.take().expect("an input");
        std::thread::scope(|scope| {
            // A command with invalid arguments does not read its input.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().expect("the exit of the command")
        })
    }

    /// Standard output and standard error of a command that must succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> (String, String) {
        let output = self.run(args, b"");
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        (stdout, stderr)
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["-o", "json"]].concat()).0).expect("JSON")
    }

    #[track_caller]
    pub fn fails(&self, args: &[&str], code: i32, expected_texts: &[&str]) {
        let output = self.run(args, b"");
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(code), ""), "{args:?}: {stderr}");
        expected_texts
            .iter()
            .for_each(|text| assert!(stderr.contains(text), "{args:?}: no {text:?} in: {stderr}"));
    }

    /// Runs a command in a terminal and answers the question that ends with `question`.
    fn answered(&self, args: &str, editor: &str, question: &str, answer: &[u8]) -> (Option<i32>, String) {
        let mut script = self.command(Path::new("script"));
        let ask = format!("{} dlt {args}", binary("host").display());
        let mut child =
            script.args(["-qec", &ask, "/dev/null"]).env("EDITOR", editor).spawn().expect("script");
        let (mut stdin, mut stdout) = (child.stdin.take().expect("one"), child.stdout.take().expect("one"));
        let mut printed = Vec::new();
        while !printed.ends_with(question.as_bytes()) {
            let mut byte = [0];
            let read = stdout.read_exact(&mut byte);
            assert!(read.is_ok(), "no question {question:?}: {}", String::from_utf8_lossy(&printed));
            printed.extend(byte);
        }
        stdin.write_all(answer).expect("an answer");
        drop(stdin);
        stdout.read_to_end(&mut printed).expect("the exit of the command");
        (
            child.wait().expect("the exit of the command").code(),
            String::from_utf8_lossy(&printed).into_owned(),
        )
    }

    pub fn import(&self, dead_letters: &[DeadLetter]) {
        let path = self.directory.join("dead-letters.jsonl");
        let lines =
            dead_letters.iter().map(|dead_letter| serde_json::to_string(dead_letter).expect("JSON") + "\n");
        fs::write(&path, lines.collect::<String>()).expect("a file");
        let (_, printed) = self.ok(&["import", path.to_str().expect("UTF-8")]);
        assert!(
            printed.contains(&format!("imported {};", counted(dead_letters.len(), "dead letter"))),
            "{printed}"
        );
    }
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A dead letter of this guest, with control characters that must be escaped.
pub fn dead_letter(guest: &Guest, offset: i64, code: &str) -> DeadLetter {
    let headers: Vec<(&str, Vec<u8>)> = vec![
        ("kafka_original-topic", guest.topic.clone().into_bytes()),
        ("kafka_original-partition", 0_i32.to_be_bytes().to_vec()),
        ("kafka_original-offset", offset.to_be_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", guest.group.clone().into_bytes()),
        ("kafka_exception-message", b"no such \x1b[2Jmailbox".to_vec()),
        ("host-failure-code", code.as_bytes().to_vec()),
        ("host-attempts", b"6".to_vec()),
        ("host-plugin", b"email@0.1.0".to_vec()),
        ("host-plugin-digest", b"d1".to_vec()),
        ("\x1b]0;x\x07", b"\x9b2J".to_vec()),
    ];
    let now = base::clock::now_ms();
    let record = Record {
        location: Location { topic: guest.dead.clone(), partition: 0, offset },
        timestamp_ms: now - 7_000_000 + offset,
        key: Some(b"key\x1b[31m".to_vec()),
        value: Some(format!("{{\"to\":\"user{offset}\u{9b}2J\"}}").into_bytes()),
        headers: headers.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), Some(value))).collect(),
    };
    record::dead_letter(record, now)
}

#[test]
fn dead_letters_are_listed_shown_discarded_and_restored() {
    let guest = Guest::fast("dlt-list");
    let desk = Desk::start(&guest, &[]);
    let dead_letters: Vec<DeadLetter> =
        (0..5).map(|at| dead_letter(&guest, at, if at < 4 { "bad-address" } else { "trap" })).collect();
    desk.ok(&["list"]);
    desk.import(&dead_letters);
    check_lists(&desk, &guest, &dead_letters);
    check_discards(&desk, &dead_letters);
    check_transfers(&desk, &dead_letters);
    desk.host.stop();
}

/// `list`, `show` and `failures`.
fn check_lists(desk: &Desk, guest: &Guest, dead_letters: &[DeadLetter]) {
    let (table, _) = desk.ok(&["list"]);
    let first: Vec<_> = table.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(first[..5], [&dead_letters[4].id[..8], "open", "1h", "trap", "email@0.1.0"], "{table}");
    assert!(table.contains("no such \\u{1b}[2Jmailbox") && !table.contains('\x1b'), "{table}");
    let listed = desk.json(&[
        "list",
        "--code",
        "bad-address",
        "--since",
        "3h",
        "--text",
        "USER1",
        "--topic",
        &guest.dead,
    ]);
    assert_eq!(
        (listed.as_array().map(Vec::len), listed[0]["id"].as_str()),
        (Some(1), Some(&dead_letters[1].id[..]))
    );
    assert_eq!(desk.json(&["list", "--until", "3h"]), serde_json::json!([]));
    let (_, printed) = desk.ok(&["list", "--limit", "2"]);
    assert!(printed.contains("--limit N"), "{printed}");
    desk.fails(&["list", "--since", "yesterday"], 2, &["2h or 3d"]);
    desk.fails(&["list", "xyz"], 2, &["not an id"]);

    let (shown, _) = desk.ok(&["show", &dead_letters[1].id[..10]]);
    for text in [
        "bad-address",
        "kafka_original-offset: 1",
        "\\u{1b}]0;x\\u{7}: 0x9b324a",
        "key\\u{1b}[31m",
        "  \"to\": \"user1\\u{9b}2J\"",
        "dead-lettered after 6 attempts",
    ] {
        assert!(shown.contains(text), "no {text:?} in: {shown}");
    }
    assert!(!shown.contains(['\x1b', '\u{9b}']), "{shown}");
    assert_eq!(desk.json(&["show", &dead_letters[1].id])["location"]["topic"], guest.dead);
    desk.fails(&["show", "00000000"], 1, &["no dead letter", "host dlt list"]);
    // 5 ids have at most 16 first digits, and a change never takes a beginning for all ids that begin with it.
    desk.ok(&["show", &dead_letters[1].id[..8].to_uppercase()]);
    let zoned = desk
        .command(&binary("host"))
        .env("TZ", "Asia/Seoul")
        .args(["dlt", "show", &dead_letters[1].id])
        .output();
    let (zoned, _) = texts(&zoned.expect("the exit of the command"));
    assert!(zoned.contains(" +09:00  dead-lettered"), "{zoned}");
    check_times(desk, &dead_letters[1]);
    desk.fails(&["show", "../.."], 2, &["not an id"]);

    let (failures, _) = desk.ok(&["failures"]);
    let row: Vec<_> = failures.lines().nth(2).expect("a row").split_whitespace().collect();
    assert_eq!(row[1..7], ["4", "-", "1h", "1h", "bad-address", "email@0.1.0"], "{failures}");
    assert_eq!(desk.json(&["failures"])[0]["code"], "trap");
}

/// Times of day are those of the time zone.
fn check_times(desk: &Desk, dead_letter: &DeadLetter) {
    let since = |zone: &str, since: String| {
        let mut list = desk.command(&binary("host"));
        let output = list.env("TZ", zone).args(["dlt", "list", "-o", "json", "--since", &since]).output();
        let (stdout, stderr) = texts(&output.expect("the exit of the command"));
        let json: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
        json.as_array().map(Vec::len)
    };
    let minute = |ms: i64| base::text::utc(ms)[..16].to_owned();
    let failed = dead_letter.failed_ms - 60_000;
    assert_eq!(since("UTC", minute(failed)), Some(5));
    assert_eq!(since("Asia/Seoul", minute(failed + 9 * 3_600_000)), Some(5), "as a clock in Seoul shows it");
    assert_eq!(since("UTC", minute(failed + 9 * 3_600_000)), Some(0));
}

/// `discard` and `restore`.
fn check_discards(desk: &Desk, dead_letters: &[DeadLetter]) {
    desk.fails(&["discard", "--reason", "x"], 2, &["no dead letters selected", "--all"]);
    desk.fails(&["discard", &dead_letters[0].id], 2, &["requires a reason"]);
    desk.fails(&["discard", "--code", "bad-address", "--reason", "x"], 2, &["there is no terminal", "--yes"]);
    desk.fails(
        &["discard", "--code", "none", "--reason", "x", "--yes"],
        1,
        &["no matching dead letter is open"],
    );
    desk.ok(&["discard", &dead_letters[0].id[..8], "--reason", "a typo"]);
    desk.ok(&["discard", "--code", "bad-address", "--reason", "all of them", "--yes"]);
    assert_eq!(desk.json(&["list", "--state", "discarded"]).as_array().map(Vec::len), Some(4));
    let (shown, _) = desk.ok(&["show", &dead_letters[0].id]);
    assert!(shown.contains("discard by kim: a typo"), "{shown}");
    let anonymous = desk
        .command(&binary("host"))
        .env_remove("USER")
        .env_remove("LOGNAME")
        .args(["dlt", "restore"])
        .arg(&dead_letters[0].id)
        .status();
    assert!(anonymous.expect("the exit of the command").success());
    let log = desk.json(&["show", &dead_letters[0].id]);
    assert_ne!(log["audit_log"][0]["actor"], "api", "the account is named");
    desk.ok(&["discard", &dead_letters[0].id, "--reason", "a typo"]);
    let (code, printed) = desk.answered("restore --all", "", "[y/N] ", b"n\n");
    assert!(
        code == Some(1)
            && printed.contains("Restore 4 dead letters?")
            && printed.contains("nothing was changed"),
        "{printed}"
    );
    let (code, printed) = desk.answered("restore --all", "", "[y/N] ", b"y\n");
    assert!(code == Some(0) && printed.contains("restored 4 dead letters"), "{printed}");
    let (log, _) = desk.ok(&["audit-log"]);
    assert!(log.contains("all of them") && log.contains("restore"), "{log}");
    let (log, more) = desk.ok(&["audit-log", &dead_letters[0].id[..8], "--limit", "1"]);
    assert!(log.lines().count() == 2 && more.contains("--limit"), "{log}{more}");
}

/// `export` and `import`.
fn check_transfers(desk: &Desk, dead_letters: &[DeadLetter]) {
    let path = desk.directory.join("export.jsonl");
    let path = path.to_str().expect("UTF-8");
    let (printed, _) = desk.ok(&["export", "-o", path, "--code", "trap"]);
    let written = fs::read_to_string(path).expect("an export");
    let exported: DeadLetter = serde_json::from_str(&written).expect("a dead letter");
    // An import sets the time of ingestion.
    let expected = DeadLetter { ingested_ms: exported.ingested_ms, ..dead_letters[4].clone() };
    assert_eq!((printed.as_str(), exported), ("", expected));
    let exported = desk.run(&["export"], b"");
    assert_eq!(exported.stdout.iter().filter(|byte| **byte == b'\n').count(), 5);
    let (_, printed) = texts(&desk.run(&["import", "-"], &exported.stdout));
    assert!(printed.contains("imported 0 dead letters; 5 existed already"), "{printed}");
    assert_eq!(desk.run(&["import"], b"{}\n").status.code(), Some(2));
    desk.fails(&["import", "/nowhere"], 2, &["cannot read /nowhere"]);
}

#[test]
fn an_edit_shows_the_changes() {
    let guest = Guest::fast("dlt-edit");
    let desk = Desk::start(&guest, &[]);
    let original = dead_letter(&guest, 1, "bad-address");
    desk.import(std::slice::from_ref(&original));
    desk.fails(&["edit", &original.id], 2, &["EDITOR is not set", "--value FILE"]);
    let value = file("dlt-value.json", b"{\"to\":\"them\"}");
    let value = value.to_str().expect("UTF-8");
    desk.fails(&["edit", &original.id, "--value", value], 2, &["+ to: \"them\"", "--yes"]);
    let broken = file("dlt-broken.json", b"{\"to\":");
    let broken = broken.to_str().expect("UTF-8");
    desk.fails(&["edit", &original.id, "--value", broken, "--yes"], 2, &["not JSON", "line 1"]);
    let (id, printed) =
        desk.ok(&["edit", &original.id, "--value", value, "--yes", "--reason", "the address"]);
    assert!(printed.contains("- to: \"user1\\u{9b}2J\"") && printed.contains("host dlt replay"), "{printed}");
    let copy = desk.json(&["show", id.trim()]);
    assert_eq!(
        (copy["value"].as_str(), copy["edited_from"].as_str()),
        (Some("{\"to\":\"them\"}"), Some(&original.id[..]))
    );
    let replaced = desk.json(&["show", &original.id]);
    assert_eq!((&replaced["state"], replaced["edited_as"].as_str()), (&"edited".into(), Some(id.trim())));

    // sed adds a line feed that the value did not have.
    let (code, printed) =
        desk.answered(&format!("edit {}", id.trim()), "sed -i s/them/us/", "[y/N] ", b"y\n");
    assert!(code == Some(0) && printed.contains("+ to: \"us\""), "{printed}");
    assert_eq!(desk.json(&["list", "--text", "\"us\""]).as_array().map(Vec::len), Some(1));
    desk.host.stop();
}

#[test]
fn a_missing_token_and_a_missing_desk_are_reported() {
    let guest = Guest::fast("dlt-token");
    let config = file("dlt-token.toml", b"[desk]\ntoken = \"0123456789abcdef\"\n");
    let mut desk = Desk::start(&guest, &["--config", config.to_str().expect("UTF-8")]);
    desk.fails(&["list"], 2, &["refuses this client", "HOST_TOKEN"]);
    desk.token = Some("0123456789abcdeX");
    desk.fails(&["list"], 2, &["HOST_TOKEN"]);
    desk.token = Some("0123456789abcdef");
    desk.ok(&["list"]);
    assert_eq!(get(desk.host.port, "/api/v1/dead-letters").expect("an answer").status, 401);
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(get(desk.host.port, open).expect("an answer").status, 200, "{open}");
    }
    desk.fails(&["--api", "http://127.0.0.1:1", "list"], 1, &["start a host", "HOST_API"]);
    desk.fails(&["--api", "127.0.0.1", "list"], 2, &["not a URL"]);
    desk.host.stop();

    let without = Desk::start(&guest, &["--desk=false"]);
    assert_eq!(get(without.host.port, "/api/v1/dead-letters").expect("an answer").status, 404);
    without.fails(&["list"], 1, &["does not serve a desk", "--desk=false"]);
    without.host.stop();
}

#[test]
fn a_desk_without_a_token_is_not_served_to_the_network() {
    let guest = Guest::fast("dlt-open");
    let path = guest.path.to_str().expect("UTF-8");
    // Without Kafka, which is not contacted.
    let args = ["--plugin", path, "--listen", "0.0.0.0:0", "--bootstrap-servers", "127.0.0.1:1"];
    let output = Command::new(binary("host")).args(args).output().expect("the exit of the command");
    let (_, printed) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(printed.contains("open without a token") && printed.contains("desk.token"), "{printed}");
}
