//! Reused instances, and the effect of a plugin's configuration.

use std::path::{Path, PathBuf};

use testkit::{Kafka, Record, eventually};

use crate::support::{BOUND, Guest, Host, attempts, between, body, deliveries, file};

/// A configuration that lists one guest.
fn config(guest: &Guest, more: &str) -> PathBuf {
    let text = format!("[[plugin]]\npath = {:?}\ntopic = {:?}\n{more}\n", guest.path, guest.topic);
    file(&format!("{}.toml", guest.topic), text.as_bytes())
}

fn start(kafka: &Kafka, config: &Path, env: &[(&str, &str)]) -> Host {
    let config = config.to_str().expect("a path in UTF-8");
    Host::run(&["--config", config, "--bootstrap-servers", kafka.bootstrap()], env)
}

fn code_of(kafka: &Kafka, guest: &Guest, id: &str) -> String {
    let records = kafka.read_all(&guest.retry_topics[0]);
    let record = records.iter().find(|record| record.text().contains(&format!("\"{id}\"")));
    record.and_then(|record| record.header_text("host-failure-code")).unwrap_or_default()
}

#[test]
fn a_reused_instance_handles_one_message_at_a_time_and_is_replaced() {
    const MESSAGES: usize = 3000;
    let kafka = Kafka::shared();
    let guest = Guest::fast("reused");
    kafka.create_topic(&guest.topic, 2, &[]);
    let host = start(kafka, &config(&guest, "isolation = \"instance\"\nconcurrency = 1"), &[]);
    kafka.produce(
        &guest.topic,
        (0..MESSAGES)
            .map(|number| Record::new(body(&format!("c{number}"), "count", "")).on(number as i32 % 2)),
    );
    guest.settle(kafka);
    let lines = host.stop();
    let counts: Vec<usize> =
        lines.iter().filter_map(|line| between(line, "plugin: count=", " ")?.parse().ok()).collect();
    // Calls do not overlap, so each instance handles its thousand messages before the next one starts.
    let expected: Vec<usize> = (0..MESSAGES).map(|number| number % 1000 + 1).collect();
    assert_eq!(counts, expected);
    // Every line names its own message.
    let places = |line: &&String| line.contains("handled id=");
    for line in lines.iter().filter(places) {
        let id = between(line, "message=", " ").expect("an id");
        let partition = between(line, " partition=", " ").expect("a partition");
        let offset = line.rsplit("offset=").next().expect("an offset");
        assert!(id.starts_with(&format!("{}/{partition}/{offset}/", guest.topic)), "{line}");
    }
}

