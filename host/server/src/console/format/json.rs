//! Indents JSON without parsing numbers or reordering names.

use std::iter::{self, Peekable};
use std::str::Chars;

use serde::de::IgnoredAny;

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
    }
}
