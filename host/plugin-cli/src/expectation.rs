//! The comparison of a result with what is expected of it.

use desk_cli::output::escaped;
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use crate::case::Expected;
use crate::report::Report;

/// The key of an object that stands for a text which contains another.
const CONTAINS: &str = "$contains";
/// What names the outcome further.
const OF_OUTCOME: [&str; 4] = ["receipt", "reason", "code", "detail"];
/// The maximum number of lines of a difference that are shown.
const MAX_LINES: usize = 200;

/// The parts of a result that are the same at every call.
pub fn lasting(report: &Report) -> Map<String, Value> {
    let Ok(Value::Object(mut result)) = serde_json::to_value(report) else { return Map::new() };
    for measured in ["time_ms", "memory_bytes"] {
        result.remove(measured);
    }
    // The id of an e-mail is made at random.
    let effects = result.get_mut("effects").and_then(Value::as_array_mut).into_iter().flatten();
    effects.filter(|effect| effect["kind"] == "mail").filter_map(Value::as_object_mut).for_each(|mail| {
        mail.remove("id");
    });
    result
}

impl Expected {
    /// The parts of the result that are named by the expectation. They equal it if the result is as expected.
    pub fn seen(&self, result: &Map<String, Value>) -> Map<String, Value> {
        seen_in(&self.0, result)
    }

    /// The expectation that this result meets: of the old one what still holds, and the keys that it has.
    pub fn updated(old: Option<&Self>, result: &Map<String, Value>) -> Self {
        let named = |key: &&str| result.get(*key).is_some_and(|value| value != "");
        let mut new = match old {
            Some(old) => old.seen(result),
            None => seen_in(&Map::from_iter([("effects".to_owned(), Value::Null)]), result),
        };
        let is_same = old.is_some_and(|old| old.0.get("outcome") == result.get("outcome"));
        let further = OF_OUTCOME.iter().filter(|_| !is_same);
        for key in ["outcome"].iter().chain(further).filter(|key| named(key)) {
            new.insert((*key).to_owned(), result.get(*key).cloned().unwrap_or_default());
        }
        Self(new)
    }
}

fn seen_in(expected: &Map<String, Value>, result: &Map<String, Value>) -> Map<String, Value> {
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), seen(value, result.get(key)?)));
    expected.iter().filter_map(pair).collect()
}

fn seen(expected: &Value, result: &Value) -> Value {
    match (expected, result) {
        (Value::Object(one), Value::String(text)) if contains(one, text) => expected.clone(),
        (Value::Object(expected), Value::Object(result)) => Value::Object(seen_in(expected, result)),
        (Value::Array(expected), Value::Array(result)) => {
            let pairs = expected.iter().zip(result).map(|(expected, result)| seen(expected, result));
            Value::Array(pairs.chain(result.iter().skip(expected.len()).cloned()).collect())
        }
        _ => result.clone(),
    }
}

fn contains(operator: &Map<String, Value>, text: &str) -> bool {
    let part = operator.get(CONTAINS).and_then(Value::as_str).filter(|_| operator.len() == 1);
    part.is_some_and(|part| text.contains(part))
}

/// The lines that differ, with those around them: `-` what was expected, or seen before, `+` what was seen.
pub fn difference(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let [old, new] = [old, new].map(|map| serde_json::to_string_pretty(map).unwrap_or_default());
    let diff = TextDiff::from_lines(&old, &new);
    let changes = diff.grouped_ops(2);
    let changes = changes.iter().flatten().flat_map(|part| diff.iter_changes(part));
    let mut lines: Vec<_> = changes
        .map(|change| {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            format!("{sign} {}", escaped(change.value().trim_end_matches('\n')))
        })
        .collect();
    if let Some(more) = lines.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        lines.truncate(MAX_LINES);
        lines.push(format!("  {more} more lines: -o json shows them all"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(json: Value) -> Map<String, Value> {
        let Value::Object(map) = json else { panic!("no object") };
        map
    }

    fn result() -> Map<String, Value> {
        map(json!({"outcome": "reject", "code": "no-name", "detail": "no name in m1", "effects": [
            {"kind": "http", "method": "POST", "url": "https://h/x"}, {"kind": "mail", "to": ["a@b.c"]}]}))
    }

    fn is_met(expected: Value) -> bool {
        let expected = Expected(map(expected));
        expected.seen(&result()) == expected.0
    }

    #[test]
    fn what_is_not_named_may_be_anything() {
        assert!(is_met(json!({"outcome": "reject"})));
        assert!(is_met(json!({"outcome": "reject", "detail": {"$contains": "no name"}})));
        assert!(is_met(json!({"effects": [{"method": "POST"}, {"to": ["a@b.c"]}]})));
        for wrong in [
            json!({"outcome": "done"}),
            json!({"detail": {"$contains": "no names"}}),
            json!({"detail": {"$contains": "no name", "other": 1}}),
            json!({"receipt": "x"}),
            json!({"effects": []}),
            json!({"effects": [{"method": "POST"}]}),
            json!({"effects": [{"to": ["a@b.c"]}, {"method": "POST"}]}),
            json!({"effects": [{"method": "POST"}, {"to": ["a@b.c", "d@e.f"]}]}),
            json!({"effects": [{"method": "POST"}, {"to": ["a@b.c"]}, {}]}),
        ] {
            assert!(!is_met(wrong.clone()), "{wrong}");
        }
    }

    #[test]
    fn an_update_keeps_what_holds_and_is_met() {
        let old =
            Expected(map(json!({"outcome": "done", "receipt": "r", "detail": {"$contains": "no name"},
            "effects": [{"method": "GET"}, {"kind": "mail"}]})));
        let new = Expected::updated(Some(&old), &result());
        // The code is new, and the detail names the outcome, too.
        let expected = json!({"outcome": "reject", "code": "no-name", "detail": "no name in m1",
            "effects": [{"method": "POST"}, {"kind": "mail"}]});
        assert_eq!(Value::Object(new.0.clone()), expected);
        assert_eq!(new.seen(&result()), new.0);
        assert_eq!(Expected::updated(Some(&new), &result()), new);
        let first = Expected::updated(None, &result());
        assert_eq!(first.0, result());
        assert_eq!(first.seen(&result()), first.0);
    }

    #[test]
    fn a_difference_names_both_sides() {
        let (old, new) = (map(json!({"a": 1, "b": 2})), map(json!({"a": 1, "b": "\u{1b}[2J"})));
        let lines = difference(&old, &new);
        assert_eq!(lines[2..4], ["-   \"b\": 2", "+   \"b\": \"\\u001b[2J\""]);
        assert_eq!(difference(&old, &old), Vec::<String>::new());
        let long: Map<_, _> = (0..1000).map(|number| (number.to_string(), Value::Null)).collect();
        assert!(difference(&Map::new(), &long).last().is_some_and(|line| line.contains("more lines")));
    }
}
