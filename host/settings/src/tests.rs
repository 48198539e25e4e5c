//! Files as people write them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;

/// The settings of a capability.
pub(crate) static PING: Extension = Extension {
    allow: &[AllowEntry {
        form: "`ping`",
        about: "`ping`: sending a ping.",
        example: "ping",
        grants: true,
        matches: |text| text == "ping",
        parse: |text| Ok(text.to_owned()),
    }],
    section: Some(SectionType::table::<PingSettings>("ping")),
    limits: &[SizeLimit {
        key: "ping",
        about: "A ping",
        default: 1 << 10,
        code: "ping-too-large",
        detail: "a ping has more than",
        in_one_call: true,
    }],
};

/// How it pings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PingSettings {
    /// The target.
    #[schemars(example = &"a")]
    to: String,
}

impl Section for PingSettings {
    fn boxed(&self) -> Box<dyn Section> {
        Box::new(self.clone())
    }

    fn tables(&self) -> Vec<ShownTable> {
        Vec::new()
    }
}

fn parse(text: &str) -> Result<File, base::error::UserError> {
    File::parse(text, &[&PING])
}

fn refused(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn an_extension_adds_keys() {
    let text = "[[plugin]]\npath = \"a\"\ntopic = \"a\"\nallow = [\"ping\", \"env:A\"]\n\
                limits = { ping = \"2 KiB\", memory = \"2 MiB\" }\n[plugin.ping]\nto = \"b\"\n\
                [[plugin]]\npath = \"b\"\ntopic = \"b\"\n";
    let file = parse(text).expect(text);
    let [first, second] = &file.plugins[..] else { panic!("{file:?}") };
    assert_eq!(first.allow, [Allow::Capability("ping".into()), Allow::Env("A".into())]);
    assert_eq!(first.sections.get::<PingSettings>().map(|ping| &ping.to[..]), Some("b"));
    assert_eq!(first.limits.sizes.get(&PING.limits[0]).map(|size| size.as_u64()), Some(2048));
    assert!(first.limits.memory.is_some() && second.allow.is_empty());
    assert_eq!(second.sections.get::<PingSettings>(), None);
}

#[test]
fn an_error_in_an_extension_has_its_line_and_the_nearest_name() {
    let plugin = "[[plugin]]\npath = \"a\"\ntopic = \"a\"\n";
    for (lines, line, what) in [
        ("[plugin.pin]\nto = \"b\"", "line 4", "did you mean ping?"),
        ("alow = []", "line 4", "did you mean allow?"),
        ("[plugin.limits]\npign = \"1 KiB\"", "line 5", "did you mean ping?"),
        ("[plugin.limits]\nmemroy = \"1 MiB\"", "line 5", "did you mean memory?"),
        ("[plugin.ping]\ntoo = \"b\"", "line 5", "did you mean to?"),
        ("[plugin.ping]\nto = 1", "line 5", "expected a string"),
        ("[plugin.ping]", "line 4", "missing field `to`"),
        ("ping = 1", "line 4", "expected struct PingSettings"),
        ("[plugin.limits]\nping = \"much\"", "line 5", "much"),
        ("allow = [\n  \"env:A\",\n  \"pong\",\n]", "line 6", "`ping`, `env:NAME` or `dir:PATH`"),
        ("allow = \"ping\"", "line 4", "expected a sequence"),
    ] {
        let text = refused(&format!("{plugin}{lines}\n"));
        assert!(text.contains(line) && text.contains(what), "{lines}: {text}");
    }
}

#[test]
fn a_whole_file() {
    let file = parse(
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
fn an_unknown_name_is_refused_with_its_line_and_the_nearest_name() {
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
fn an_impossible_value_is_refused_with_its_line() {
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
        let error = refused(text);
        assert!(error.contains(line) && error.contains(what), "{text}: {error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let file =
        parse("[kafka.properties]\nsasl.password = \"hush\"\nssl.key.pem = \"hush\"\nclient.id = \"me\"")
            .expect("a file");
    let shown = format!("{file:?}");
    assert!(!shown.contains("hush") && shown.contains("me"), "{shown}");
}

#[test]
fn effects_are_kept_longer_than_a_message_is_retried() {
    let keep = |text: &str| parse(text).expect(text).store.keep();
    assert_eq!(keep("").expect("a default"), Duration::from_secs(7 * 86_400));
    assert_eq!(keep("[store]\nkeep = \"25h\"").expect("possible"), Duration::from_secs(25 * 3600));
    assert!(keep("[store]\nkeep = \"24h\"").expect_err("too short").to_string().contains("store.keep"));
    let plugin = "[[plugin]]\npath = \"a\"\ntopic = \"a\"\n";
    let error = refused(&format!("{plugin}unsettled = \"dead-leter\""));
    assert!(error.contains("line 4") && error.contains("did you mean dead-letter?"), "{error}");
}
