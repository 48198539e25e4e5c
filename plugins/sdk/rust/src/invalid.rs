//! The detail for a value that is not what the handler takes.

use std::fmt::Write;

/// The maximum length of an error of serde, in bytes: it may repeat a whole text of the value.
const MAX_ERROR: usize = 300;

/// `customer.items[2].price: invalid type: string "x", expected u64 at line 1 column 40`.
pub(crate) fn detail(json: &[u8], error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if text.len() > MAX_ERROR {
        let place = text.rfind(" at line ").map_or_else(String::new, |at| text[at..].to_owned());
        text.truncate(text.floor_char_boundary(MAX_ERROR));
        write!(text, "…{place}").expect("a text takes everything");
    }
    let path = path(before(json, error.line(), error.column()));
    if path.is_empty() || error.is_syntax() || error.is_eof() { text } else { format!("{path}: {text}") }
}

/// What serde has read before the error.
fn before(json: &[u8], line: usize, column: usize) -> &[u8] {
    let lines = json.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(lines).nth(line.saturating_sub(1)).unwrap_or(json.len());
    &json[..(start + column).min(json.len())]
}

/// A part of the path to a value.
enum Part<'a> {
    /// The key in an object; `None` before its colon.
    Key(Option<&'a [u8]>),
    /// The index in a list.
    Index(usize),
}

/// The path of the value that the beginning of a JSON text ends with. serde has found it valid JSON.
fn path(json: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut last_text: &[u8] = &[];
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'"' => {
                let length = text_length(&json[at + 1..]);
                last_text = &json[at + 1..at + 1 + length];
                at += length + 1;
            }
            b'{' => parts.push(Part::Key(None)),
            b'[' => parts.push(Part::Index(0)),
            b'}' | b']' => _ = parts.pop(),
            b':' => {
                if let Some(Part::Key(key)) = parts.last_mut() {
                    *key = Some(last_text);
                }
            }
            b',' => match parts.last_mut() {
                Some(Part::Index(index)) => *index += 1,
                Some(Part::Key(key)) => *key = None,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for part in parts {
        match part {
            Part::Key(None) => {}
            Part::Key(Some(key)) => {
                path += if path.is_empty() { "" } else { "." };
                path += &String::from_utf8_lossy(key);
            }
            Part::Index(index) => write!(path, "[{index}]").expect("a text takes everything"),
        }
    }
    path.truncate(path.floor_char_boundary(MAX_ERROR));
    path
}

/// The length up to the closing quote.
fn text_length(json: &[u8]) -> usize {
    let mut at = 0;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at.min(json.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    #[expect(dead_code, reason = "only decoded")]
    struct Order {
        id: u64,
        customer: Customer,
        #[serde(default)]
        items: Vec<Item>,
        #[serde(default)]
        notes: BTreeMap<String, bool>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoded")]
    struct Customer {
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoded")]
    struct Item(u8, Option<u8>);

    #[track_caller]
    fn refused(json: &str) -> String {
        let error = serde_json::from_str::<Order>(json).expect_err("not an order");
        detail(json.as_bytes(), &error)
    }

    #[test]
    fn the_detail_names_the_field() {
        for (json, expected) in [
            (r#"{"id":"x"}"#, r#"id: invalid type: string "x", expected u64 at line 1 column 9"#),
            (r#"{"id":-1}"#, "id: invalid value: integer `-1`, expected u64 at line 1 column 8"),
            (r#"{"id":1}"#, "missing field `customer` at line 1 column 8"),
            (r#"{"id":1,"customer":{}}"#, "customer: missing field `name` at line 1 column 21"),
            (
                "{\"id\":1,\n \"customer\":{\"name\": null}}",
                "customer.name: invalid type: null, expected a string at line 2 column 25",
            ),
            (
                r#"{"id":1,"customer":{"name":"a\"}{","x":2}}"#,
                "customer: unknown field `x`, expected `name` at line 1 column 38",
            ),
            (
                r#"{"id":1,"customer":{"name":"\\"},"items":[[1,2],[3,{}]]}"#,
                "items[1][1]: invalid type: map, expected u8 at line 1 column 51",
            ),
            (
                r#"{"id":1,"customer":{"name":""},"items":[[1]]}"#,
                "items[0]: invalid length 1, expected tuple struct Item with 2 elements at line 1 column 43",
            ),
            (
                r#"{"id":1,"customer":{"name":""},"notes":{"a,[":true,"b":1}}"#,
                "notes.b: invalid type: integer `1`, expected a boolean at line 1 column 56",
            ),
            ("[]", "invalid length 0, expected struct Order with 4 elements at line 1 column 2"),
            ("hello", "expected value at line 1 column 1"),
            ("", "EOF while parsing a value at line 1 column 0"),
            (r#"{"id":1"#, "EOF while parsing an object at line 1 column 7"),
        ] {
            assert_eq!(refused(json), expected);
        }
    }

    #[test]
    fn long_texts_are_shortened() {
        let text = refused(&format!(r#"{{"id":"{}"}}"#, "한".repeat(100_000)));
        assert!(text.starts_with("id: invalid type: string \"한한"), "{text}");
        assert!(text.ends_with("… at line 1 column 300008"), "{text}");
        let key = "k".repeat(100_000);
        let text = refused(&format!(r#"{{"id":1,"customer":{{"name":""}},"notes":{{"{key}":1}}}}"#));
        assert!(text.len() < 3 * MAX_ERROR, "{}", text.len());
    }

    #[test]
    fn any_bytes_have_a_path() {
        for json in [&b"\"\\"[..], b"}]:,", b"{\"a\":[", b"{\xff\"\xff\":", b"\"", b"[,,,]]"] {
            let _ = path(json);
        }
    }
}
