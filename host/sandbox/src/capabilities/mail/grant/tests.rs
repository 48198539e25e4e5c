//! What a grant allows, and that it allows nothing else.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn granted(settings: &str) -> MailGrant {
    MailGrant::new(&toml::from_str(settings).expect(settings), None)
}

fn address(email: &str) -> Address {
    Address { name: None, email: email.to_owned() }
}

fn email(sender: &str, to: &[&str]) -> Email {
    Email {
        sender: address(sender),
        to: to.iter().map(|to| address(to)).collect(),
        cc: vec![],
        bcc: vec![],
        reply_to: None,
        subject: String::new(),
        text: None,
        html: None,
        headers: vec![],
        attachments: vec![],
    }
}

fn denied(grant: &MailGrant, email: &Email) -> String {
    match grant.check(email) {
        Err(Refused::Denied(text)) => text,
        other => panic!("{email:?}: {other:?}"),
    }
}

#[test]
fn an_address_matches_its_pattern_and_nothing_that_only_looks_like_it() {
    let cases = [
        ("example.com", "a@example.com", true),
        ("example.com", "a@EXAMPLE.Com", true),
        ("Example.COM", "a@example.com", true),
        ("*@example.com", "a@example.com", true),
        ("example.com", "a@mail.example.com", false),
        ("example.com", "a@notexample.com", false),
        ("example.com", "a@example.com.evil.org", false),
        ("example.com", "example.com@evil.org", false),
        ("example.com", "\"a@example.com\"@evil.org", false),
        ("*.example.com", "a@mail.example.com", true),
        ("*.example.com", "a@x.y.Example.com", true),
        ("*.example.com", "a@example.com", false),
        ("*.example.com", "a@notexample.com", false),
        ("*@*.example.com", "a@mail.example.com", true),
        ("a@b.c", "a@B.C", true),
        ("a@b.c", "A@b.c", false),
        ("a@b.c", "aa@b.c", false),
        ("a@b.c", "a@a.b.c", false),
        ("한국.example", "a@xn--3e0b707e.example", true),
        ("xn--3e0b707e.example", "a@한국.example", true),
        ("bücher.de", "a@xn--bcher-kva.de", true),
        ("*@xn--bcher-kva.de", "a@BÜCHER.de", true),
        ("a@xn--bcher-kva.de", "a@bücher.de", true),
        ("*.bücher.de", "a@x.xn--bcher-kva.de", true),
        ("127.0.0.1", "a@0x7f.0.0.1", false),
        ("example.com", "a@ex%61mple.com", false),
        ("*.example.com", "a@b%2eexample.com", false),
    ];
    for (pattern, mailbox, covered) in cases {
        let mailbox: Mailbox = mailbox.parse().expect(mailbox);
        assert_eq!(Pattern::parse(pattern).expect(pattern).covers(&mailbox), covered, "{pattern} {mailbox}");
    }
}

