//! The reference of all settings, made of the comments of their structs.

use std::fmt::Write;

use schemars::schema_for;
use serde_json::{Map, Value};
use textwrap::{Options, WordSplitter};

use crate::File;

/// Lines of a new file are no longer than this.
const WIDTH: usize = 98;

/// A table of the file: its heading, what it is, and its keys.
struct Table {
    heading: String,
    text: String,
    keys: Vec<Key>,
}

struct Key {
    name: String,
    text: String,
    example: String,
    required: bool,
}

/// The reference as Markdown.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\n`host.toml` in the working directory, or the file that `--config` names. Made by \
         `host config reference`.\n",
    );
    for table in tables() {
        let heading =
            if table.heading.is_empty() { "At the top".to_owned() } else { format!("`{}`", table.heading) };
        let _ = write!(page, "\n## {heading}\n\n{}\n\n| key | for example | |\n|---|---|---|\n", table.text);
        for Key { name, text, example, required } in &table.keys {
            let required = if *required { " **Required.**" } else { "" };
            let _ = writeln!(page, "| `{name}` | `{example}` | {text}{required} |");
        }
    }
    page
}

/// A new file: every key with its comment, commented out; `plugins` in place of the example of one.
pub fn template(plugins: &str) -> String {
    let mut text = String::new();
    for table in tables() {
        let is_plugin = table.heading.contains("plugin");
        if table.heading == "[[plugin]]" && !plugins.is_empty() {
            let _ = write!(text, "\n{plugins}");
        }
        if !text.is_empty() {
            text.push('\n');
        }
        comment(&mut text, &table.text);
        // A plugin table without a path would be refused; an empty one of the others is as good as none.
        let off = if is_plugin { "# " } else { "" };
        if !table.heading.is_empty() {
            let _ = writeln!(text, "{off}{}", table.heading);
        }
        for Key { name, text: about, example, .. } in &table.keys {
            text.push('\n');
            comment(&mut text, about);
            let _ = writeln!(text, "# {name} = {example}");
        }
    }
    text
}

fn comment(out: &mut String, text: &str) {
    let options = Options::new(WIDTH).word_splitter(WordSplitter::NoHyphenation).break_words(false);
    for line in textwrap::wrap(text, options) {
        let _ = writeln!(out, "# {line}");
    }
}

fn tables() -> Vec<Table> {
    let schema = schema_for!(File).to_value();
    let mut tables = Vec::new();
    collect(&schema, &schema, String::new(), &mut tables);
    tables
}

/// One table and, after it, those inside it.
fn collect(root: &Value, schema: &Value, path: String, tables: &mut Vec<Table>) {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let (mut keys, mut inside) = (Vec::new(), Vec::new());
    for (name, property) in properties {
        let is_list = property["type"] == "array";
        let target = resolve(root, if is_list { &property["items"] } else { property });
        let text = words(property["description"].as_str().or(target["description"].as_str()));
        if target.get("properties").is_some() {
            let path = join(&path, name);
            inside.push((if is_list { format!("[[{path}]]") } else { format!("[{path}]") }, text, target));
        } else if let Some(target) = property.get("additionalProperties").map(|values| resolve(root, values))
            && target.get("properties").is_some()
        {
            // Tables by name.
            inside.push((format!("[{}.{}]", join(&path, name), property["examples"][0]), text, target));
        } else if let Some(example) = property["examples"][0].as_object() {
            let map = name;
            let (name, example) = example
                .iter()
                .next()
                .map_or(("", ""), |(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
            let name = format!("{map}.{name}");
            keys.push(Key { name, text, example: format!("{example:?}"), required: false });
        } else {
            let example = property["examples"][0].to_string();
            keys.push(Key { required: required(name), name: name.clone(), text, example });
        }
    }
    // What must be there comes first.
    keys.sort_by_key(|key| !key.required);
    tables.push(Table { heading: path, text: words(schema["description"].as_str()), keys });
    for (heading, text, target) in inside {
        let first = tables.len();
        collect(root, target, heading, tables);
        if let Some(table) = tables.get_mut(first).filter(|_| !text.is_empty()) {
            table.text = text;
        }
    }
}

/// `[[plugin]]` and `retry` make `plugin.retry`.
fn join(path: &str, name: &str) -> String {
    let path = path.trim_matches(['[', ']']);
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

/// On one line.
fn words(text: Option<&str>) -> String {
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_what_the_structs_say() {
        let page = include_str!("../../../docs/reference/configuration.md");
        assert!(page == markdown(), "make it anew: host config reference > docs/reference/configuration.md");
    }

    #[test]
    fn every_key_has_a_comment_and_an_example() {
        for table in tables() {
            assert!(!table.text.is_empty(), "{} has no comment", table.heading);
            for key in table.keys {
                assert!(!key.text.is_empty() && key.example != "null", "{} {}", table.heading, key.name);
            }
        }
    }

    #[test]
    fn a_new_file_can_be_read_also_with_every_comment_taken_away() {
        let text = template("");
        File::parse(&text).expect("a new file");
        // A comment may hold ` = ` too.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(is_name));
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if is_key(rest) || rest.starts_with('[') => rest,
                _ => line,
            })
            .collect();
        let file = File::parse(&uncommented.join("\n")).expect("every example is possible");
        assert_eq!(file.plugins.len(), 1);
        assert!(file.listen.is_some() && file.plugins[0].retry.max_age.is_some());
    }
}
