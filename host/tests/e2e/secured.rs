//! Kafka with TLS and passwords.

use std::path::{Path, PathBuf};

use testkit::{PASSWORD, Process, Record, Secured, USER, binary, eventually};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, file};

/// A configuration without the password.
fn config(kafka: &Secured, guest: &Guest, mechanism: &str, more: &str) -> PathBuf {
    let lines = format!(
        "[kafka]\nbootstrap-servers = \"{}\"\n\
         [kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\nsasl.mechanism = \"{mechanism}\"\n\
         sasl.username = \"{USER}\"\n{more}\n\
         [[plugin]]\npath = \"{}\"\ntopic = \"{}\"\n",
        kafka.bootstrap(),
        guest.path.display(),
        guest.topic,
    );
    file(&format!("{}-{mechanism}.toml", guest.topic), lines.as_bytes())
}

fn authority(kafka: &Secured) -> String {
    format!("ssl.ca.location = \"{}\"", kafka.certificate().display())
}

/// Grants the plugin and the desk their topics and groups, and nothing of the cluster.
fn grant_all(kafka: &Secured, guest: &Guest) {
    let prefixed = ["--resource-pattern-type", "prefixed"];
    let topics = ["--topic", &guest.topic, prefixed[0], prefixed[1]];
    kafka.grant(&["Read", "Write", "Create", "DescribeConfigs", "Alter"], &topics);
    kafka.grant(&["Read"], &["--group", &guest.group, prefixed[0], prefixed[1]]);
    kafka.grant(&["Read"], &["--group", &guest.dead_letter_group()]);
}

/// Runs a command of the host. Returns its exit code and its lines.
fn run(config: &Path, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut all = vec!["--config", config.to_str().expect("a path in UTF-8")];
    all.extend(args);
    let mut process = Process::start_with(&binary("host"), &all, env);
    let status = process.wait(BOUND);
    (status.code(), process.lines().join("\n"))
}

#[test]
fn messages_are_handled_over_tls_with_a_password() {
    let kafka = Secured::start();
    let guest = Guest::fast("secured");
    grant_all(&kafka, &guest);
    let password = format!("sasl.password={PASSWORD}\n");
    let secret = [("KAFKA_PROPERTIES", password.as_str())];
    let desk = guest.dead_letter_group();
    for (round, mechanism) in ["SCRAM-SHA-512", "PLAIN"].into_iter().enumerate() {
        let config = config(&kafka, &guest, mechanism, &authority(&kafka));
        let host = Host::run(&["--config", config.to_str().expect("a path in UTF-8")], &secret);
        kafka.kafka().produce(&guest.topic, [Record::new(body("failing", "retry", ""))]);
        kafka.kafka().produce(&guest.topic, [Record::new(body("fine", "done", ""))]);
        guest.settle(kafka.kafka());
        eventually(BOUND, || kafka.kafka().lag(&desk, &guest.dead) == 0);
        let all = deliveries(&host.stop());
        assert_eq!(attempts(&all, "failing"), [1, 2, 3, 4, 5, 6], "{mechanism}");
        assert_eq!(attempts(&all, "fine"), [1], "{mechanism}");
        assert_eq!(kafka.kafka().read_all(&guest.dead).len(), round + 1);
    }
    check_rights_of_the_doctor(&kafka, &guest, secret[0]);
    check_right_to_publish(&kafka, &guest, secret[0]);
    check_missing_rights_of_the_desk(&kafka, &guest, secret[0]);
    check_missing_right_to_settings(&kafka, &guest, secret[0]);
    let config = config(&kafka, &guest, "PLAIN", &authority(&kafka));
    let (code, shown) = run(&config, &["config", "show"], &secret);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("properties.\"sasl.password\" = \"***\"") && !shown.contains(PASSWORD), "{shown}");
    check_errors_at_start(&kafka, &guest);
}

/// Rights that are missing are told without the use of any.
fn check_rights_of_the_doctor(kafka: &Secured, guest: &Guest, secret: (&str, &str)) {
    let config = config(kafka, guest, "PLAIN", &authority(kafka));
    let doctor = || run(&config, &["doctor"], &[secret]);
    let (code, text) = doctor();
    assert!(code == Some(0) && text.contains("on topics: as needed"), "{text}");
    assert!(text.contains("on groups: as needed") && !text.contains("error"), "{text}");
    let (topics, group) =
        (["--topic", &guest.topic, "--resource-pattern-type", "prefixed"], guest.dead_letter_group());
    kafka.revoke(&["Write"], &topics);
    kafka.revoke(&["Read"], &["--group", &group]);
    let (code, text) = doctor();
    assert_eq!(code, Some(1), "{text}");
    for expected in [
        format!("error: this client may not WRITE topic {}\n", guest.dead),
        format!("cure: grant WRITE and DESCRIBE on topic {} to this client", guest.dead),
        format!("error: this client may not join group {group}\n"),
        format!("cure: grant READ on group {group} to this client"),
    ] {
        assert!(text.contains(&expected), "{expected}: {text}");
    }
    kafka.grant(&["Write"], &topics);
    kafka.grant(&["Read"], &["--group", &group]);
}

