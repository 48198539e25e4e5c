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
use desk_api::{DeadLetter, EditRequest, Filter, ReplayRequest};
use similar::{ChangeTag, TextDiff};

use super::client::Client;
use super::replay;
use super::show::fetch;
use crate::confirm;
use crate::output::{self, Format, note};

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
    /// Replay the copy
    #[arg(long)]
    replay: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Creates an edited copy of a dead letter.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let original = fetch(client, &args.id).await?;
    let before = original.value.as_ref().map_or(&[][..], |value| &value.0);
    let after = match &args.value {
        Some(path) => fs::read(path).map_err(|error| unreadable(path, &error))?,
        None => tokio::task::block_in_place(|| edited(before))?,
    };
    if original.value.is_some() && after == before {
        return Err(UserError::unavailable("the value was not changed; no copy was created"));
    }
    note(comparison(before, &after));
    if !args.yes {
        confirm::require("Create this copy? The original does not change.", "nothing was created")?;
    }
    let value = Some(Some(Bytes(after)));
    let request = EditRequest { value, reason: args.reason.clone(), ..EditRequest::default() };
    let copy: DeadLetter = client.post(&format!("/dead-letters/{}/edit", original.id), &request).await?;
    output::print(&copy.id)?;
    if args.replay {
        let filter = Filter { ids: vec![copy.id], ..Filter::default() };
        let request = ReplayRequest { filter, reason: args.reason, ..ReplayRequest::default() };
        return replay::send(client, &request, true, false, Format::Table).await;
    }
    note(format!("to replay it: host dlt replay {}", copy.id));
    Ok(())
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
    file.write_all(value).and_then(|()| file.flush()).map_err(|error| failed(&error))?;
    run_editor(&editor, file.path())?;
    // Read by name: editors replace the file.
    let mut after = fs::read(file.path()).map_err(|error| unreadable(file.path(), &error))?;
    // Editors append a line feed that the value may not have had.
    if !value.ends_with(b"\n") && after.ends_with(b"\n") {
        after.pop();
    }
    Ok(after)
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

/// Compares both values line by line.
fn comparison(before: &[u8], after: &[u8]) -> String {
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
        let text = comparison(b"{\n\"to\": \"a\"\n}", b"{\n\"to\": \"\x1b[2Jb\"\n}");
        assert_eq!(text, " {\n-\"to\": \"a\"\n+\"to\": \"\\u{1b}[2Jb\"\n }");
    }
}