#[test]
fn a_pattern_that_no_address_matches_is_refused() {
    for wrong in [
        "",
        "*",
        "@",
        "a@",
        "@b.c",
        "*.*.example.com",
        "a b@c.d",
        "ex*mple.com",
        "*@",
        "*.",
        "a@b c",
        "b%2ec",
    ] {
        assert!(Pattern::parse(wrong).is_err(), "{wrong}");
    }
    let error = toml::from_str::<MailSettings>("senders = [\"a b\"]").expect_err("no pattern").to_string();
    assert!(error.contains("\"a b\" is none of"), "{error}");
    for wrong in ["redirect-all = \"staging\"", "per-minute = 0", "to = []"] {
        assert!(toml::from_str::<MailSettings>(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    /// Against the definition.
    #[test]
    fn a_domain_covers_itself_and_a_wildcard_the_domains_below(
        labels in prop::collection::vec("[a-zA-Z][a-z0-9]{0,5}", 2..5),
        more in prop::collection::vec("[a-z]{1,5}", 0..3),
        user in "[a-z][a-z0-9.+]{0,5}[a-z]",
    ) {
        let domain = labels.join(".");
        let whole = more.iter().chain(&labels).cloned().collect::<Vec<_>>().join(".");
        let Ok(mailbox) = format!("{user}@{whole}").parse::<Mailbox>() else { return Ok(()) };
        let covers = |pattern: String| Pattern::parse(&pattern).map(|pattern| pattern.covers(&mailbox));
        prop_assert_eq!(covers(domain.clone()), Ok(more.is_empty()));
        prop_assert_eq!(covers(format!("*.{domain}")), Ok(!more.is_empty()));
        prop_assert_eq!(covers(format!("{user}@{domain}")), Ok(more.is_empty()));
        prop_assert_eq!(covers(format!("x{domain}")), Ok(false));
    }
}

#[test]
fn one_address_that_is_not_allowed_denies_the_email_and_is_named() {
    let grant = granted(
        "senders = [\"no-reply@example.com\"]\nrecipients = [\"example.com\", \"*.example.com\", \"a@b.c\"]",
    );
    let mut good = email("no-reply@example.com", &["x@example.com", "a@b.c"]);
    (good.cc, good.bcc) = (vec![address("y@m.example.com")], vec![address("z@EXAMPLE.com ")]);
    assert_eq!(grant.check(&good), Ok(()));
    let text = denied(&grant, &Email { sender: address("boss@example.com"), ..good.clone() });
    assert!(text.contains("boss@example.com") && text.contains("mail.senders"), "{text}");
    let evil = || vec![address("x@example.com"), address("v@evil.org")];
    for bad in [
        Email { to: evil(), ..good.clone() },
        Email { cc: evil(), ..good.clone() },
        Email { bcc: evil(), ..good.clone() },
    ] {
        let text = denied(&grant, &bad);
        assert!(text.contains("v@evil.org") && text.contains("mail.recipients"), "{text}");
    }
    let none = grant.check(&email("no-reply@example.com", &["nobody"]));
    assert!(matches!(none, Err(Refused::InvalidAddress(text)) if text.contains("nobody")));
}

#[test]
fn a_domain_is_granted_in_each_of_its_forms() {
    for recipients in ["bücher.de", "xn--bcher-kva.de", "*@BÜCHER.de", "a@bücher.de", "a@xn--bcher-kva.de"]
    {
        let grant = granted(&format!("recipients = [{recipients:?}]"));
        for to in ["a@bücher.de", "a@xn--bcher-kva.de", "a@BÜCHER.DE"] {
            assert_eq!(grant.check(&email("s@x", &[to])), Ok(()), "{recipients} {to}");
        }
        denied(&grant, &email("s@x", &["a@bucher.de"]));
    }
}

#[test]
fn an_empty_list_allows_nobody_and_no_list_everybody() {
    let mail = email("a@b.c", &["d@e.f"]);
    assert_eq!(MailGrant::default().check(&mail), Ok(()));
    denied(&granted("senders = []"), &mail);
    denied(&granted("recipients = []"), &mail);
}

#[test]
fn everything_is_redirected_and_says_where_it_was_meant_for() {
    let grant = granted("redirect-all = \"staging@example.com\"");
    let mut mail = email("a@b.c", &["d@e.f", "g@h.i"]);
    mail.bcc = vec![address("secret@e.f")];
    mail.headers = vec![("x-original-to".into(), "forged".into()), ("X-Kept".into(), "1".into())];
    let sent = grant.redirected(mail);
    assert_eq!(sent.to, [address("staging@example.com")]);
    assert!(sent.cc.is_empty() && sent.bcc.is_empty());
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        sent.headers,
        [
            header("X-Kept", "1"),
            header("X-Original-To", "d@e.f, g@h.i"),
            header("X-Original-Bcc", "secret@e.f")
        ]
    );
    let without = Email { headers: vec![header("X-Original-Foo", "1")], ..email("a@b.c", &[]) };
    assert_eq!(grant.redirected(without.clone()), without);
    // Without it nothing is changed.
    assert_eq!(MailGrant::default().redirected(sent.clone()), sent);
}

#[tokio::test]
async fn what_is_beyond_the_rate_waits() {
    let grant = Arc::new(granted("per-minute = 600"));
    let start = std::time::Instant::now();
    for _ in 0..600 {
        grant.turn().await.take();
    }
    grant.turn().await.take();
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
    let unlimited = Arc::new(MailGrant::default());
    for _ in 0..1000 {
        unlimited.turn().await.take();
    }
}

#[tokio::test]
async fn an_email_that_is_not_sent_does_not_count() {
    let grant = Arc::new(granted("per-minute = 1"));
    for _ in 0..5 {
        drop(grant.turn().await);
    }
    grant.turn().await.take();
    let late = tokio::time::timeout(Duration::from_millis(20), grant.turn()).await;
    assert!(late.is_err(), "one per minute");
}
