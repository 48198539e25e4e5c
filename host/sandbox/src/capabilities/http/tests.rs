//! What a status means, and which URLs are covered.

use http::{HeaderMap, StatusCode};

use super::*;

#[test]
fn the_status_decides_whether_it_is_done() {
    let answer = |status: u16| {
        let status = StatusCode::from_u16(status).expect("a status");
        Ok(Answer { status, headers: HeaderMap::new(), body: None })
    };
    assert!(matches!(settle(answer(201)), Performed::Done(_)));
    for status in [302, 404, 500] {
        assert!(matches!(settle(answer(status)), Performed::Failed(Refused::Status(_))));
    }
    for (error, unknown) in [
        (ClientError::Connect, false),
        (ClientError::Prohibited, false),
        (ClientError::Timeout, true),
        (ClientError::Broken, true),
    ] {
        assert_eq!(matches!(settle(Err(error)), Performed::Unknown(_)), unknown);
    }
}

fn covers(target: &str, uri: &str) -> bool {
    let target = Target::parse(target).expect(target);
    uri.parse().ok().and_then(|uri| requested(&uri)).is_some_and(|url| target.covers(&url))
}

#[test]
fn a_target_covers_its_own_and_what_is_below() {
    for (target, uri) in [
        ("https://api.example.com", "https://api.example.com/any/path?q=1"),
        ("https://API.example.com:443/a", "https://api.EXAMPLE.com/a"),
        ("https://h/a", "https://h/a/b"),
        ("https://h/a", "https://h/a?x"),
        ("https://h/a/", "https://h/a/b"),
        ("http://h:8080/", "http://h:8080/x//y"),
        ("http://[::1]:80/", "http://[0:0::1]/"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
    ] {
        assert!(covers(target, uri), "{target} {uri}");
    }
}

#[test]
fn a_target_covers_nothing_else() {
    for uri in [
        "http://h/a",
        "https://h:444/a",
        "https://h./a",
        "https://x.h/a",
        "https://h.x/a",
        "https://h/ab",
        "https://h/",
        "https://h/A",
        "https://u@h/a",
        "https://u:p@h/a",
        "https://h@evil/a",
        "https://h/a/../b",
        "https://h/a/%2e%2e/b",
        "https://h/a/..%2fb",
        "https://h/a/%252e%252e/b",
        "https://h/a//b",
        "https://h//a",
        "https://h/a/..;/b",
        "https://h/a%2fb",
        "https://h/a/%00",
        "https://h/a/%c0%ae",
        "https://h/a/%u002e",
        "https://h/a/b%5c..",
        "https://%68/a",
        "https://h:0/a",
        "ftp://h/a",
    ] {
        assert!(!covers("https://h/a", uri), "{uri}");
    }
    assert!(!covers("https://h/a/", "https://h/a"));
    assert!(!covers("http://127.0.0.1/", "http://[::ffff:127.0.0.1]/"));
}
