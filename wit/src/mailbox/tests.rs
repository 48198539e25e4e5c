use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Vec<(Option<String>, String)> {
    let all = Mailbox::parse_list(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    all.into_iter().map(|mailbox| (mailbox.name, mailbox.address.to_string())).collect()
}

#[test]
fn a_mailbox_has_an_address_and_an_optional_name() {
    for (text, name, address) in [
        ("a@b.example", None, "a@b.example"),
        (" a@b ", None, "a@b"),
        ("<a@b>", None, "a@b"),
        ("Shop <a@b.example>", Some("Shop"), "a@b.example"),
        ("\"Shop\" <a@b.example>", Some("Shop"), "a@b.example"),
        ("\"Kim, \\\"Shop\\\"\"<a@b>", Some("Kim, \"Shop\""), "a@b"),
        ("John Q. Public <j@x>", Some("John Q. Public"), "j@x"),
        ("홍길동  상점 <a@b.example>", Some("홍길동 상점"), "a@b.example"),
        ("\"a  b\" c <a@b>", Some("a  b c"), "a@b"),
        ("\"<x@y>\" <a@b>", Some("<x@y>"), "a@b"),
        ("a@b (the \\) shop, (here))", None, "a@b"),
        ("\"\" <a@b>", None, "a@b"),
        ("\"a b\"@c.example", None, "\"a b\"@c.example"),
        ("\"a,b\"@c.example", None, "\"a,b\"@c.example"),
        ("사용자@example.com", None, "사용자@example.com"),
        ("\u{200b}a@b.example\u{a0}", None, "a@b.example"),
    ] {
        assert_eq!(read(text), [(name.map(str::to_owned), address.to_owned())], "{text}");
    }
}

#[test]
fn a_list_is_separated_by_commas() {
    let addresses: Vec<_> =
        read("a@b, \"Kim, Lee\" <c@d>,e@f (x, y),").into_iter().map(|(_, address)| address).collect();
    assert_eq!(addresses, ["a@b", "c@d", "e@f"]);
    assert!(Mailbox::parse("a@b, c@d").is_err_and(|error| error.contains("more than one")));
    let many = vec!["a@b"; MAX_RECIPIENTS];
    assert_eq!(read(&many.join(",")).len(), MAX_RECIPIENTS);
    assert!(Mailbox::parse_list(&format!("{},a@b", many.join(","))).is_err());
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        " ",
        ",",
        "nobody",
        "@b",
        "a@",
        "a b@c",
        "a@b c",
        "a@b;c@d",
        "team: a@b;",
        "Shop @ home <a@b>",
        "Shop, <a@b",
        "a@b>",
        "<a@b> x",
        "\"Shop <a@b>",
        "a@b (x",
        "<a@b, c@d>",
        "<<a@b>>",
        "x <y> <a@b>",
        ".a@b",
        "a..b@c",
        "a@b..c",
        "a@b.",
        "a@-b",
        "a@b%2ec",
        "a@b_",
        "a@[1.2.3]",
        "a@[::1]",
        "a\u{200b}b@c",
        "a\u{2028}b@c",
        "\"a>b\"@c",
        "\"a\tb\"@c",
        "a@b\r\nRCPT TO:<v@x>",
        "Shop\nBcc: v@x <a@b>",
        "a\0@b",
    ] {
        let error = Mailbox::parse_list(text).expect_err(text);
        assert!(!error.is_empty() && one_line(&error).is_ok(), "{error}");
    }
    assert!(Address::parse(&format!("{}@b", "a".repeat(65))).is_err());
    assert!(Address::parse(&format!("a@{}", "b".repeat(64))).is_err());
    assert!(Address::parse(&format!("a@{}b", "b.".repeat(127))).is_err());
    assert!(Address::parse("a@b").is_ok_and(|address| (address.user(), address.domain()) == ("a", "b")));
}

#[cfg(feature = "idna")]
#[test]
fn domains_have_one_form() {
    for (domain, ascii) in [
        ("bücher.de", "xn--bcher-kva.de"),
        ("BÜCHER.de", "xn--bcher-kva.de"),
        ("xn--bcher-kva.de", "xn--bcher-kva.de"),
        ("Example.COM", "example.com"),
        ("한국。example", "xn--3e0b707e.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("[127.0.0.1]", "[127.0.0.1]"),
        ("[ipv6:0:0:0:0:0:0:0:1]", "[IPv6:::1]"),
    ] {
        assert_eq!(ascii_domain(domain).as_deref(), Ok(ascii), "{domain}");
    }
    for wrong in ["xn--a", "ü.-", "\u{e000}.de", "ü@de"] {
        ascii_domain(wrong).expect_err(wrong);
    }
}

#[test]
fn most_addresses_are_plain() {
    for (text, is_plain) in [
        ("sender0000001@example.com", true),
        ("a.b+c-d_e@mail.example.co.kr", true),
        ("A@example.com", true),
        ("a@b", true),
        ("a@Example.com", false),
        (".a@b", false),
        ("a..b@c", false),
        ("a@xn--bcher-kva.de", false),
        ("a@-b", false),
        ("a@b.", false),
        ("a@b, c@d", false),
        (" a@b", false),
        ("a@b@c", false),
        ("@b", false),
    ] {
        assert_eq!(Address::plain(text).is_some(), is_plain, "{text}");
    }
}

proptest! {
    #[test]
    fn a_quoted_name_is_read_as_it_was(name in "\\PC{1,40}") {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let mailbox = Mailbox::parse(&format!("\"{escaped}\" <a@b>")).map_err(TestCaseError::fail)?;
        let name = trimmed(&name);
        prop_assert_eq!(mailbox.name.as_deref().unwrap_or_default(), name);
    }

    #[test]
    fn an_address_is_its_own_form(text in "[a-z\"\\\\ .@ü]{0,12}@[a-zü.-]{1,12}") {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(Address::parse(address.as_str()), Ok(address.clone()));
            prop_assert!(address.domain().is_ascii() || !cfg!(feature = "idna"));
            prop_assert_eq!(format!("{}@{}", address.user(), address.domain()), address.as_str());
        }
    }

    /// What is read by one look at each byte is read the same by the rules for all lists.
    #[test]
    fn a_plain_address_is_read_by_the_same_rules(
        text in "[a-zA-Z0-9._+-]{0,70}@[a-z0-9A-Z.-]{1,70}|[a-z.+-]{1,5}@[a-z0-9]{1,3}([.-][a-z0-9]{1,64}){0,5}",
    ) {
        if let Some(address) = Address::plain(&text) {
            prop_assert_eq!(Mailbox::parse_any_list(&text), Ok(vec![Mailbox { name: None, address }]));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        if let Ok(all) = Mailbox::parse_list(&text) {
            for mailbox in all {
                prop_assert!(one_line(mailbox.address.as_str()).is_ok());
                prop_assert_eq!(one_line(mailbox.name.as_deref().unwrap_or("x")), Ok(()));
            }
        }
    }
}