#[test]
fn harm_fails_only_its_own_message_in_a_reused_instance() {
    const HARM: [(&str, &str); 5] = [
        ("panic", "trap"),
        ("loop", "cpu-timeout"),
        ("memory", "out-of-memory"),
        ("exit", "exit"),
        ("outcomes", "wrong-outcome-count"),
    ];
    let kafka = Kafka::shared();
    let guest = Guest::fast("reused-harm");
    // On a busy machine 2 s of guest time may exceed the 10 s of a whole call.
    let limits = "limits = { call-time = \"60s\" }";
    let lines = format!("isolation = \"instance\"\nconcurrency = 1\n{limits}");
    let host = start(kafka, &config(&guest, &lines), &[]);
    let records = HARM.iter().flat_map(|(action, _)| {
        let harm = Record::new(body(action, action, r#","until":1"#));
        let harmless = (0..5).map(move |number| Record::new(body(&format!("{action}{number}"), "count", "")));
        harmless.chain([harm])
    });
    kafka.produce(&guest.topic, records);
    guest.settle(kafka);
    let lines = host.stop();
    let all = deliveries(&lines);
    for (action, code) in HARM {
        assert_eq!(attempts(&all, action), [1, 2], "{action}");
        assert_eq!(code_of(kafka, &guest, action), code);
        for number in 0..5 {
            // Messages that ended before the harm are not run again. Later ones are.
            assert_eq!(attempts(&all, &format!("{action}{number}")), [1], "{action}{number}");
        }
    }
    assert_eq!(kafka.read_all(&guest.dead), []);
    // No harmed instance handled another message: its counter would continue.
    let counts: Vec<&str> =
        lines.iter().filter_map(|line| between(line, "plugin: count=", " ")).take(25).collect();
    let after_harm = (0..5).filter(|group| counts.get(group * 5) == Some(&"1")).count();
    assert!(after_harm >= 4, "{counts:?}");
}

#[test]
fn a_plugin_sees_only_the_resources_that_its_configuration_lists() {
    let kafka = Kafka::shared();
    let directory = file("greeting", b"").with_extension("d");
    std::fs::create_dir_all(&directory).expect("a directory");
    let greeting = directory.join("hello.txt");
    std::fs::write(&greeting, "from-a-file").expect("a file");
    let link = directory.join("link");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink("../listed.toml", &link).expect("a link to a file outside the directory");
    let directory = directory.display().to_string();
    let env = [("GREETING", "from-the-environment"), ("SECRET_GREETING", "kept")];
    let listed = format!(
        "allow = [\"env:GREETING\", \"dir:{directory}\"]\n\
         config = {{ greeting = {{ env = \"SECRET_GREETING\" }} }}"
    );
    for (name, more, seen, times) in [
        (
            "listed",
            listed.as_str(),
            "saw config=kept env=from-the-environment file=from-a-file written=false",
            1,
        ),
        ("unlisted", "", "saw config=nothing env=nothing file=nothing written=false", 3),
    ] {
        let guest = Guest::fast(name);
        let host = start(kafka, &config(&guest, more), &env);
        let path = format!(r#","path":"{}""#, greeting.display());
        let escape = format!(r#","path":"{directory}/../{name}.toml""#);
        let link = format!(r#","path":"{}""#, link.display());
        let looks = [("l", path), ("e", escape), ("s", link)];
        let records = looks.iter().map(|(id, path)| Record::new(body(id, "look", path)));
        kafka.produce(&guest.topic, records);
        guest.settle(kafka);
        let lines = host.stop();
        assert_eq!(lines.iter().filter(|line| line.contains(seen)).count(), times, "{}", lines.join("\n"));
        let escaped = |line: &&String| line.contains("saw ") && line.contains("[[plugin]]");
        assert_eq!(lines.iter().find(escaped), None);
    }
    assert!(!greeting.with_extension("txt.new").exists());
}

#[test]
fn each_limit_has_its_code() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("limits");
    let limits = "limits = { memory = \"4MiB\", guest-time = \"100ms\", call-time = \"1s\", outcome = \"1KiB\", \
                  log = \"2KiB\", host-calls = 5 }";
    let host = start(kafka, &config(&guest, limits), &[]);
    let cases = [
        ("memory", "", "out-of-memory"),
        ("loop", "", "cpu-timeout"),
        ("sleep", r#","ms":60000"#, "timeout"),
        ("talk", r#","ms":1025"#, "outcome-too-large"),
        ("flood", "", "log-too-large"),
        ("log", "", "too-many-host-calls"),
    ];
    let records = cases
        .iter()
        .map(|(action, more, _)| Record::new(body(action, action, &format!(r#","until":1{more}"#))));
    kafka.produce(&guest.topic, records.chain([Record::new(body("fits", "talk", r#","ms":1024"#))]));
    guest.settle(kafka);
    let all = deliveries(&host.stop());
    for (action, _, code) in cases {
        assert_eq!(code_of(kafka, &guest, action), code, "{action}");
        assert_eq!(attempts(&all, action), [1, 2], "{action}");
    }
    assert_eq!(attempts(&all, "fits"), [1]);
}

#[test]
fn without_the_grant_no_e_mail_is_sent() {
    let kafka = Kafka::shared();
    let email = testkit::plugin("email");
    let settings = |name: &str, more: &str| {
        let text =
            format!("[[plugin]]\npath = {email:?}\ntopic = \"{name}\"\ngroup = \"{name}-group\"\n{more}\n");
        file(&format!("{name}.toml"), text.as_bytes())
    };
    let json = r#"{"from":"a@example.com","to":"b@example.com","subject":"s","body":"b"}"#;
    for (name, more, expected, dead) in [
        ("mail-granted", "allow = [\"mail\"]", "e-mail is only logged, not sent", 0),
        ("mail-denied", "", "e-mail is not granted", 1),
    ] {
        kafka.create_topic(name, 1, &[]);
        let host = start(kafka, &settings(name, more), &[]);
        host.process.wait_for(|line| line.contains(expected), BOUND);
        kafka.produce(name, [Record::new(json)]);
        eventually(BOUND, || kafka.lag(&format!("{name}-group"), name) == 0);
        host.stop();
        let dead_letters = kafka.read_all(&format!("{name}.dlt"));
        let codes: Vec<_> = dead_letters
            .iter()
            .filter_map(|dead_letter| dead_letter.header_text("host-failure-code"))
            .collect();
        assert_eq!(codes, vec!["mail-denied"; dead]);
    }
}
