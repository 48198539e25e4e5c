use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    PhoneNumber::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

/// The international numbers are those that libphonenumber 9.0.33 reads from these texts.
#[test]
fn numbers_are_read_as_people_paste_them() {
    for (text, number) in [
        ("010-1234-5678", "01012345678"),
        ("010\u{2011}1234\u{2011}5678", "01012345678"),
        ("010–1234—5678", "01012345678"),
        ("010\u{a0}1234\u{a0}5678", "01012345678"),
        ("\u{202a}010 1234\u{200b} 5678\u{202c}", "01012345678"),
        ("\u{feff}010.1234.5678\u{3000}", "01012345678"),
        ("０１０－１２３４－５６７８", "01012345678"),
        ("(02) 930-2266", "029302266"),
        ("1588-0000", "15880000"),
        ("114", "114"),
        ("+82 10-1234-5678", "+821012345678"),
        ("+82 10\u{a0}1234\u{200b}5678", "+821012345678"),
        ("＋８２ １０ １２３４ ５６７８", "+821012345678"),
        ("+82 (0)10-1234-5678", "+821012345678"),
        ("+82 010 1234 5678", "+821012345678"),
        ("+82 02 930 2266", "+8229302266"),
        ("(+82) 10 1234 5678", "+821012345678"),
        ("tel:+82-10-1234-5678", "+821012345678"),
        ("TEL: 010-1234-5678", "01012345678"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("+44 ( 0 ) 20 7946 0958", "+442079460958"),
        ("+1 (202) 555.0123", "+12025550123"),
        ("+39 06 698 12345", "+390669812345"),
    ] {
        assert_eq!(shown(text), number, "{text}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "",
        "+",
        "12",
        "hello",
        "+1 202 555 0123 ext. 5",
        "+1 202 555 0123 x5",
        "010-1234-5678;ext=5",
        "tel:+82-10-1234-5678;ext=5",
        "010-1234-5678,5",
        "010-1234-5678#5",
        "0082 10 1234 5678",
        "+8210",
        "+0 10 1234 5678",
        "+82+10 1234 5678",
        "+82 0010 1234 5678",
        "010+1234",
        "1234567890123456",
        "+1234567890123456",
        "０１０ー가",
    ] {
        let error = PhoneNumber::parse(text).expect_err(text);
        assert!(error.contains("is not a phone number"), "{error}");
    }
    assert!(PhoneNumber::parse("010-1234-5678 내선 5").is_err_and(|error| error.contains("extension")));
}

#[test]
fn a_number_has_a_country_and_a_form_in_korea() {
    for (text, country, korean) in [
        ("+82 10-1234-5678", Some(("82", "1012345678")), Some("01012345678")),
        ("+82 2 930 2266", Some(("82", "29302266")), Some("029302266")),
        ("+82 1588-0000", Some(("82", "15880000")), Some("15880000")),
        ("02-930-2266", None, Some("029302266")),
        ("+1 202 555 0123", Some(("1", "2025550123")), None),
        ("+86 138 0013 8000", Some(("86", "13800138000")), None),
        ("+852 2345 6789", Some(("852", "23456789")), None),
        ("+350 200 12345", Some(("350", "20012345")), None),
    ] {
        let number = PhoneNumber::parse(text).expect(text);
        assert_eq!((number.country(), number.in_korea().as_deref()), (country, korean), "{text}");
    }
}

#[test]
fn a_sender_is_a_number_a_name_or_a_service() {
    let service = format!("MG{}", "0123456789abcdefABCDEF".repeat(2).get(..32).expect("ASCII"));
    for (text, sender) in [
        ("MY SHOP", SmsSender::Name("MY SHOP".into())),
        (" B&B+Co_1-2 ", SmsSender::Name("B&B+Co_1-2".into())),
        ("a", SmsSender::Name("a".into())),
        ("MG1", SmsSender::Name("MG1".into())),
        (&service, SmsSender::Service(service.clone())),
        ("+1 202 555 0123", SmsSender::Number(PhoneNumber::International("12025550123".into()))),
        ("tel:114", SmsSender::Number(PhoneNumber::National("114".into()))),
    ] {
        assert_eq!(SmsSender::parse(text), Ok(sender), "{text}");
    }
    for text in ["", "1", "MY LONG SHOP", "상점", "shop!", "+&-", &service[..33], "a\u{a0}b"] {
        SmsSender::parse(text).expect_err(text);
    }
}

proptest! {
    /// The form of a number is read as the same number.
    #[test]
    fn a_number_is_its_own_form(text in "[+]?(82)?[0-9０-９()\\- \u{a0}]{0,20}") {
        if let Ok(number) = PhoneNumber::parse(&text) {
            prop_assert_eq!(PhoneNumber::parse(&number.to_string()), Ok(number.clone()));
            prop_assert!(number.country().is_none_or(|(code, rest)| !code.is_empty() && !rest.is_empty()));
        }
    }

    #[test]
    fn separators_do_not_matter(digits in "[1-9][0-9]{6,14}", gaps in "[\\-.() \u{a0}\u{200b}\u{2011}]{15}") {
        let mixed: String = digits.chars().zip(gaps.chars()).flat_map(|(digit, gap)| [digit, gap]).collect();
        prop_assert_eq!(PhoneNumber::parse(&mixed), Ok(PhoneNumber::National(digits)));
    }
}
