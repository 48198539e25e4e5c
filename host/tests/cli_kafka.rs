//! Kafka's command line on a real Kafka.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Kafka, Process, Record, eventually, free_port};

const HOST: &str = env!("CARGO_BIN_EXE_host");
const BOUND: Duration = Duration::from_secs(30);

fn command(bootstrap: &str, args: &[&str]) -> Command {
    let mut command = Command::new(HOST);
    command.args(args).env("KAFKA_BOOTSTRAP_SERVERS", bootstrap);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_with(bootstrap: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = command(bootstrap, args).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A command with invalid arguments does not read its input.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

fn run(args: &[&str]) -> Output {
    run_with(Kafka::shared().bootstrap(), args, b"")
}

/// Runs a command that must succeed. Returns its standard output.
#[track_caller]
fn ok(args: &[&str]) -> String {
    fed(args, b"")
}

#[track_caller]
fn fed(args: &[&str], input: &[u8]) -> String {
    let output = run_with(Kafka::shared().bootstrap(), args, input);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

/// Runs a command that must exit with this code, these texts on standard error and no standard output.
#[track_caller]
fn fails(args: &[&str], code: i32, expected_texts: &[&str]) {
    failed(&run(args), code, expected_texts);
}

#[track_caller]
fn failed(output: &Output, code: i32, expected_texts: &[&str]) {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "{:?}", String::from_utf8_lossy(&output.stdout));
    expected_texts.iter().for_each(|text| assert!(stderr.contains(text), "no {text:?} in: {stderr}"));
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn topics_are_created_listed_and_deleted() {
    ok(&["topics", "create", "t.one", "t.two", "--partitions", "3", "--config", "retention.ms=86400000"]);
    fails(&["topics", "create", "t.one"], 1, &["exists already", "--if-not-exists"]);
    ok(&["topics", "create", "t.one", "--if-not-exists"]);
    ok(&["topics", "create", "t.three"]);
    fails(&["topics", "create", "t/bad"], 2, &["'t/bad' is not a valid topic name"]);
    fails(
        &["topics", "create", "t.four", "--replication-factor", "3"],
        2,
        &["1 broker", "--replication-factor"],
    );
    fails(&["topics", "create", "t.four", "--config", "no.such=1"], 2, &["refuses no.such=1"]);

    let listed = json(&["topics", "list", "-o", "json"]);
    let find = |name: &str| listed.as_array().unwrap().iter().find(|topic| topic["name"] == name);
    assert_eq!(find("t.one").unwrap()["partitions"], 3);
    assert_eq!(find("t.three").unwrap()["replication_factor"], 1);
    assert!(find("t.four").is_none());
    let table = ok(&["topics", "list"]);
    assert!(table.lines().any(|line| line.split_whitespace().eq(["t.two", "3", "1"])), "{table}");
    assert!(table.lines().all(|line| line == line.trim_end()), "{table:?}");

    fed(&["produce", "t.one"], b"a\nb\n");
    let described = json(&["topics", "describe", "t.one", "-o", "json"]);
    let topic = &described[0];
    assert_eq!(topic["configs"], serde_json::json!([{ "name": "retention.ms", "value": "86400000" }]));
    let partitions = topic["partitions"].as_array().unwrap();
    assert_eq!(partitions.iter().map(|p| p["end_offset"].as_i64().unwrap()).sum::<i64>(), 2);
    assert_eq!((&partitions[2]["leader"], &partitions[2]["isr"][0]), (&1.into(), &1.into()));
    let text = ok(&["topics", "describe", "t.one", "t.two"]);
    assert!(text.contains("t.one  partitions 3  replication 1\n  retention.ms=86400000\n"), "{text}");

    ok(&["topics", "delete", "t.one", "t.two", "--yes"]);
    fails(&["topics", "describe", "t.one"], 1, &["no topic t.one", "host topics create t.one"]);
    fails(&["topics", "delete", "t.three", "t.one", "--yes"], 1, &["no topic t.one"]);
    assert!(ok(&["topics", "list"]).contains("t.three"), "no topic is deleted if one name is wrong");
}

#[test]
fn a_deletion_requires_a_confirmation() {
    ok(&["topics", "create", "delete.me"]);
    fails(
        &["topics", "delete", "delete.me"],
        2,
        &["there is no terminal", "host topics delete delete.me --yes"],
    );

    let answer = |text: &[u8]| {
        let mut script = Command::new("script");
        let ask = format!("{HOST} topics delete delete.me");
        script.args(["-qec", &ask, "/dev/null"]).env("KAFKA_BOOTSTRAP_SERVERS", Kafka::shared().bootstrap());
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut printed = Vec::new();
        while !printed.ends_with(b"[y/N] ") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).expect("a question");
            printed.extend(byte);
        }
        stdin.write_all(text).unwrap();
        drop(stdin);
        stdout.read_to_end(&mut printed).unwrap();
        assert!(
            String::from_utf8_lossy(&printed).contains("Delete delete.me (1 partition, up to 0 messages)?")
        );
        child.wait().unwrap().code()
    };
    assert_eq!(answer(b"\n"), Some(1));
    assert!(ok(&["topics", "list"]).contains("delete.me"));
    assert_eq!(answer(b"y\n"), Some(0));
    assert!(!ok(&["topics", "list"]).contains("delete.me"));
}

#[test]
fn produced_records_are_consumed() {
    ok(&["topics", "create", "round.trip", "--partitions", "1"]);
    let input = b"k1:v:1\n:\nk\xff:\x00\xfe\x1b[2J\nlast:without a line feed";
    fed(&["produce", "round.trip", "--key-separator", ":", "--header", "a=1", "--header", "a=\u{b2}"], input);

    let records = Kafka::shared().read_all("round.trip");
    let expected: [(&[u8], &[u8]); 4] =
        [(b"k1", b"v:1"), (b"", b""), (b"k\xff", b"\x00\xfe\x1b[2J"), (b"last", b"without a line feed")];
    let seen: Vec<_> =
        records.iter().map(|r| (r.key.as_deref().unwrap(), r.value.as_deref().unwrap())).collect();
    assert_eq!(seen, expected);
    let headers = [(b"a".to_vec(), Some(b"1".to_vec())), (b"a".to_vec(), Some("\u{b2}".into()))];
    assert!(records.iter().all(|record| record.headers == headers));

    let output = run(&["consume", "round.trip", "--from-beginning", "--max-messages", "4"]);
    assert_eq!(output.stdout, b"v:1\n\n\x00\xfe\x1b[2J\nwithout a line feed\n", "values are raw in a pipe");

    let text = ok(&["consume", "round.trip", "--from-beginning", "--max-messages", "1", "--headers"]);
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("partition=0 offset=0 timestamp=20") && first.ends_with("key=k1"), "{first}");
    assert_eq!(lines.collect::<Vec<_>>(), ["  a: 1", "  a: \u{b2}", "v:1"]);
    assert_eq!(ok(&["groups", "list", "-o", "json"]).matches("host-consume").count(), 0, "no group is left");
}

