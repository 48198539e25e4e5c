//! The file as people write it.

use std::time::Duration;

use super::*;

fn refused(text: &str) -> String {
    File::parse(text).expect_err(text).to_string()
}

#[test]
fn a_whole_file() {
    let file = File::parse(
        r#"
        listen = "127.0.0.1:9000"
        auto-offset-reset = "latest"
        [kafka]
        bootstrap-servers = "a:9092,b:9092"
        [kafka.properties]
        security.protocol = "sasl_ssl"
        "sasl.username" = "me"
        linger.ms = 5
        enable.idempotence = true
        [[plugin]]
        path = "email.wasm"
        topic = "mail"
        retry = { retries = 2, delay = "500ms", jitter = 0.1 }
        [[plugin]]
        path = "sms.wasm"
        topic = "sms"
        "#,
    )
    .expect("a file");
    assert_eq!(file.auto_offset_reset, Some(OffsetReset::Latest));
    let mut properties = file.kafka.properties.0;
    properties.sort();
    let given = [
        ("enable.idempotence", "true"),
        ("linger.ms", "5"),
        ("sasl.username", "me"),
        ("security.protocol", "sasl_ssl"),
    ];
    assert_eq!(properties, given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(file.plugins.len(), 2);
    assert_eq!(file.plugins[0].retry.delay, Some(Duration::from_millis(500)));
    assert_eq!(file.plugins[1].retry.delay, None);
}

#[test]
fn an_unknown_name_is_refused_with_its_line_and_the_nearest_one() {
    let text = refused("[kafka]\nbootstrap-server = \"a:9092\"\n");
    assert!(text.contains("line 2") && text.contains("did you mean bootstrap-servers?"), "{text}");
    let text = refused("[[plugin]]\npath = \"a\"\ntopic = \"a\"\nretry = { retires = 5 }\n");
    assert!(text.contains("line 4") && text.contains("did you mean retries?"), "{text}");
    let plugin = "[[plugin]]\npath = \"a\"\ntopic = \"a\"\n";
    let text = refused(&format!("{plugin}[[plugin.rule]]\ncode = \"a\"\nblocking-try = 1\n"));
    assert!(text.contains("line 6") && text.contains("did you mean blocking-tries?"), "{text}");
    let text = refused(&format!("{plugin}[[plugin.rule]]\ncode = \"a\"\naction = \"retyr\"\n"));
    assert!(text.contains("line 6") && text.contains("did you mean retry?"), "{text}");
    let text = refused(&format!("{plugin}retry-sufix = \"x\"\n"));
    assert!(text.contains("line 4") && text.contains("did you mean retry-suffix?"), "{text}");
    let text = refused("[[plugin]]\npath = \"a\"\ntopic = \"a\"\nxyzzy = 1\n");
    assert!(text.contains("xyzzy") && !text.contains("did you mean"), "{text}");
}

#[test]
fn a_value_that_is_not_possible_is_refused_with_its_line() {
    for (text, line, what) in [
        ("listen = \"8081\"", "line 1", "socket address"),
        ("\n[kafka]\nbootstrap-servers = \"a:x\"", "line 3", "HOST:PORT"),
        ("[[plugin]]\npath = \"a\"", "line 1", "topic"),
        ("[[plugin]]\npath = \"a\"\ntopic = \"a\"\n[plugin.retry]\ndelay = \"soon\"", "line 5", "soon"),
        ("[[plugin]]\npath = \"a\"\ntopic = \"a\"\n[plugin.retry]\ndelay = 1000", "line 5", "1000"),
        ("[[plugin]]\npath = \"a\"\ntopic = \"a\"\nconcurrency = 0", "line 4", "nonzero"),
        ("[[plugin]]\npath = \"a\"\ntopic = \"a\"\n[[plugin.rule]]\nretries = 1", "line 4", "code"),
        ("auto-offset-reset = \"newest\"", "line 1", "newest"),
        ("[kafka.properties]\nx = [1]", "line 1", "x must be"),
        ("listen = ", "line 1", ""),
    ] {
        let told = refused(text);
        assert!(told.contains(line) && told.contains(what), "{text}: {told}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let file = File::parse(
        "[kafka.properties]\nsasl.password = \"hush\"\nssl.key.pem = \"hush\"\nclient.id = \"me\"",
    )
    .expect("a file");
    let shown = format!("{file:?}");
    assert!(!shown.contains("hush") && shown.contains("me"), "{shown}");
}

#[test]
fn what_was_sent_is_kept_longer_than_a_message_is_tried() {
    let keep = |text: &str| File::parse(text).expect(text).store.keep();
    assert_eq!(keep("").expect("a default"), Duration::from_secs(7 * 86_400));
    assert_eq!(keep("[store]\nkeep = \"25h\"").expect("possible"), Duration::from_secs(25 * 3600));
    assert!(keep("[store]\nkeep = \"24h\"").expect_err("too short").to_string().contains("store.keep"));
    let plugin = "[[plugin]]\npath = \"a\"\ntopic = \"a\"\n";
    let told = refused(&format!("{plugin}unsettled = \"dead-leter\""));
    assert!(told.contains("line 4") && told.contains("did you mean dead-letter?"), "{told}");
}
