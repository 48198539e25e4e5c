//! `/dead-letters/{id}/edit`: edited copies.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use base::bytes::Bytes;
use desk::Edited;
use desk_api::json::{self, FieldChange};
use desk_api::{DeadLetter, Filter, ReplayPlan};
use serde::Deserialize;
use serde::de::IgnoredAny;
use similar::{ChangeTag, TextDiff};

use super::dead_letters::find;
use super::form::{Refusal, Submitted};
use super::format;
use super::page::{self, ErrorPage, PageContext};
use server::DeskState;

/// Maximum size of a value that can be edited, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// The form's action that saves the copy and sends it.
const SEND: &str = "send";

#[derive(Template)]
#[template(path = "console/edit.html")]
struct EditPage {
    ctx: PageContext,
    dead_letter: DeadLetter,
    /// None if the value is not text, or too large.
    value: Option<String>,
    reason: String,
    changes: Option<Changes>,
    refused: Option<Refusal>,
}

/// The differences between the original and the copy.
enum Changes {
    Fields(Vec<FieldChange>),
    /// Of values that are not JSON, or differ in something else than their fields.
    Lines(Vec<Change>),
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
    let value = editable(&dead_letter).map(|value| shown(&value));
    let page = EditPage { ctx, dead_letter, value, reason: String::new(), changes: None, refused: None };
    Ok(page::render(&page))
}

/// The fields of the form.
#[derive(Deserialize)]
pub struct EditForm {
    value: String,
    #[serde(default)]
    reason: String,
    /// `send`; anything else compares.
    #[serde(default)]
    action: String,
}

/// Shows the changes, or saves the copy and replays it.
pub async fn submit(
    state: DeskState,
    Path(id): Path<String>,
    Submitted { ctx, form }: Submitted<EditForm>,
) -> Result<Response, ErrorPage> {
    let dead_letter = find(&state.desk, &ctx, &id).await?;
    let before =
        editable(&dead_letter).ok_or_else(|| ctx.error(StatusCode::BAD_REQUEST, ctx.texts.not_text))?;
    let after = normalized(&before, &form.value);
    let refused = refusal(&before, &after, &form, &ctx);
    if form.action != SEND || refused.is_some() {
        let changes = (before != after).then(|| compare(&before, &after));
        // What was entered stays as it is: an error names its line.
        let (value, reason) = (Some(form.value), form.reason);
        let page = EditPage { ctx, dead_letter, value, reason, changes, refused };
        return Ok(page::render_form(&page, page.refused.as_ref()));
    }
    let edited = Edited {
        key: dead_letter.key.clone(),
        value: Some(Bytes(after.into_bytes())),
        headers: dead_letter.headers.clone(),
    };
    let copy = state.desk.edit(&dead_letter, edited, ctx.actor(&form.reason)?).await;
    let copy = copy.map_err(|error| ctx.store_unavailable(error))?;
    send(&state, &ctx, copy, &form.reason).await
}

/// Replays the copy. If that is not possible, it stays open, and its own page offers the replay.
async fn send(
    state: &DeskState,
    ctx: &PageContext,
    copy: DeadLetter,
    reason: &str,
) -> Result<Response, ErrorPage> {
    let one = Filter { ids: vec![copy.id.clone()], ..Filter::default() };
    let replay = state.desk.start_replay(&one, None, &ReplayPlan::default(), ctx.actor(reason)?).await;
    state.replayer.wake();
    let to = match replay.map_err(|error| ctx.store_unavailable(error))? {
        Some(replay) => format!("/replays/{}", replay.id),
        None => format!("/dead-letters/{}", copy.id),
    };
    Ok(Redirect::to(&to).into_response())
}

/// The reason why the form cannot be sent.
fn refusal(before: &str, after: &str, form: &EditForm, ctx: &PageContext) -> Option<Refusal> {
    if before == after {
        return Some(Refusal::input(ctx.texts.no_changes));
    }
    if let (Some(_), Err(error)) = (json::compact(before), serde_json::from_str::<IgnoredAny>(&form.value)) {
        return Some(Refusal::input(format!("{} {error}", ctx.texts.desk.not_json)));
    }
    let lacks_reason = form.action == SEND && form.reason.trim().is_empty();
    lacks_reason.then(|| Refusal::input(ctx.texts.reason_required))
}

/// The value as it is edited: JSON without white space is indented.
fn shown(value: &str) -> String {
    let is_compact = json::compact(value).is_some_and(|compact| compact == value);
    json::indent(value).filter(|_| is_compact).unwrap_or_else(|| value.to_owned())
}

/// The edited value in the form of the original. Browsers submit CRLF line endings, and JSON was indented for editing.
fn normalized(before: &str, after: &str) -> String {
    if shown(before) != before {
        return json::compact(after).unwrap_or_else(|| after.to_owned());
    }
    if before.contains("\r\n") { after.to_owned() } else { after.replace("\r\n", "\n") }
}

fn editable(dead_letter: &DeadLetter) -> Option<String> {
    let value = dead_letter.value.as_ref().filter(|value| value.0.len() <= MAX_VALUE_BYTES)?;
    String::from_utf8(value.0.clone()).ok().filter(|text| !text.contains('\0'))
}

fn compare(before: &str, after: &str) -> Changes {
    if let Some(fields) = json::field_changes(before, after) {
        return Changes::Fields(fields);
    }
    let (before, after) = (shown(before), shown(after));
    let diff = TextDiff::from_lines(&before, &after);
    let changes = diff.iter_all_changes().map(|change| {
        let (class, sign) = match change.tag() {
            ChangeTag::Delete => ("removed", '-'),
            ChangeTag::Insert => ("added", '+'),
            ChangeTag::Equal => ("same", ' '),
        };
        Change { class, sign, text: format::line(change.value().trim_end_matches(['\r', '\n'])) }
    });
    Changes::Lines(changes.collect())
}
