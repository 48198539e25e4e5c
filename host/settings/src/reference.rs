//! The reference of all settings, generated from the doc comments of their types.

use std::fmt::Write;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use textwrap::{Options, WordSplitter};

use crate::{Extension, File, LimitSettings, PluginSettings, allow};

/// The maximum line length of a new file.
const WIDTH: usize = 98;
const NO_BREAK_SPACE: &str = "\u{a0}";

/// A table of the file.
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
pub fn markdown(extensions: &[&Extension]) -> String {
    let mut page = String::from(
        "# Configuration\n\n`host.toml` in the working directory, or the file named by `--config`. This page is the \
         output of `host config reference`.\n",
    );
    for table in tables(extensions) {
        let heading =
            if table.heading.is_empty() { "Top level".to_owned() } else { format!("`{}`", table.heading) };
        let _ = write!(
            page,
            "\n## {heading}\n\n{}\n\n| key | example | description |\n|---|---|---|\n",
            table.text
        );
        for Key { name, text, example, required } in &table.keys {
            let required = if *required { " **Required.**" } else { "" };
            let _ = writeln!(page, "| `{name}` | `{example}` | {text}{required} |");
        }
    }
    page
}

/// A new file: every key with its description, commented out. `plugins` is written before the example of a plugin.
pub fn template(plugins: &str, extensions: &[&Extension]) -> String {
    let mut text = String::new();
    for table in tables(extensions) {
        let is_plugin = table.heading.contains("plugin");
        if table.heading == "[[plugin]]" && !plugins.is_empty() {
            let _ = write!(text, "\n{plugins}");
        }
        if !text.is_empty() {
            text.push('\n');
        }
        comment(&mut text, &table.text);
        // `[[plugin]]` without a path would be refused; other tables may be empty.
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
    for line in textwrap::wrap(&with_unbroken_code(text), options) {
        let _ = writeln!(out, "# {}", line.replace(NO_BREAK_SPACE, " "));
    }
}

/// Replaces spaces between backticks, so that lines are not broken there.
fn with_unbroken_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(index, part)| match index % 2 {
        0 => part.to_owned(),
        _ => part.replace(' ', NO_BREAK_SPACE),
    });
    parts.collect::<Vec<_>>().join("`")
}

fn tables(extensions: &[&Extension]) -> Vec<Table> {
    let mut generator = SchemaGenerator::default();
    let file = generator.subschema_for::<File>().to_value();
    let mut plugin = Map::from_iter([("allow".to_owned(), allow(extensions))]);
    let mut limits = Map::new();
    for extension in extensions {
        if let Some(section) = &extension.section {
            let mut schema = (section.schema)(&mut generator).to_value();
            schema["examples"] = json!([section.example]);
            plugin.insert(section.key.to_owned(), schema);
        }
        for limit in extension.limits {
            let text = format!("{} (`{}`).", limit.about, limit.code);
            let schema = json!({ "description": text, "examples": [size(limit.default)] });
            limits.insert(limit.key.to_owned(), schema);
        }
    }
    let mut root = json!({ "$defs": generator.take_definitions(true) });
    for (name, more) in [(PluginSettings::schema_name(), plugin), (LimitSettings::schema_name(), limits)] {
        if let Some(properties) = root["$defs"][&*name]["properties"].as_object_mut() {
            properties.extend(more);
        }
    }
    let mut tables = Vec::new();
    collect(&root, resolve(&root, &file), String::new(), &mut tables);
    tables
}

/// A size in its largest whole unit.
fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// The schema of `allow`.
fn allow(extensions: &[&Extension]) -> Value {
    let entries = || extensions.iter().flat_map(|extension| extension.allow);
    let own = allow::OWN.iter().map(|(example, about)| (*example, *about));
    let all: Vec<_> = entries().map(|entry| (entry.example, entry.about)).chain(own).collect();
    let about: Vec<_> = [allow::ABOUT].into_iter().chain(all.iter().map(|(_, about)| *about)).collect();
    let examples: Vec<_> = all.iter().map(|(example, _)| *example).collect();
    json!({ "type": "array", "description": about.join(" "), "examples": [examples] })
}

/// A table, followed by the tables in it.
fn collect(root: &Value, schema: &Value, path: String, tables: &mut Vec<Table>) {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let (mut keys, mut inside) = (Vec::new(), Vec::new());
    for (name, property) in properties {
        let is_list = property["type"] == "array";
        let target = resolve(root, if is_list { &property["items"] } else { property });
        let text = one_line(property["description"].as_str());
        if target.get("properties").is_some() {
            let path = join(&path, name);
            inside.push((if is_list { format!("[[{path}]]") } else { format!("[{path}]") }, target));
        } else if let Some(target) = target.get("additionalProperties").map(|values| resolve(root, values))
            && target.get("properties").is_some()
        {
            // A map of tables.
            inside.push((format!("[{}.{}]", join(&path, name), property["examples"][0]), target));
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
    // Required keys come first.
    keys.sort_by_key(|key| !key.required);
    tables.push(Table { heading: path, text: one_line(schema["description"].as_str()), keys });
    for (heading, target) in inside {
        collect(root, target, heading, tables);
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

fn one_line(text: Option<&str>) -> String {
    text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::PING;

    #[test]
    fn every_key_has_a_comment_and_an_example() {
        for table in tables(&[&PING]) {
            assert!(!table.text.is_empty(), "{} has no comment", table.heading);
            for key in table.keys {
                assert!(!key.text.is_empty() && key.example != "null", "{} {}", table.heading, key.name);
            }
        }
    }

    #[test]
    fn code_is_not_broken() {
        let mut out = String::new();
        comment(&mut out, &format!("{} `{{ file = \"PATH\" }}`.", "x".repeat(WIDTH - 10)));
        assert_eq!(out.lines().last(), Some("# `{ file = \"PATH\" }`."));
    }

    #[test]
    fn an_extension_is_in_the_reference() {
        let page = markdown(&[&PING]);
        for part in [
            "`ping`: sending a ping. `env:NAME`",
            "\n## `[plugin.ping]`\n\nHow it pings.\n",
            "| `to` | `\"a\"` | The target. **Required.** |",
            "| `ping` | `\"1 KiB\"` | A ping (`ping-too-large`). |",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn a_new_file_can_be_read_and_so_can_its_examples() {
        let text = template("", &[&PING]);
        File::parse(&text, &[&PING]).expect("a new file");
        // A comment may contain ` = ` too.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(is_name));
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if is_key(rest) || rest.starts_with('[') => rest,
                _ => line,
            })
            .collect();
        let file = File::parse(&uncommented.join("\n"), &[&PING]).expect("every example is possible");
        assert_eq!(file.plugins.len(), 1);
        assert!(file.listen.is_some() && file.plugins[0].retry.max_age.is_some());
    }
}
