//! A case: a message, and what is expected of the plugin.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base::error::UserError;
use sandbox::capabilities::http::Canned;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The maximum size of a file, in bytes. A message of Kafka has 1 MiB by default.
const MAX_SIZE: u64 = 16 << 20;
/// Where the format is described.
const FORMAT: &str = "the format of a case: host plugin test --schema, docs/guides/testing-a-plugin.md";
/// The format, as a JSON Schema.
pub const SCHEMA: &str = include_str!("case.schema.json");

/// A case that was read from a file.
#[derive(Debug)]
pub struct Case {
    /// The file.
    pub path: PathBuf,
    /// The text of the file.
    pub text: String,
    /// Its content.
    pub content: Content,
}

/// The content of a case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Content {
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    #[serde(rename = "description", default)]
    _description: Option<String>,
    /// The message, as for `host plugin invoke`.
    pub message: Value,
    /// Values of the plugin's configuration, beside those of `host.toml`.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// The keys of its `[[plugin]]`, in place of those in `host.toml`.
    #[serde(default)]
    pub plugin: Option<Map<String, Value>>,
    /// The responses to its HTTP requests, in order.
    #[serde(default)]
    pub http_responses: Vec<Canned>,
    /// What is expected. None: nothing is known yet.
    #[serde(default)]
    pub expect: Option<Expected>,
}

/// What is expected of the result, as `host plugin invoke -o json` shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Expected(pub Map<String, Value>);

/// The keys that an expectation may have. Times and sizes differ from call to call.
const KEYS: [&str; 9] =
    ["outcome", "receipt", "reason", "code", "detail", "exception", "next", "effects", "log"];
/// The outcomes; `failure` is a call without one.
const OUTCOMES: [&str; 5] = ["done", "skipped", "retry", "reject", "failure"];

impl TryFrom<Map<String, Value>> for Expected {
    type Error = String;

    fn try_from(map: Map<String, Value>) -> Result<Self, String> {
        // In serde's words, from which the nearest name is found.
        let unknown = |kind: &str, name: &str, known: &[&str]| {
            format!("unknown {kind} `{name}`, expected one of `{}`", known.join("`, `"))
        };
        if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(unknown("field", key, &KEYS));
        }
        match map.get("outcome") {
            Some(Value::String(outcome)) if OUTCOMES.contains(&outcome.as_str()) => Ok(Self(map)),
            Some(Value::String(outcome)) => Err(unknown("variant", outcome, &OUTCOMES)),
            _ => Err(format!("expect has no outcome: one of {}", OUTCOMES.join(", "))),
        }
    }
}

/// The text of the expectation within that of the case.
#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow, default)]
    expect: Option<&'a RawValue>,
}

impl Case {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is too large, or is not a case.
    pub fn read(path: &Path) -> Result<Self, UserError> {
        let place = path.display().to_string();
        let text = read(path).map_err(|problem| UserError::usage(problem).within(&place))?;
        let content = serde_json::from_str(&text).map_err(|error| {
            let problem = error.to_string();
            let error = UserError::usage(format!("not a case: {problem}")).within(&place);
            match settings::nearest(&problem) {
                Some(name) => error.help(format!("did you mean {name}?")),
                None => error.help(FORMAT),
            }
        })?;
        Ok(Self { path: path.to_owned(), text, content })
    }

    /// The text of the file with another expectation; the rest stays as it is written.
    pub fn with_expectation(&self, expected: &Expected) -> String {
        let json = serde_json::to_string_pretty(&expected.0).unwrap_or_default().replace('\n', "\n  ");
        let found = serde_json::from_str::<Place<'_>>(&self.text).ok().and_then(|place| place.expect);
        if let Some(old) = found.map(RawValue::get) {
            let start = old.as_ptr().addr() - self.text.as_ptr().addr();
            return format!("{}{json}{}", &self.text[..start], &self.text[start + old.len()..]);
        }
        // A case is an object with at least its message.
        let end = self.text.rfind('}').unwrap_or(self.text.len());
        format!("{},\n  \"expect\": {json}\n}}\n", self.text[..end].trim_end())
    }
}

fn read(path: &Path) -> Result<String, String> {
    // Looked at before it is opened: opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("larger than {} MiB, the maximum of a case", MAX_SIZE >> 20));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn case(text: &str) -> Result<Case, UserError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        Case::read(file.path())
    }

    fn expected(json: Value) -> Expected {
        serde_json::from_value(json).expect("an expectation")
    }

    #[test]
    fn an_expectation_is_replaced_where_it_stands() {
        let text = "{\n  \"expect\": {\"outcome\": \"done\"},\n\n  \"message\": {\"value\": {\"z\":1, \"a\":2}}\n}\n";
        let replaced = case(text).expect("a case").with_expectation(&expected(json!({"outcome": "skipped"})));
        assert_eq!(replaced, text.replace("{\"outcome\": \"done\"}", "{\n    \"outcome\": \"skipped\"\n  }"));
        let added = case("{\"message\": {}}").expect("a case");
        let added = added.with_expectation(&expected(json!({"outcome": "done"})));
        assert_eq!(added, "{\"message\": {},\n  \"expect\": {\n    \"outcome\": \"done\"\n  }\n}\n");
        assert!(case(&added).is_ok());
    }

    #[test]
    fn what_is_no_case_is_refused_with_its_reason() {
        let deep = format!("{{\"message\": {}{}}}", "[".repeat(200), "]".repeat(200));
        for (text, reason) in [
            ("", "EOF"),
            ("[]", "expected struct Content"),
            ("{}", "missing field `message`"),
            (r#"{"mesage": {}}"#, "help: did you mean message?"),
            (r#"{"message": {}, "expect": {}}"#, "expect has no outcome"),
            (r#"{"message": {}, "expect": {"outcome": "rejected"}}"#, "help: did you mean reject?"),
            (r#"{"message": {}, "expect": {"outcome": "done", "efects": []}}"#, "did you mean effects?"),
            (r#"{"message": {}, "http-responses": ["20"]}"#, "a status from 200 to 599"),
            (&deep, "recursion limit"),
        ] {
            let error = case(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn files_that_are_no_text_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("case.json");
        let error = |path: &Path| Case::read(path).expect_err("no case").to_string();
        std::fs::write(&path, b"{\"message\": \"\xff\"}").expect("written");
        assert!(error(&path).contains("case.json: not UTF-8 at byte 13"), "{}", error(&path));
        File::create(&path).and_then(|file| file.set_len(1 << 30)).expect("a large file");
        assert!(error(&path).contains("larger than 16 MiB"), "{}", error(&path));
        assert!(error(directory.path()).contains("not a file"));
        assert!(error(Path::new("/dev/zero")).contains("not a file"));
        assert!(error(&directory.path().join("none")).contains("No such file"));
    }

    #[test]
    fn the_schema_has_the_keys_of_the_format() {
        let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
        let keys = |place: &Value| {
            place["properties"].as_object().expect("keys").keys().cloned().collect::<Vec<_>>()
        };
        let mut known = KEYS.map(str::to_owned);
        known.sort();
        assert_eq!(keys(&schema["properties"]["expect"]), known);
        assert_eq!(schema["properties"]["expect"]["properties"]["outcome"]["enum"], json!(OUTCOMES));
        for key in keys(&schema) {
            let value = match key.as_str() {
                "$schema" | "description" => json!(""),
                "http-responses" => json!([]),
                "expect" => json!({"outcome": "done"}),
                _ => json!({}),
            };
            let text = json!({ "message": {}, key.as_str(): value }).to_string();
            assert!(case(&text).is_ok(), "{key}");
        }
    }
}
