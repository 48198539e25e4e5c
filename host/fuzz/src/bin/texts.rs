//! Small texts and bytes from outside. The first byte selects the kind of the rest.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use axum::http::{HeaderMap, HeaderValue, header};
use base::kafka_args::servers;
use base::text;
use cli::produce::{Line, read_line, split};
use effects::ledger;
use effects::{Record, Recorded};
use fuzz::Input;
use kafka::header_value::{Header, header_json, header_text};
use lettre::Address;
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use producer::fuzzing::{check_body, of_request, prefers_json};
use sandbox::capabilities;
use sandbox::capabilities::http::client::Answer;
use sandbox::capabilities::http::requested;
use sandbox::capabilities::http::target::Target;
use sandbox::capabilities::mail::Pattern;
use sandbox::capabilities::mail::mailer::{Mailer, Receipt};
use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer};
use settings::{Allow, MailServer};
use store::StoreUrl;
use url::Url;

/// The password in URLs, which is in no dictionary.
const PASSWORD: &str = "hunter2-hunter2";

const KINDS: [fn(&[u8]); 11] =
    [target, allow, pattern, store, mail, brokers, recorded, group_member, record, lines, request];

fuzz_target!(|data: &[u8]| {
    if let Some((kind, rest)) = data.split_first() {
        KINDS[usize::from(*kind) % KINDS.len()](rest);
    }
});

/// An entry of `allow`, and a request that may be covered by it.
fn target(data: &[u8]) {
    let Some((target, uri)) = two_lines(data) else { return };
    let (Ok(target), Ok(uri)) = (Target::parse(target), uri.parse()) else { return };
    assert_eq!(Target::parse(&target.to_string()).as_ref(), Ok(&target));
    let Some(url) = requested(&uri) else { return };
    if !target.covers(&url) {
        return;
    }
    let allowed = Url::parse(&target.to_string()).expect("a URL");
    assert_eq!(
        (allowed.scheme(), allowed.host(), allowed.port_or_known_default()),
        (url.scheme(), url.host(), url.port_or_known_default())
    );
    assert!(url.username().is_empty() && url.password().is_none());
    // The path stays below the granted one, over repeated decoding and with any separator.
    if allowed.path() != "/" {
        let mut path = url.path().to_owned();
        for _ in 0..3 {
            assert!(!path.split(['/', '\\']).any(|part| part.split(';').next() == Some("..")), "{path}");
            path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
        }
    }
}

fn allow(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let read = |text: &str| Allow::parse(text, &capabilities::extensions());
    let Ok(allow) = read(text) else { return };
    let shown = allow.to_string();
    assert_eq!(read(&shown), Ok(allow), "{shown}");
}

/// A pattern, and an address that it may cover.
fn pattern(data: &[u8]) {
    let Some((pattern, address)) = two_lines(data) else { return };
    let Some(pattern) = read::<Pattern>(pattern.as_bytes()) else { return };
    let shown = pattern.to_string();
    let again = read::<Pattern>(shown.as_bytes());
    assert_eq!(again.as_ref(), Some(&pattern), "{shown}");
    if let Ok(address) = address.parse::<Address>() {
        assert_eq!(again.map(|again| again.covers(&address)), Some(pattern.covers(&address)));
    }
}

fn store(data: &[u8]) {
    let Ok(given) = str::from_utf8(data) else { return };
    match StoreUrl::parse(given) {
        Ok(url) => _ = url.to_string(),
        Err(failure) => assert!(failure.code() == 2 && !failure.to_string().is_empty()),
    }
    let hidden = format!("postgres://user:{PASSWORD}@{given}");
    let shown = StoreUrl::parse(&hidden).map_or_else(|failure| failure.to_string(), |url| url.to_string());
    assert!(!shown.contains(PASSWORD), "{shown}");
}

