//! `/dead-letters/{id}/edit`: edited copies.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use base::bytes::Bytes;
use desk::Edited;
use desk_api::DeadLetter;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};

use super::dead_letters::find;
use super::format;
use super::page::{self, ErrorPage, PageContext};
use super::session::Session;
use crate::DeskState;

/// Maximum size of a value that can be edited, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// The form's action that saves the copy.
const SAVE: &str = "save";

#[derive(Template)]
#[template(path = "console/edit.html")]
struct EditPage {
    ctx: PageContext,
    dead_letter: DeadLetter,
    /// None if the value is not text, or too large.
    value: Option<String>,
    reason: String,
    changes: Option<Vec<Change>>,
    error: &'static str,
}

/// A line of a comparison.
struct Change {
    class: &'static str,
    sign: char,
    text: String,
}

/// The form.
pub async fn form(state: DeskState, ctx: PageContext, Path(id): Path<String>) -> Result<Response, ErrorPage> {
    let dead_letter = find(&state.desk, &ctx, &id).await?;
    let value = editable(&dead_letter);
    let page = EditPage { ctx, dead_letter, value, reason: String::new(), changes: None, error: "" };
    Ok(page::render(&page))
}

/// The fields of the form.
#[derive(Deserialize)]
pub struct EditForm {
    csrf: String,
    value: String,
    #[serde(default)]
    reason: String,
    /// `save`; anything else compares.
    #[serde(default)]
    action: String,
}

/// Shows the changes, or saves the copy and continues to its replay.
pub async fn submit(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Form(form): Form<EditForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &form.csrf)?;
    let dead_letter = find(&state.desk, &ctx, &id).await?;
    let before =
        editable(&dead_letter).ok_or_else(|| ctx.error(StatusCode::BAD_REQUEST, ctx.texts.not_text))?;
    let after = normalized(&before, &form.value);
    let has_changes = before != after;
    let error = match (has_changes, form.action == SAVE && form.reason.trim().is_empty()) {
        (false, _) => ctx.texts.no_changes,
        (true, true) => ctx.texts.reason_required,
        (true, false) => "",
    };
    if form.action != SAVE || !error.is_empty() {
        let changes = has_changes.then(|| compare(&before, &after));
        let (value, reason) = (Some(after), form.reason);
        return Ok(page::render(&EditPage { ctx, dead_letter, value, reason, changes, error }));
    }
    let edited = Edited {
        key: dead_letter.key.clone(),
        value: Some(Bytes(after.into_bytes())),
        headers: dead_letter.headers.clone(),
    };
    let copy = state.desk.edit(&dead_letter, edited, ctx.actor(&form.reason)?).await;
    let copy = copy.map_err(|error| ctx.store_unavailable(error))?;
    Ok(Redirect::to(&format!("/replay?ids={}", copy.id)).into_response())
}

/// Browsers submit CRLF line endings; this restores LF.
fn normalized(before: &str, after: &str) -> String {
    if before.contains("\r\n") { after.to_owned() } else { after.replace("\r\n", "\n") }
}

fn editable(dead_letter: &DeadLetter) -> Option<String> {
    let value = dead_letter.value.as_ref().filter(|value| value.0.len() <= MAX_VALUE_BYTES)?;
    String::from_utf8(value.0.clone()).ok().filter(|text| !text.contains('\0'))
}

fn compare(before: &str, after: &str) -> Vec<Change> {
    let diff = TextDiff::from_lines(before, after);
    let changes = diff.iter_all_changes().map(|change| {
        let (class, sign) = match change.tag() {
            ChangeTag::Delete => ("removed", '-'),
            ChangeTag::Insert => ("added", '+'),
            ChangeTag::Equal => ("same", ' '),
        };
        Change { class, sign, text: format::line(change.value().trim_end_matches(['\r', '\n'])) }
    });
    changes.collect()
}