/// The doctor tells that a plugin may not publish. Its messages wait for the right.
fn check_right_to_publish(kafka: &Secured, guest: &Guest, secret: (&str, &str)) {
    const TOPIC: &str = "published";
    kafka.kafka().create_topic(TOPIC, 1, &[]);
    kafka.grant(&["Describe"], &["--topic", TOPIC]);
    let config = config(kafka, guest, "PLAIN", &authority(kafka));
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let text = format!("{text}allow = [\"produce:{TOPIC}\"]\nretry = {{ retries = 0 }}\n");
    let config = file("secured-publishing.toml", text.as_bytes());
    let (code, text) = run(&config, &["doctor"], &[secret]);
    let expected = format!("error: this client may not WRITE topic {TOPIC}\n");
    assert!(code == Some(1) && text.contains(&expected), "{text}");
    let host = Host::run(&["--config", config.to_str().expect("a path in UTF-8")], &[secret]);
    let message = body("publishing", "produce", &format!(r#","to":["{TOPIC}"]"#));
    kafka.kafka().produce(&guest.topic, [Record::new(message)]);
    let line = host.process.wait_for(|line| line.contains("topic published does not work"), BOUND);
    assert!(line.contains("grant WRITE and DESCRIBE on topic published to this client"), "{line}");
    kafka.grant(&["Write"], &["--topic", TOPIC]);
    eventually(BOUND, || kafka.kafka().end_offsets(TOPIC) == [1]);
    guest.settle(kafka.kafka());
    assert_eq!(host.handled("publishing"), 1, "no attempt was spent");
    host.stop();
}

/// The plugin continues, and the dead letters stay in their topic.
fn check_missing_rights_of_the_desk(kafka: &Secured, guest: &Guest, secret: (&str, &str)) {
    let desk = guest.dead_letter_group();
    kafka.revoke(&["Read"], &["--group", &desk]);
    let config = config(kafka, guest, "PLAIN", &authority(kafka));
    let host = Host::run(&["--config", config.to_str().expect("a path in UTF-8")], &[secret]);
    let line = host
        .process
        .wait_for(|line| line.contains(&format!("grant this client READ on group {desk}")), BOUND);
    assert!(line.contains(" ERROR ") && line.contains("--desk=false"), "{line}");
    kafka.kafka().produce(&guest.topic, [Record::new(body("meanwhile", "done", ""))]);
    eventually(BOUND, || host.handled("meanwhile") == 1);
    host.stop();
}

/// The topics are used, and one line says that their settings are not checked.
fn check_missing_right_to_settings(kafka: &Secured, guest: &Guest, secret: (&str, &str)) {
    let topics = ["--topic", &guest.topic, "--resource-pattern-type", "prefixed"];
    let config = config(kafka, guest, "PLAIN", &authority(kafka));
    let start =
        || Host::run(&["--config", config.to_str().expect("a path in UTF-8"), "--desk=false"], &[secret]);
    let told = |lines: Vec<String>| {
        let is_told =
            |line: &&String| line.contains(" INFO ") && line.contains("DESCRIBE_CONFIGS on its topics");
        lines.iter().filter(is_told).count()
    };
    assert_eq!(told(start().stop()), 0);
    kafka.revoke(&["DescribeConfigs"], &topics);
    assert_eq!(told(start().stop()), 1);
}

/// Errors name the cause and never the password.
fn check_errors_at_start(kafka: &Secured, guest: &Guest) {
    let wrong = [("KAFKA_PROPERTIES", "sasl.password=hush-hush")];
    for (mechanism, cause) in
        [("SCRAM-SHA-512", "invalid credentials"), ("PLAIN", "invalid username or password")]
    {
        let config = config(kafka, guest, mechanism, &authority(kafka));
        let (code, output) = run(&config, &["--listen", "127.0.0.1:0"], &wrong);
        assert_eq!(code, Some(1), "{output}");
        println!("{output}");
        assert!(output.contains("refuses this client (") && output.contains(cause), "{output}");
        assert!(
            output.contains("help: ") && output.contains("sasl.username") && !output.contains("hush"),
            "{output}"
        );
        // The guest imports what nobody grants it.
        let mut lines = output.lines().filter(|line| !line.contains("which is not granted"));
        assert!(!lines.any(|line| line.contains(" ERROR ") || line.contains(" WARN ")), "{output}");
    }
    let config = config(kafka, guest, "PLAIN", "");
    let (code, output) = run(&config, &["topics", "list"], &wrong);
    assert_eq!(code, Some(1), "{output}");
    println!("{output}");
    assert!(
        output.contains("over TLS (") && output.contains("certificate could not be verified"),
        "{output}"
    );
    assert!(output.contains("ssl.ca.location") && !output.contains("hush"), "{output}");
}

#[test]
fn a_partition_waits_while_writing_its_dead_letter_topic_is_not_allowed() {
    const WAITS: &str = "cannot publish a failed message";
    let kafka = Secured::start();
    let (blocked, other) = (Guest::fast("revoked"), Guest::fast("granted"));
    for guest in [&blocked, &other] {
        kafka.kafka().create_topic(&guest.topic, 2, &[]);
        grant_all(&kafka, guest);
    }
    // Only this topic loses the right later, so the prefix must not grant it.
    let prefix = ["--topic", &blocked.topic, "--resource-pattern-type", "prefixed"];
    kafka.revoke(&["Write"], &prefix);
    let derived = blocked.retry_topics.iter().chain([&blocked.dead]);
    kafka.grant(&["Write"], &derived.flat_map(|topic| ["--topic", topic]).collect::<Vec<_>>());
    let lines = format!(
        "[kafka]\nbootstrap-servers = \"{}\"\n[kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\n\
         sasl.mechanism = \"PLAIN\"\nsasl.username = \"{USER}\"\n{}\n",
        kafka.bootstrap(),
        authority(&kafka)
    );
    let config = file("revoked.toml", lines.as_bytes());
    let password = format!("sasl.password={PASSWORD}\n");
    let paths = [&config, &blocked.path, &other.path].map(|path| path.to_str().expect("a path in UTF-8"));
    let args = ["--config", paths[0], "--plugin", paths[1], "--plugin", paths[2]];
    let host = Host::run(&args, &[("KAFKA_PROPERTIES", &password)]);
    let publish = |id: &str, action: &str, partition: i32| {
        kafka.kafka().produce(&blocked.topic, [Record::new(body(id, action, "")).on(partition)]);
    };
    publish("before", "reject", 0);
    blocked.settle(kafka.kafka());

    kafka.revoke(&["Write"], &["--topic", &blocked.dead]);
    publish("refused", "reject", 0);
    let line = host.process.wait_for(|line| line.contains(WAITS), BOUND);
    println!("{line}");
    assert!(line.contains("Topic authorization failed"), "{line}");
    assert!(
        line.contains(&format!("grant WRITE and DESCRIBE on topic {} to this client", blocked.dead)),
        "{line}"
    );
    // The other partition and the other plugin need no dead letter and continue.
    publish("elsewhere", "done", 1);
    publish("behind", "reject", 0);
    kafka.kafka().produce(&other.topic, [Record::new(body("other", "retry", ""))]);
    other.settle(kafka.kafka());
    eventually(BOUND, || kafka.kafka().committed(&blocked.group, &blocked.topic) == [Some(1), Some(1)]);
    assert_eq!(kafka.kafka().read_all(&blocked.dead).len(), 1);

    kafka.grant(&["Write"], &["--topic", &blocked.dead]);
    blocked.settle(kafka.kafka());
    let lines = host.stop();
    let output = lines.iter().filter(|line| line.contains(WAITS)).count();
    println!("logged {output} times");
    let all = deliveries(&lines);
    for id in ["before", "refused", "behind", "elsewhere"] {
        assert_eq!(attempts(&all, id), [1], "{id}");
    }
    assert_eq!(attempts(&all, "other"), [1, 2, 3, 4, 5, 6]);
    assert_eq!(kafka.kafka().read_all(&blocked.dead).len(), 3);
}

#[test]
fn a_temporarily_revoked_password_loses_and_repeats_nothing() {
    const WAITS: &str = "cannot publish a failed message";
    // The broker requires each connection to authenticate again.
    let kafka = Secured::start_with(&[("connections.max.reauth.ms", "2000")]);
    let guest = Guest::fast("expired");
    grant_all(&kafka, &guest);
    let config = config(&kafka, &guest, "SCRAM-SHA-512", &authority(&kafka));
    let password = format!("sasl.password={PASSWORD}\n");
    let args = ["--config", config.to_str().expect("a path in UTF-8")];
    let host = Host::run(&args, &[("KAFKA_PROPERTIES", password.as_str())]);
    // The record waits in the client for its due time and cannot be published then.
    kafka.kafka().produce(&guest.topic, [Record::new(body("late", "retry", r#","after-ms":15000"#))]);
    eventually(BOUND, || host.handled("late") == 1);
    kafka.forget_password();
    let line = host.process.wait_for(|line| line.contains(WAITS), BOUND);
    println!("{line}");
    assert!(line.contains("last_error=") && line.to_lowercase().contains("authentication"), "{line}");
    kafka.set_password();
    let longest = guest.retry_topics.last().expect("a retry topic");
    eventually(BOUND, || kafka.kafka().read_all(longest).len() == 2);
    // The chosen delay spends no attempt. It continues until the host stops, and no delivery is repeated.
    let attempts = attempts(&deliveries(&host.stop()), "late");
    let expected: Vec<u32> = [1].into_iter().chain(1..).take(attempts.len()).collect();
    assert!(attempts.len() >= 2 && attempts == expected, "{attempts:?}");
}