#[test]
fn control_characters_of_records_are_escaped() {
    ok(&["topics", "create", "hostile", "--partitions", "1"]);
    let record = Record::new(b"\xff\x9b".to_vec())
        .with_key("key\u{1b}[31m\nforged: 1")
        .with_header(b"\xff\xfe".to_vec(), "not UTF-8")
        .with_header("esc\u{1b}]0;x\u{7}", "\u{9b}2J\u{7f}")
        .with_null_header("null")
        .with_header("bin", [0, 0xff])
        .with_header("retry_topic-attempts", [0, 0, 0, 3])
        .with_header("kafka_original-offset", [0, 0, 0, 0, 0, 0, 1, 0])
        .with_header("retry_topic-backoff-timestamp", [0x01, 0xa2, 0x08, 0x4a, 0x34, 0x38]);
    Kafka::shared().produce("hostile", [record, Record::tombstone()]);

    let args = ["consume", "hostile", "--from-beginning", "--max-messages", "2"];
    let output = run(&[&args[..], &["--headers"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with("key=key\\u{1b}[31m\\nforged: 1"), "{}", lines[0]);
    let headers = [
        "  \\xff\\xfe: not UTF-8",
        "  esc\\u{1b}]0;x\\u{7}: \\u{9b}2J\\u{7f}",
        "  null: null",
        "  bin: 0x00ff",
        "  retry_topic-attempts: 3",
        "  kafka_original-offset: 256",
        "  retry_topic-backoff-timestamp: 1795435410488 (2026-11-23T12:03:30.488Z)",
    ];
    assert_eq!(lines[1..8], headers);
    assert_eq!(lines.last(), Some(&"null"), "a tombstone");

    let text = ok(&[&args[..], &["-o", "json"]].concat());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["value"]["hex"], "ff9b");
    assert_eq!(records[0]["headers"][0]["name"]["hex"], "fffe");
    assert_eq!(records[0]["headers"][1]["value"], "\u{9b}2J\u{7f}");
    assert_eq!(records[0]["headers"][2]["value"], Value::Null);
    assert_eq!(records[0]["headers"][4]["value"], 3);
    assert_eq!((&records[1]["value"], &records[1]["key"]), (&Value::Null, &Value::Null));
}

#[test]
fn new_messages_are_shown_until_an_interrupt() {
    ok(&["topics", "create", "follow", "--partitions", "2"]);
    fed(&["produce", "follow"], b"old\n");
    let args = ["consume", "follow", "--bootstrap-servers", Kafka::shared().bootstrap()];
    let mut process = Process::start_with(HOST.as_ref(), &args, &[]);
    process.wait_for(|line| line.contains("consuming follow from its end"), BOUND);
    fed(&["produce", "follow"], b"new\n");
    process.wait_for(|line| line == "new", BOUND);
    assert_eq!(process.count(|line| line == "old"), 0);
    process.signal("INT");
    assert!(process.wait(BOUND).success());
}

#[test]
fn groups_are_shown_as_by_the_tool_of_kafka() {
    let kafka = Kafka::shared();
    ok(&["topics", "create", "lag", "--partitions", "3"]);
    let lines: String = (0..30).map(|n| format!("{n}:value\n")).collect();
    fed(&["produce", "lag", "--key-separator", ":"], lines.as_bytes());
    let group = ["--group", "lag-group", "--from-beginning"];
    let read = ok(&[&["consume", "lag", "--max-messages", "12"], &group[..]].concat());
    assert_eq!(read.lines().count(), 12);
    let empty = json(&["groups", "describe", "lag-group", "-o", "json"]);
    assert_eq!((&empty["state"], &empty["members"]), (&"Empty".into(), &serde_json::json!([])));
    assert_eq!(sum(&empty, "committed"), 12, "exactly the printed records are committed");

    // A member that stays in the group reads the rest.
    let args = [
        "consume",
        "lag",
        "--group",
        "lag-group",
        "--from-beginning",
        "-X",
        "client.id=the reader",
        "--bootstrap-servers",
    ];
    let mut member = Process::start_with(HOST.as_ref(), &[&args[..], &[kafka.bootstrap()]].concat(), &[]);
    eventually(BOUND, || member.count(|line| line == "value") == 18);
    let describe = ["groups", "describe", "lag-group", "-o", "json"];
    eventually(BOUND, || sum(&json(&describe), "lag") == 0);
    fed(&["produce", "lag", "--key-separator", ":"], b"1:value\n2:value\n");
    eventually(BOUND, || sum(&json(&describe), "committed") == 32);
    let described = json(&describe);
    assert_eq!(described["state"], "Stable");
    assert_eq!(described["members"][0]["client_id"], "the reader");

    let theirs =
        kafka.cli("groups", &["--bootstrap-server", kafka.bootstrap(), "--describe", "--group", "lag-group"]);
    for partition in described["partitions"].as_array().unwrap() {
        let number = |name: &str| partition[name].as_i64().unwrap().to_string();
        let start = ["lag-group".into(), "lag".into(), number("partition"), number("committed")];
        let expected = [start.as_slice(), &[number("end_offset"), number("lag")]].concat();
        let member = partition["member"].as_str().unwrap();
        let same = |line: &str| line.split_whitespace().take(6).eq(&expected) && line.contains(member);
        assert!(theirs.lines().any(same), "no {expected:?} {member} in:\n{theirs}");
    }
    let text = ok(&["groups", "describe", "lag-group"]);
    assert!(
        text.starts_with("lag-group  state Stable  type consumer  assignor range  members 1\n"),
        "{text}"
    );
    assert!(text.contains("the reader  127.0.0.1"), "{text}");
    let list = ok(&["groups", "list"]);
    let row = ["lag-group", "Stable", "consumer", "1"];
    assert!(list.lines().any(|line| line.split_whitespace().eq(row)), "{list}");

    member.terminate();
    assert!(member.wait(BOUND).success());
    fails(&["groups", "describe", "no-such-group"], 1, &["no group no-such-group", "host groups list"]);
}

fn sum(described: &Value, field: &str) -> i64 {
    described["partitions"].as_array().unwrap().iter().filter_map(|p| p[field].as_i64()).sum()
}

#[test]
fn a_group_of_the_newer_protocol_is_not_shown_as_dead() {
    ok(&["topics", "create", "newer", "--partitions", "1"]);
    fed(&["produce", "newer"], b"1\n2\n");
    let args = ["consume", "newer", "--from-beginning", "--max-messages", "1", "--group", "newer-group"];
    assert_eq!(ok(&[&args[..], &["-X", "group.protocol=consumer"]].concat()), "1\n");
    let output = run(&["groups", "describe", "newer-group", "-o", "json"]);
    let described: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&described["state"], &described["members"]), (&Value::Null, &Value::Null));
    assert_eq!(sum(&described, "lag"), 1);
    assert!(stderr(&output).contains("KIP-848"), "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    ok(&["topics", "create", "pipe.few", "pipe.many", "--partitions", "1"]);
    fed(&["produce", "pipe.few"], b"1\n2\n3\n");
    // More than a pipe holds, so that the writer blocks.
    fed(&["produce", "pipe.many"], "a line of some length\n".repeat(100_000).as_bytes());
    for topic in ["pipe.few", "pipe.many"] {
        for more in [&[][..], &["--headers"], &["-o", "json"], &["--group", topic]] {
            let args = [&["consume", topic, "--from-beginning"], more].concat();
            let mut child = command(Kafka::shared().bootstrap(), &args).spawn().unwrap();
            let mut line = String::new();
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            stdout.read_line(&mut line).unwrap();
            drop(stdout);
            eventually(BOUND, || child.try_wait().unwrap().is_some());
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
            assert!(!stderr(&output).contains("error"), "{args:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn unpublished_records_are_counted() {
    ok(&["topics", "create", "refusing", "--partitions", "1", "--config", "max.message.bytes=2000"]);
    let big = "x".repeat(5000);
    let input = format!("k:1\nno separator\nk:{big}\nk:2\n");
    let args = ["produce", "refusing", "--key-separator", ":"];
    let output = run_with(Kafka::shared().bootstrap(), &args, input.as_bytes());
    let expected_texts =
        ["published 2 messages", "2 of 4 messages were not published", "line 2", "too large"];
    failed(&output, 1, &expected_texts);
    assert_eq!(Kafka::shared().read_all("refusing").len(), 2);

    // Many small records exceed the batch limit of the topic.
    fed(&["produce", "refusing"], "small\n".repeat(5000).as_bytes());
    assert_eq!(Kafka::shared().read_all("refusing").len(), 5002);

    let limit = ["produce", "refusing", "-X", "message.max.bytes=1000"];
    let output = run_with(Kafka::shared().bootstrap(), &limit, format!("{big}\nshort\n").as_bytes());
    failed(&output, 1, &["1 of 2", "longer than 1000 bytes, line 1"]);
    fails(&["produce", "not.there"], 1, &["no topic not.there", "host topics create not.there"]);
    fails(&["consume", "not.there"], 1, &["no topic not.there", "host topics create not.there"]);
    assert!(!ok(&["topics", "list"]).contains("not.there"), "a request creates no topic");
}

#[test]
fn without_kafka_every_command_fails_in_time() {
    let closed_port = format!("127.0.0.1:{}", free_port());
    let commands: [&[&str]; 7] = [
        &["topics", "list"],
        &["topics", "create", "a"],
        &["topics", "delete", "a", "--yes"],
        &["groups", "list"],
        &["groups", "describe", "g"],
        &["produce", "a"],
        &["consume", "a", "--group", "g"],
    ];
    std::thread::scope(|scope| {
        for args in commands {
            let closed_port = &closed_port;
            scope.spawn(move || {
                let start = Instant::now();
                let expected_texts = [
                    &format!("error: cannot reach Kafka at {closed_port} (connection refused)"),
                    "host demo",
                ];
                failed(&run_with(closed_port, args, b""), 1, &expected_texts);
                assert!(start.elapsed() < Duration::from_secs(10), "{args:?} took {:?}", start.elapsed());
            });
        }
    });
}

#[test]
fn invalid_arguments_exit_with_2() {
    for args in [
        &["topics", "list", "--bootstrap-servers", "localhost:port"][..],
        &["topics", "list", "--bootstrap-servers", ""],
        &["topics", "list", "-X", "no-equals-sign"],
        &["consume", "a", "--max-messages", "0"],
        &["consume", "a", "--steal"],
        &["produce", "a", "--key-separator", ""],
        &["produce", "a", "--header", "novalue"],
        &["topics", "create"],
    ] {
        failed(&run_with("localhost:9092", args, b""), 2, &["error: "]);
    }
    let output = run_with("localhost:9092", &["topics", "list", "-X", "sasl.pasword=hunter2"], b"");
    failed(&output, 2, &["invalid Kafka property sasl.pasword"]);
    assert!(!stderr(&output).contains("hunter2"), "a value may be a secret");
}
