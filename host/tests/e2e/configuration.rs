//! `host.toml`: its effects, its errors, and the commands for it.

use std::path::{Path, PathBuf};

use testkit::{Kafka, Process, Record, binary, plugin};

use crate::support::{BOUND, Guest, attempts, body, deliveries, file};

/// Runs a command of the host. Returns its exit code and its lines.
fn host(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut process = Process::start_with(&binary("host"), args, env);
    let status = process.wait(BOUND);
    (status.code(), process.lines().join("\n"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A configuration file in the directory of the guests.
fn config(name: &str, lines: &str) -> PathBuf {
    file(&format!("{name}.toml"), lines.as_bytes())
}

#[test]
fn a_file_sets_the_topic_and_the_retries_of_a_plugin() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("configured");
    let (topic, dead) = ("configured-elsewhere", "configured-elsewhere.dlt");
    kafka.create_topic(topic, 2, &[]);
    let name = guest.path.file_name().expect("a file's name").to_str().expect("UTF-8");
    let lines = format!(
        "listen = \"127.0.0.1:0\"\n[kafka]\nbootstrap-servers = \"{}\"\n\
         [kafka.properties]\nclient.rack = \"here\"\n\
         [[plugin]]\npath = \"{name}\"\ntopic = \"{topic}\"\ngroup = \"configured-elsewhere-group\"\n\
         retry = {{ retries = 2, delay = \"30ms\", multiplier = 1.0, jitter = 0.5 }}\n",
        kafka.bootstrap()
    );
    let path = config("configured", &lines);
    kafka.produce(topic, [Record::new(body("never", "retry", "")), Record::new(body("fine", "done", ""))]);
    let mut process = Process::start("host", &["--config", text(&path)]);
    process.wait_for(|line| line.starts_with("Ready in"), BOUND);
    testkit::eventually(BOUND, || {
        kafka.read_all(dead).len() == 1 && attempts(&deliveries(&process.lines()), "fine") == [1]
    });
    process.terminate();
    assert_eq!(process.wait(BOUND).code(), Some(0));
    let all = deliveries(&process.lines());
    assert_eq!(attempts(&all, "never"), [1, 2, 3]);
    assert_eq!(attempts(&all, "fine"), [1]);
    for pair in all["never"].windows(2) {
        let waited = pair[1].at_us - pair[0].at_us;
        assert!(waited >= 30_000, "retried after {waited} us");
    }
    // Two equal delays share one topic. The defaults of the plugin have no effect.
    assert_eq!(kafka.read_all("configured-elsewhere-retry").len(), 2);
    assert_eq!(kafka.committed("configured-elsewhere-group", topic).iter().flatten().sum::<i64>(), 2);
    assert!(kafka.read_all(&guest.topic).is_empty() && kafka.read_all(&guest.dead).is_empty());
}

/// The table of a plugin.
fn entry() -> String {
    format!("[[plugin]]\npath = \"{}\"\ntopic = \"email.send\"\n", text(&plugin("email")))
}

/// Invalid files: name, content, and texts of the error and of the next step.
fn invalid_files(entry: &str) -> [(&'static str, String, &'static str, &'static str); 10] {
    [
        (
            "unknown",
            "[kafka]\nbootstrap-server = \"a:1\"\n".to_owned(),
            "line 2",
            "did you mean bootstrap-servers?",
        ),
        ("value", "listen = 8081\n".to_owned(), "line 1", "host config reference"),
        ("retry", format!("{entry}retry = {{ multiplier = 0.5 }}\n"), "multiplier is 0.5", "[[plugin]]"),
        (
            "rule",
            format!(
                "{entry}[[plugin.rule]]\ncode = \"*\"\nretries = 1\n[[plugin.rule]]\ncode = \"a\"\nretries = 2\n"
            ),
            "\"a\" has no effect",
            "[[plugin]]",
        ),
        (
            "action",
            format!("{entry}[[plugin.rule]]\ncode = \"a\"\naction = \"discrad\"\n"),
            "line 6",
            "did you mean discard?",
        ),
        (
            "mail",
            format!("{entry}mail.per-minute = 5\n"),
            "`mail` is not in the plugin's `allow`",
            "remove [plugin.mail]",
        ),
        (
            "ca",
            format!("[mail]\nurl = \"smtps://localhost\"\nca = \"nowhere.pem\"\n{entry}"),
            "nowhere.pem",
            "PEM file with certificates",
        ),
        ("topic", entry.replace("email.send", "a b"), "\"a b\" is not a topic name", "[[plugin]]"),
        (
            "property",
            format!("{entry}[kafka.properties]\nnosuch.property = 1\n"),
            "nosuch.property",
            "librdkafka",
        ),
        (
            "reserved",
            format!("{entry}[kafka.properties]\nenable.auto.commit = true\n"),
            "[kafka.properties] enable.auto.commit",
            "remove enable.auto.commit from [kafka.properties]",
        ),
    ]
}

/// The same for `[http]`.
fn invalid_http(entry: &str) -> [(&'static str, String, &'static str, &'static str); 3] {
    [
        (
            "http-ca",
            format!("[http]\nca = \"nowhere.pem\"\n{entry}"),
            "http.ca: ",
            "PEM file with certificates",
        ),
        (
            "proxy",
            format!("[http]\nproxy = \"http://me:hu/sh@proxy:3128\"\n{entry}"),
            "http.proxy: the URL of the proxy is invalid",
            "percent-encoded",
        ),
        (
            "no-proxy",
            format!("[http]\nno-proxy = [\"https://a\"]\n{entry}"),
            "http.no-proxy: \"https://a\"",
            "without scheme",
        ),
    ]
}

#[test]
fn an_invalid_file_ends_the_start_before_anything_else() {
    let entry = entry();
    for (name, lines, what, next) in invalid_files(&entry).into_iter().chain(invalid_http(&entry)) {
        let path = config(&format!("wrong-{name}"), &lines);
        let (code, output) = host(&["config", "check", "--config", text(&path)], &[]);
        assert_eq!(code, Some(2), "{name}: {output}");
        assert!(
            output.contains(what) && output.contains("help: ") && output.contains(next),
            "{name}: {output}"
        );
    }
    let (code, output) = host(&["--config", "/nowhere/host.toml", "topics", "list"], &[]);
    assert!(code == Some(2) && output.contains("cannot read /nowhere/host.toml"), "{output}");
    // Only plugins that the file lists may run.
    let path = config("listed", &entry);
    let sms = plugin("sms");
    let (code, output) = host(&["--config", text(&path), "--plugin", text(&sms)], &[]);
    assert!(code == Some(2) && output.contains("is not listed in"), "{output}");
}

#[test]
fn a_generated_file_is_valid_and_has_the_defaults_of_the_plugin() {
    let email = plugin("email");
    let (code, written) = host(&["config", "init", "--plugin", text(&email), "-o", "-"], &[]);
    assert_eq!(code, Some(0), "{written}");
    assert!(written.contains("topic = \"email.send\"\ngroup = \"email-send-group\"\n"), "{written}");
    let path = config("new", &written);
    let (code, output) = host(&["config", "check", "--config", text(&path)], &[]);
    assert!(code == Some(0) && output.contains("email@") && output.contains("is valid"), "{output}");
    // It has the permission that the plugin wants, and a check says if it has not.
    assert!(written.contains("allow = [\n    \"mail\", # `mail`: sending e-mail.\n]\n"), "{written}");
    assert!(!output.contains("not granted"), "{output}");
    let denied = config("denied", &written.replace("    \"mail\", #", "    # \"mail\", #"));
    let (code, output) = host(&["config", "check", "--config", text(&denied)], &[]);
    assert!(code == Some(0) && output.contains("warning: email@"), "{output}");
    assert!(output.contains("each e-mail is denied; set allow = [\"mail\"]"), "{output}");
    // An existing file is not overwritten.
    let (code, output) = host(&["config", "init", "-o", text(&path)], &[]);
    assert!(code == Some(2) && output.contains("cannot write"), "{output}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), written);
}

#[test]
fn effective_settings_are_shown_with_their_layer_and_without_secrets() {
    let email = plugin("email");
    let lines = format!(
        "[mail]\nurl = \"smtp://me:hush@mail.example:25\"\n[kafka.properties]\nlinger.ms = 1\nclient.id = \"file\"\n\
         [[plugin]]\npath = \"{}\"\ntopic = \"email.send\"\nretry.delay = \"5s\"\n\
         retry.blocking-tries = 2\nconcurrency = 3\nordering = \"key\"\ndead-letter-suffix = \"-dlt\"\n\
         allow = [\"mail\"]\nmail.senders = [\"no-reply@Example.com\", \"news.example.com\"]\nmail.per-minute = 5\n\
         [[plugin.rule]]\ncode = \"smtp-*\"\nretries = 7\naction = \"retry\"\n",
        text(&email)
    );
    let path = config("shown", &lines);
    let args = ["config", "show", "--config", text(&path), "--listen", "127.0.0.1:1", "-X", "client.id=flag"];
    let env = [("KAFKA_PROPERTIES", "sasl.password=hush"), ("HOST_CREATE_TOPICS", "false")];
    let (code, shown) = host(&args, &env);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    for (key, layer) in [
        ("listen = \"127.0.0.1:1\"", "flag"),
        ("url = \"smtp://me:***@mail.example:25\"", "file"),
        ("create-topics = false", "environment"),
        ("auto-offset-reset = \"earliest\"", "default"),
        ("properties.\"client.id\" = \"flag\"", "-X"),
        ("properties.\"sasl.password\" = \"***\"", "environment"),
        ("properties.\"linger.ms\" = \"1\"", "file"),
        ("topic = \"email.send\"", "file"),
        ("group = \"email-send-group\"", "plugin"),
        ("dead-letter-topic = \"email.send-dlt\"", "file"),
        ("dead-letter-suffix = \"-dlt\"", "file"),
        ("retry-suffix = \"-retry\"", "default"),
        ("concurrency = 3", "file"),
        ("ordering = \"key\"", "file"),
        ("on-dead = \"continue\"", "default"),
        ("senders = [\"no-reply@example.com\", \"*@news.example.com\"]", "file"),
        ("per-minute = 5", "file"),
        ("delay = \"5s\"", "file"),
        ("retries = 5", "plugin"),
        ("blocking-tries = 2", "file"),
        ("blocking-delay = \"100ms\"", "default"),
        ("code = \"smtp-*\"", "file"),
        ("retries = 7", "file"),
        ("action = \"retry\"", "file"),
    ] {
        let line = shown.lines().find(|line| line.starts_with(key));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!("# {layer}"))),
            "{key} # {layer} in\n{shown}"
        );
    }
}

#[test]
fn the_way_to_http_servers_is_shown_with_its_source() {
    let show = |name: &str, lines: &str, env: &[(&str, &str)]| {
        let path = config(name, &format!("{lines}{}", entry()));
        let none = [("SSL_CERT_FILE", ""), ("HTTPS_PROXY", ""), ("NO_PROXY", "")];
        let (code, shown) = host(&["config", "show", "--config", text(&path)], &[&none, env].concat());
        assert!(code == Some(0) && !shown.contains("hush"), "{shown}");
        shown
    };
    let has = |shown: &str, pair: &str, from: &str| {
        let line = format!("{pair:<50} # {from}");
        assert!(shown.lines().any(|shown| shown == line), "{line} in\n{shown}");
    };
    assert!(!show("http-none", "", &[]).contains("[http]"));
    let set =
        "[http]\nproxy = \"http://me:hush@proxy.example:3128\"\nno-proxy = [\"a.example\", \"10.0.0.0/8\"]\n";
    let shown = show("http-set", set, &[("HTTPS_PROXY", "http://other.example")]);
    has(&shown, "proxy = \"http://***@proxy.example:3128\"", "file");
    has(&shown, "no-proxy = [\"a.example\", \"10.0.0.0/8\"]", "file");
    assert!(!shown.contains("other.example"), "{shown}");
    let env = [("HTTPS_PROXY", "me:hush@proxy.example:3128"), ("NO_PROXY", "a.example, b.example")];
    let shown = show("http-env", "", &env);
    has(&shown, "proxy = \"http://***@proxy.example:3128\"", "HTTPS_PROXY");
    has(&shown, "no-proxy = [\"a.example\", \"b.example\"]", "NO_PROXY");
}

#[test]
fn one_component_may_run_for_two_topics() {
    let sms = plugin("sms");
    let entry = |topic: &str| {
        format!("[[plugin]]\npath = \"{}\"\ntopic = \"{topic}\"\ngroup = \"{topic}-group\"\n", text(&sms))
    };
    let path = config("twice", &(entry("sms.one") + &entry("sms.two")));
    let (code, output) = host(&["config", "check", "--config", text(&path)], &[]);
    assert_eq!(code, Some(0), "{output}");
    for topic in ["sms.one", "sms.two"] {
        assert!(output.contains(&format!("topic {topic}, group {topic}-group")), "{output}");
    }
}

#[test]
fn help_shows_no_secrets_and_errors_name_the_layer() {
    let path = config("secret", "[mail]\nurl = \"smtp://me:hush@mail.example:25\"\n");
    let secrets = [("KAFKA_PROPERTIES", "sasl.password=hush")];
    let (code, help) = host(&["--config", text(&path), "--help"], &secrets);
    assert!(code == Some(0) && help.contains("--mail-url") && !help.contains("hush"), "{help}");
    let (_, help) = host(&["--help"], &[("HOST_MAIL_URL", "smtp://me:hush@mail.example:25")]);
    assert!(help.contains("HOST_MAIL_URL") && !help.contains("hush"), "{help}");
    let (_, help) = host(&["--help"], &[("HOST_STORE", "postgres://me:hush@db.example/host")]);
    assert!(help.contains("HOST_STORE") && !help.contains("hush"), "{help}");
    let stored = config("stored", "[store]\nurl = \"postgres://me:hush@db.example/host\"\nkeep = \"2d\"\n");
    let (email, args) = (plugin("email"), ["config", "show", "--config", text(&stored), "--plugin"]);
    let (code, output) = host(&[&args[..], &[text(&email)]].concat(), &[]);
    assert!(code == Some(0) && output.contains("me:***@db.example") && !output.contains("hush"), "{output}");
    assert!(output.contains("keep = \"2days\""), "{output}");
    let short = config("short", "[store]\nkeep = \"1h\"\n");
    let (code, output) = host(&["config", "check", "--config", text(&short), "--plugin", text(&email)], &[]);
    assert!(code == Some(2) && output.contains("longer than 24 h"), "{output}");
}

#[test]
fn errors_about_kafka_properties_show_no_values() {
    for (value, shown) in [
        ("hush", "invalid value '***' for 'KAFKA_PROPERTIES'"),
        ("sasl.password=hush;hush", "on a line of its own"),
        ("sasl.password=hush;acks=hush", "KAFKA_PROPERTIES acks"),
        ("security.protocol=hush", "invalid Kafka property security.protocol"),
    ] {
        let (code, output) = host(&["topics", "list"], &[("KAFKA_PROPERTIES", value)]);
        assert!(code == Some(2) && output.contains(shown) && !output.contains("hush"), "{output}");
    }
    let path = config("values", "[kafka.properties]\nacks = \"hush\"\n");
    for args in [&["-X", "hush"][..], &["-X", "acks=hush"], &["--config", text(&path)]] {
        let (code, output) = host(&[&["topics", "list"], args].concat(), &[]);
        let hidden = output.lines().all(|line| !line.contains("hush"));
        assert!(code == Some(2) && output.contains("error: ") && hidden, "{output}");
    }
}