fn mail(data: &[u8]) {
    let Ok(given) = str::from_utf8(data) else { return };
    for url in
        [given.to_owned(), format!("smtp://user:{PASSWORD}@{given}"), format!("smtps://{PASSWORD}{given}")]
    {
        let shown = match Mailer::new(&url, &MailServer::default()) {
            Ok(mailer) => mailer.to_string(),
            Err(failure) => {
                assert_eq!(failure.code(), 2);
                failure.to_string()
            }
        };
        // Without a user the text is the host, which may be shown.
        assert!(url.starts_with("smtps:") || !shown.contains(PASSWORD), "{shown}");
    }
}

fn brokers(data: &[u8]) {
    let Ok(given) = str::from_utf8(data) else { return };
    match servers(given) {
        Ok(taken) => assert_eq!(taken, given),
        Err(what) => assert!(!what.is_empty()),
    }
}

/// Rows from the database of the ledger.
fn recorded(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(record) = ledger::decode(text) else { return };
    assert_eq!(ledger::decode(&ledger::encode(&record)), Some(record.clone()));
    recalled::<Receipt>(record.clone());
    recalled::<Answer>(record);
}

fn recalled<T: Recorded + PartialEq>(record: Record) {
    if let Some(answer) = T::recall(record) {
        assert!(T::recall(answer.record()).is_some_and(|again| again == answer));
    }
}

fn group_member(data: &[u8]) {
    if let Some(owned) = kafka::assignment::decode(data) {
        assert!(owned.len() * 4 <= data.len());
    }
}

/// A record in the output of `host consume`.
fn record(data: &[u8]) {
    let mut input = Input::new(data);
    let header = Header { name: input.chunk(), value: input.optional() };
    let value = input.rest();
    for line in [text::line(value), text::line(header.name), header_text(&header)] {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    assert!(!text::block(value).contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
    let _ = header_json(&header).to_string();
}

/// Input of `host produce`.
fn lines(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = usize::from(input.byte());
    let separator = input.text();
    let separator = Some(&*separator).filter(|text| !text.is_empty());
    let stdin = input.rest();
    let (mut left, mut line, mut seen) = (stdin, Vec::new(), Vec::new());
    loop {
        match read_line(&mut left, &mut line, limit).expect("bytes can be read") {
            Line::End => break,
            Line::TooLong => seen.clear(),
            Line::Whole => {
                assert!(line.len() <= limit && !line.contains(&b'\n'));
                if let Some((key, value)) = split(&line, separator) {
                    let separator = separator.filter(|_| key.is_some()).unwrap_or_default();
                    assert_eq!([key.unwrap_or_default(), separator.as_bytes(), value].concat(), line);
                }
                seen.extend_from_slice(&line);
                seen.push(b'\n');
            }
        }
    }
    if !stdin.is_empty() && limit >= stdin.len() {
        assert_eq!(seen.strip_suffix(b"\n"), Some(stdin.strip_suffix(b"\n").unwrap_or(stdin)));
    }
}

/// The headers of a request to the producer.
fn request(data: &[u8]) {
    let mut input = Input::new(data);
    let mut headers = HeaderMap::new();
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::ACCEPT] {
        let value = input.optional().and_then(|value| HeaderValue::from_bytes(value).ok());
        headers.extend(value.map(|value| (name, value)));
    }
    while !input.is_empty() {
        let value = HeaderValue::from_bytes(input.chunk()).ok();
        if let Some(value) = value {
            headers.append("idempotency-key", value);
        }
    }
    let _ = check_body(&headers);
    prefers_json(&headers);
    if let Ok(id) = of_request(&headers) {
        assert!((1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

fn two_lines(data: &[u8]) -> Option<(&str, &str)> {
    str::from_utf8(data).ok()?.split_once('\n')
}

fn read<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Option<T> {
    let text: StrDeserializer<'_, Error> = str::from_utf8(data).ok()?.into_deserializer();
    T::deserialize(text).ok()
}
