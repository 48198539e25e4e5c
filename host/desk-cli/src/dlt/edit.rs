//! `host dlt edit`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::bytes::Bytes;
use base::error::UserError;
use base::text;
use desk_api::{DeadLetter, EditRequest, Filter, ReplayRequest, json};
use serde::de::IgnoredAny;
use similar::{ChangeTag, TextDiff};

use super::client::Client;
use super::format::short;
use super::replay;
use super::show::fetch;
use crate::confirm;
use crate::output::{OutputArgs, escaped, note};

/// Arguments of `host dlt edit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the dead letter, or a unique prefix of it
    #[arg(value_name = "ID")]
    id: String,
    /// Read the new value from this file instead of opening an editor
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
    /// Reason for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Replay the copy at once
    #[arg(long)]
    replay: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Creates an edited copy of a dead letter.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let original = fetch(client, &args.id).await?;
    let before = original.value.as_ref().map_or(&[][..], |value| &value.0);
    let after = match &args.value {
        Some(path) => fs::read(path).map_err(|error| unreadable(path, &error))?,
        None => tokio::task::block_in_place(|| edited(before))?,
    };
    check_json(before, &after)?;
    if original.value.is_some() && after == before {
        return Err(UserError::unavailable("the value was not changed; no copy was created"));
    }
    note(comparison(before, &after));
    if !args.yes {
        let then = if args.replay { " and replay it" } else { "" };
        let question = format!("Create this copy{then}? It takes the place of the original.");
        confirm::require(&question, "nothing was created")?;
    }
    let value = Some(Some(Bytes(after)));
    let request = EditRequest { value, reason: args.reason.clone(), ..EditRequest::default() };
    let copy: DeadLetter = client.post(&format!("/dead-letters/{}/edit", original.id), &request).await?;
    args.output.print(&copy, || copy.id.clone())?;
    if args.replay {
        let filter = Filter { ids: vec![copy.id], ..Filter::default() };
        let request = ReplayRequest { filter, reason: args.reason, ..ReplayRequest::default() };
        return replay::send(client, &request, true, false, args.output.format()).await;
    }
    note(format!("to replay it: host dlt replay {}", short(&copy.id)));
    Ok(())
}

/// Refuses a value that is not JSON any more.
fn check_json(before: &[u8], after: &[u8]) -> Result<(), UserError> {
    let is_json = |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text);
    match (is_json(before), is_json(after)) {
        (Ok(_), Err(error)) => {
            Err(UserError::usage(format!("the new value is not JSON, but the original is: {error}"))
                .help("nothing was created; edit it again"))
        }
        _ => Ok(()),
    }
}

/// The value as it is edited: JSON without white space is indented. None if it is edited as it is.
fn indented(value: &[u8]) -> Option<String> {
    let text = str::from_utf8(value).ok()?;
    json::compact(text).filter(|compact| compact == text).and_then(|compact| json::indent(&compact))
}

/// Opens the value in the user's editor; returns the result.
fn edited(value: &[u8]) -> Result<Vec<u8>, UserError> {
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
    let Some(editor) = editor.filter(|_| confirm::is_interactive()) else {
        return Err(UserError::usage("no editor: EDITOR is not set, or there is no terminal")
            .help("set it: export EDITOR=vi")
            .help("or read the value from a file: --value FILE"));
    };
    let failed =
        |error: &std::io::Error| UserError::unavailable(format!("cannot write a temporary file: {error}"));
    // Readable by this user only.
    let mut file = tempfile::Builder::new()
        .prefix("dead-letter-")
        .suffix(".json")
        .tempfile()
        .map_err(|error| failed(&error))?;
    let shown = indented(value);
    file.write_all(shown.as_ref().map_or(value, |text| text.as_bytes()))
        .and_then(|()| file.flush())
        .map_err(|error| failed(&error))?;
    run_editor(&editor, file.path())?;
    // Read by name: editors replace the file.
    let mut after = fs::read(file.path()).map_err(|error| unreadable(file.path(), &error))?;
    // Editors append a line feed that the value may not have had.
    if !value.ends_with(b"\n") && after.ends_with(b"\n") {
        after.pop();
    }
    let compacted = shown.and_then(|_| json::compact(str::from_utf8(&after).ok()?));
    Ok(compacted.map_or(after, String::into_bytes))
}

/// Runs the editor in a shell, because the variable may contain arguments.
fn run_editor(editor: &OsStr, file: &Path) -> Result<(), UserError> {
    let status = Command::new("sh")
        .arg("-c")
        .arg("$HOST_EDITOR \"$1\"")
        .arg("sh")
        .arg(file)
        .env("HOST_EDITOR", editor)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(UserError::unavailable(format!("the editor failed ({status}); no copy was created")))
        }
        Err(error) => Err(UserError::unavailable(format!("cannot start the editor: {error}"))),
    }
}

/// Compares both values: the fields of JSON, the lines of anything else.
fn comparison(before: &[u8], after: &[u8]) -> String {
    let texts = str::from_utf8(before).ok().zip(str::from_utf8(after).ok());
    if let Some(fields) = texts.and_then(|(before, after)| json::field_changes(before, after)) {
        let line = |sign: char, path: &str, value: Option<String>| {
            value.map(|value| format!("{sign} {}: {}", escaped(path), escaped(&value)))
        };
        let lines = fields.into_iter().flat_map(|json::FieldChange { path, before, after }| {
            [line('-', &path, before), line('+', &path, after)].into_iter().flatten()
        });
        return lines.collect::<Vec<_>>().join("\n");
    }
    let (before, after) = (text::block(before), text::block(after));
    let diff = TextDiff::from_lines(&before, &after);
    let changes = diff.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign}{}", change.value().trim_end_matches('\n'))
    });
    changes.collect::<Vec<_>>().join("\n")
}

fn unreadable(path: &Path, error: &std::io::Error) -> UserError {
    UserError::usage(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let text = comparison(b"to\na", b"to\n\x1b[2Jb");
        assert_eq!(text, " to\n-a\n+\\u{1b}[2Jb");
    }

    #[test]
    fn json_is_compared_by_fields_and_stays_json() {
        let text = comparison(br#"{"to":"a","n":1}"#, "{\"to\":\"\u{9b}b\",\"n\":1,\"x\":2}".as_bytes());
        assert_eq!(text, "- to: \"a\"\n+ to: \"\\u{9b}b\"\n+ x: 2");
        assert!(check_json(b"{}", b"{").is_err_and(|error| error.to_string().contains("line 1")));
        assert!(check_json(b"no JSON", b"{").is_ok() && check_json(b"{}", b"[1]").is_ok());
        assert_eq!(indented(br#"{"a":1}"#).as_deref(), Some("{\n  \"a\": 1\n}"));
        assert_eq!(indented(b"{ \"a\": 1 }"), None, "it has its own form");
    }
}
