//! Indents and compares JSON without parsing numbers or reordering names.

use std::iter::{self, Peekable};
use std::str::Chars;

use serde::de::IgnoredAny;
use serde_json::Value;

/// Maximum indentation, in levels.
const MAX_LEVELS: usize = 100;

/// Indents a JSON text; None if it is not JSON.
pub fn indent(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut output = Output { text: String::with_capacity(text.len() * 2), level: 0 };
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => output.string(&mut rest),
            '{' | '[' => output.open(c, &mut rest),
            '}' | ']' => {
                output.level = output.level.saturating_sub(1);
                output.line_break();
                output.text.push(c);
            }
            ',' => {
                output.text.push(c);
                output.line_break();
            }
            ':' => output.text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => output.text.push(c),
        }
    }
    Some(output.text)
}

/// Removes the white space between the parts of a JSON text; None if it is not JSON.
pub fn compact(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut output = Output { text: String::with_capacity(text.len()), level: 0 };
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => output.string(&mut rest),
            c if c.is_ascii_whitespace() => {}
            c => output.text.push(c),
        }
    }
    Some(output.text)
}

/// A field of a JSON text that was changed, added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Its place, such as `items[2].name`; empty for the whole text.
    pub path: String,
    /// The value before, as JSON; None if the field is new.
    pub before: Option<String>,
    /// The value after, as JSON; None if the field was removed.
    pub after: Option<String>,
}

/// The fields that differ between two JSON texts. None if one is not JSON, or if they differ in something that is no
/// field: the order of names, white space, or the digits of a very long number.
pub fn field_changes(before: &str, after: &str) -> Option<Vec<FieldChange>> {
    let (before, after) = (serde_json::from_str(before).ok()?, serde_json::from_str(after).ok()?);
    let mut changes = Vec::new();
    compare(String::new(), &before, &after, &mut changes);
    Some(changes).filter(|changes| !changes.is_empty())
}

fn compare(path: String, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    let change = |path, before: Option<&Value>, after: Option<&Value>| FieldChange {
        path,
        before: before.map(Value::to_string),
        after: after.map(Value::to_string),
    };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let name = |name: &String| match path.is_empty() {
                true => name.clone(),
                false => format!("{path}.{name}"),
            };
            for (key, value) in before {
                match after.get(key) {
                    Some(now) => compare(name(key), value, now, changes),
                    None => changes.push(change(name(key), Some(value), None)),
                }
            }
            let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
            changes.extend(new.map(|(key, value)| change(name(key), None, Some(value))));
        }
        (Value::Array(before), Value::Array(after)) => {
            for index in 0..before.len().max(after.len()) {
                let path = format!("{path}[{index}]");
                match (before.get(index), after.get(index)) {
                    (Some(before), Some(after)) => compare(path, before, after, changes),
                    (before, after) => changes.push(change(path, before, after)),
                }
            }
        }
        (before, after) if before != after => changes.push(change(path, Some(before), Some(after))),
        _ => {}
    }
}

struct Output {
    text: String,
    level: usize,
}

impl Output {
    fn line_break(&mut self) {
        self.text.push('\n');
        self.text.extend(iter::repeat_n("  ", self.level.min(MAX_LEVELS)));
    }

    /// Copies the rest of a string.
    fn string(&mut self, rest: &mut Peekable<Chars<'_>>) {
        self.text.push('"');
        let mut is_escaped = false;
        for c in rest.by_ref() {
            self.text.push(c);
            if c == '"' && !is_escaped {
                return;
            }
            is_escaped = !is_escaped && c == '\\';
        }
    }

    /// Begins an object or array; an empty one stays on its line.
    fn open(&mut self, bracket: char, rest: &mut Peekable<Chars<'_>>) {
        self.text.push(bracket);
        while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        match rest.next_if(|c| matches!(c, '}' | ']')) {
            Some(end) => self.text.push(end),
            None => {
                self.level += 1;
                self.line_break();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_order_are_kept() {
        let text = r#"{"b":1.50,"a":[ ],"c":{"d":"x, {\"y\": [1]}","e":[1,2]},"n":12345678901234567890123}"#;
        let indented = "{\n  \"b\": 1.50,\n  \"a\": [],\n  \"c\": {\n    \"d\": \"x, {\\\"y\\\": [1]}\",\n    \"e\": [\n      1,\n      2\n    ]\n  },\n  \"n\": 12345678901234567890123\n}";
        assert_eq!(indent(text).as_deref(), Some(indented));
        assert_eq!(indent("{\"a\":"), None);
        assert_eq!(compact(indented).as_deref(), Some(&text.replace("[ ]", "[]")[..]));
        assert_eq!(compact("{,}"), None);
    }

    #[test]
    fn changes_are_named_by_their_fields() {
        let changes = |before: &str, after: &str| {
            let changes = field_changes(before, after)?;
            let line = |it: FieldChange| {
                let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
                format!("{} {} {}", it.path, or_none(it.before), or_none(it.after))
            };
            Some(changes.into_iter().map(line).collect::<Vec<_>>())
        };
        let before = r#"{"to":"a@b","items":[{"n":1},{"n":2}],"old":true}"#;
        let after = r#"{"to":"c@d","items":[{"n":1},{"n":3},4],"new":null}"#;
        let expected = ["items[1].n 2 3", "items[2] - 4", "old true -", "to \"a@b\" \"c@d\"", "new - null"];
        assert_eq!(changes(before, after).expect("JSON"), expected);
        assert_eq!(changes("1", "\"1\"").expect("JSON"), [" 1 \"1\""]);
        assert_eq!(changes("{\"a\":1}", "{ \"a\": 1 }"), None, "no field differs");
        assert_eq!(changes("{", "{}"), None);
    }
}
