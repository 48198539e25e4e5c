//! `host dlt edit`.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::bytes::Bytes;
use base::error::UserError;
use base::text;
use desk::{Filter, Letter};
use serde_json::json;
use similar::{ChangeTag, TextDiff};

use super::client::Client;
use super::replay::{self, How, Which};
use super::show::fetch;
use crate::ask;
use crate::output::{self, note};

/// Arguments of `host dlt edit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The letter's id, or what it alone begins with
    #[arg(value_name = "ID")]
    id: String,
    /// Take the new value from this file, instead of from an editor
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Send the edited letter back at once
    #[arg(long)]
    replay: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Makes an edited copy of a letter.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let letter = fetch(client, &args.id).await?;
    let before = letter.value.as_ref().map_or(&[][..], |value| &value.0);
    let after = match &args.value {
        Some(path) => fs::read(path).map_err(|error| unreadable(path, &error))?,
        None => tokio::task::block_in_place(|| edited(before))?,
    };
    if letter.value.is_some() && after == before {
        return Err(UserError::unavailable("nothing was changed, so there is no edited letter"));
    }
    note(difference(before, &after));
    if !args.yes {
        if !ask::is_possible() {
            return Err(UserError::usage(
                "editing asks first, and there is no terminal to ask on; nothing was done",
            )
            .help("do it without being asked: --yes"));
        }
        if !ask::confirmed("Keep this as a letter of its own, beside the original?")? {
            return Err(UserError::unavailable("nothing was done"));
        }
    }
    let body = json!({ "value": Bytes(after), "reason": args.reason });
    let copy: Letter = client.post(&format!("/letters/{}/edit", letter.id), &body).await?;
    output::print(&copy.id)?;
    if args.replay {
        let filter = Filter { ids: vec![copy.id], ..Filter::default() };
        let which = Which { filter, all: false, trial: None };
        return replay::send(client, &which, &How::plainly(args.reason)).await;
    }
    note(format!("send it back: host dlt replay {}", copy.id));
    Ok(())
}

/// The value as the person leaves it in an editor.
fn edited(value: &[u8]) -> Result<Vec<u8>, UserError> {
    let editor =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
    let Some(editor) = editor.filter(|_| ask::is_possible()) else {
        return Err(UserError::usage("no editor: EDITOR is not set, or there is no terminal")
            .help("set it: export EDITOR=vi")
            .help("or give the new value in a file: --value FILE"));
    };
    let failed =
        |error: &std::io::Error| UserError::unavailable(format!("cannot write a temporary file: {error}"));
    // Others must not read it.
    let mut file = tempfile::Builder::new()
        .prefix("letter-")
        .suffix(".json")
        .tempfile()
        .map_err(|error| failed(&error))?;
    file.write_all(value).and_then(|()| file.flush()).map_err(|error| failed(&error))?;
    // As git does: the variable may hold arguments.
    let status = Command::new("sh")
        .arg("-c")
        .arg("$HOST_EDITOR \"$1\"")
        .arg("sh")
        .arg(file.path())
        .env("HOST_EDITOR", &editor)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => {
            return Err(UserError::unavailable(format!("the editor ended with {status}; nothing was done")));
        }
        Err(error) => return Err(UserError::unavailable(format!("cannot start the editor: {error}"))),
    }
    // By its name: editors put another file in its place.
    let mut after = fs::read(file.path()).map_err(|error| unreadable(file.path(), &error))?;
    // Editors end the last line, which the value may not have.
    if !value.ends_with(b"\n") && after.ends_with(b"\n") {
        after.pop();
    }
    Ok(after)
}

/// Both values, line by line: what was taken out and what was put in.
fn difference(before: &[u8], after: &[u8]) -> String {
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
    fn the_difference_is_shown_and_drives_no_terminal() {
        let text = difference(b"{\n\"to\": \"a\"\n}", b"{\n\"to\": \"\x1b[2Jb\"\n}");
        assert_eq!(text, " {\n-\"to\": \"a\"\n+\"to\": \"\\u{1b}[2Jb\"\n }");
    }
}
