//! The name of a plugin, as the registries of all languages accept it.

use std::str::FromStr;

/// The maximum length. crates.io permits 64 characters, and file names 255 with all that is added to them.
const MAX_LENGTH: usize = 50;
/// Names that a compiler, an interpreter or the SDK has already: cargo, npm or Python refuse them, or import another.
const TAKEN: [&str; 91] = [
    "abstract",
    "alloc",
    "and",
    "arguments",
    "as",
    "assert",
    "async",
    "await",
    "become",
    "box",
    "break",
    "case",
    "class",
    "const",
    "continue",
    "core",
    "crate",
    "def",
    "default",
    "del",
    "delete",
    "do",
    "dyn",
    "elif",
    "else",
    "enum",
    "eval",
    "except",
    "export",
    "extern",
    "false",
    "final",
    "finally",
    "fn",
    "for",
    "from",
    "function",
    "global",
    "if",
    "impl",
    "import",
    "in",
    "interface",
    "is",
    "kafka-host-plugin",
    "lambda",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "new",
    "none",
    "nonlocal",
    "not",
    "null",
    "or",
    "override",
    "package",
    "pass",
    "priv",
    "proc-macro",
    "pub",
    "raise",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "switch",
    "test",
    "this",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "var",
    "virtual",
    "void",
    "where",
    "while",
    "wit-world",
    "with",
    "yield",
];

/// A valid name in kebab case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// In kebab case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In snake case.
    pub fn snake(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if text.len() > MAX_LENGTH {
            return Err(format!("it is longer than {MAX_LENGTH} characters"));
        }
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Err("it does not begin with a letter from a to z".to_owned());
        }
        if !text.split('-').all(is_word) {
            return Err(
                "it has other characters than a to z, 0 to 9, and single hyphens between them".to_owned()
            );
        }
        if TAKEN.contains(&text) {
            return Err("it means something else to a language or a tool".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_valid_for_every_registry() {
        let long = "a".repeat(51);
        for wrong in [
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "a.b",
            "..",
            "../a",
            "a/b",
            "/a",
            "1a",
            "a b",
            "é",
            "a\n",
            "a\0",
            "import",
            "std",
            "kafka-host-plugin",
            &long,
        ] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong:?}");
        }
        for fine in ["a", "order-mail", "a1-2b", &long[..50]] {
            assert_eq!(fine.parse::<Name>().expect(fine).as_str(), fine);
        }
        assert_eq!("order-mail".parse::<Name>().expect("a name").snake(), "order_mail");
        assert!(TAKEN.is_sorted());
    }
}
