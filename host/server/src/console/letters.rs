//! `/letters`: what became dead letters, one of them whole, and edited copies.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base::bytes::Bytes;
use desk::actions::{Action, Edited};
use desk::filter::is_id;
use desk::letters::Summary;
use desk::{At, Desk, Filter, Letter, State};
use kafka::header_value::header_value;
use kafka::headers;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};

use super::form::{self, Asked};
use super::page::{self, Links, Open, Shell, Trouble};
use super::session::Session;
use super::shown::{self, Value};

const PAGE: usize = 50;
/// The largest value that is edited here, in bytes.
const EDITED: usize = 1 << 20;

#[derive(Template)]
#[template(path = "console/letters.html")]
struct List {
    shell: Shell,
    filter: Filter,
    /// The filter as it stands in an address.
    written: String,
    count: u64,
    letters: Vec<Summary>,
    links: Links,
}

impl List {
    fn is(&self, state: &str) -> bool {
        self.filter.state.map_or("", State::as_str) == state
    }
}

/// Some letters; the open ones unless something else is asked for.
pub async fn list(Open(office): Open, shell: Shell, asked: Asked) -> Result<Response, Trouble> {
    let mut filter = match asked.get("state") {
        Some("any") => Asked::read(&asked.without("state")).filter(&shell)?,
        _ => asked.filter(&shell)?,
    };
    if asked.is_empty() {
        filter.state = Some(State::Open);
    }
    let at = asked.at(&shell)?;
    let count = office.desk.count(&filter).await.map_err(|error| shell.away(error))?;
    let letters = office.desk.letters(&filter, &at, PAGE).await.map_err(|error| shell.away(error))?;
    let mut written = form::written(&filter);
    if filter.state.is_none() {
        written = format!("{written}{}state=any", if written.is_empty() { "" } else { "&" });
    }
    let links = Links::of("/letters", &written, &letters);
    let written = form::written(&filter);
    Ok(page::answer(&List { shell, filter, written, count, letters: letters.items, links }))
}

#[derive(Template)]
#[template(path = "console/letter.html")]
struct One {
    shell: Shell,
    letter: Letter,
    key: Option<Value>,
    value: Option<Value>,
    sender: Vec<(String, String)>,
    added: Vec<(String, String)>,
    actions: Vec<Action>,
}

/// One letter.
pub async fn show(Open(office): Open, shell: Shell, Path(id): Path<String>) -> Result<Response, Trouble> {
    let letter = find(&office.desk, &shell, &id).await?;
    let actions = office.desk.actions(Some(&letter.id), &At::First, PAGE).await;
    let mut actions = actions.map_err(|error| shell.away(error))?.items;
    actions.reverse();
    let all = |added: bool| {
        let some = letter.headers.iter().filter(|(name, _)| headers::is_added(&name.0) == added);
        let shown = some.map(|(name, value)| {
            let value = value.as_ref().map(|value| &value.0[..]);
            (shown::block(&name.0), shown::line(&header_value(&name.0, value)))
        });
        shown.collect::<Vec<_>>()
    };
    Ok(page::answer(&One {
        key: letter.key.as_ref().map(|key| Value::of(&key.0)),
        value: letter.value.as_ref().map(|value| Value::of(&value.0)),
        sender: all(false),
        added: all(true),
        actions,
        letter,
        shell,
    }))
}

/// A letter's value, to be kept as a file.
pub async fn value(Open(office): Open, shell: Shell, Path(id): Path<String>) -> Result<Response, Trouble> {
    let letter = find(&office.desk, &shell, &id).await?;
    let name = format!("attachment; filename=\"{}.bin\"", letter.id);
    let value = letter.value.ok_or_else(|| shell.nothing())?;
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, value.0).into_response())
}

#[derive(Template)]
#[template(path = "console/edit.html")]
struct Edit {
    shell: Shell,
    letter: Letter,
    /// None: it is not text, or too long.
    value: Option<String>,
    reason: String,
    difference: Option<Vec<Change>>,
    wrong: &'static str,
}

/// A line of a difference.
struct Change {
    class: &'static str,
    sign: char,
    text: String,
}

/// The form in which a letter's value is changed.
pub async fn form(Open(office): Open, shell: Shell, Path(id): Path<String>) -> Result<Response, Trouble> {
    let letter = find(&office.desk, &shell, &id).await?;
    let value = text_of(&letter);
    let page = Edit { shell, letter, value, reason: String::new(), difference: None, wrong: "" };
    Ok(page::answer(&page))
}

/// What the form holds.
#[derive(Deserialize)]
pub struct Changed {
    csrf: String,
    value: String,
    #[serde(default)]
    reason: String,
    /// `keep`, or the difference is shown first.
    #[serde(default)]
    then: String,
}

/// Shows the difference, or keeps the copy and goes on to its replay.
pub async fn edit(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Form(changed): Form<Changed>,
) -> Result<Response, Trouble> {
    shell.check(&session, &changed.csrf)?;
    let letter = find(&office.desk, &shell, &id).await?;
    let before =
        text_of(&letter).ok_or_else(|| shell.trouble(StatusCode::BAD_REQUEST, shell.words.not_text))?;
    let after = as_written(&before, &changed.value);
    let is_same = before == after;
    let no_reason = changed.then == "keep" && changed.reason.trim().is_empty();
    if changed.then != "keep" || is_same || no_reason {
        let wrong = match (is_same, no_reason) {
            (true, _) => shell.words.no_difference,
            (false, true) => shell.words.reason_needed,
            (false, false) => "",
        };
        let difference = (!is_same).then(|| difference(&before, &after));
        let page = Edit { value: Some(after), reason: changed.reason, difference, wrong, letter, shell };
        return Ok(page::answer(&page));
    }
    let edited = Edited {
        key: letter.key.clone(),
        value: Some(Bytes(after.into_bytes())),
        headers: letter.headers.clone(),
    };
    let by = shell.because(&changed.reason)?;
    let copy = office.desk.edit(&letter, edited, by).await.map_err(|error| shell.away(error))?;
    Ok(Redirect::to(&format!("/replay?ids={}", copy.id)).into_response())
}

/// Browsers end lines with a carriage return, whatever they were given.
fn as_written(before: &str, after: &str) -> String {
    if before.contains("\r\n") { after.to_owned() } else { after.replace("\r\n", "\n") }
}

fn text_of(letter: &Letter) -> Option<String> {
    let value = letter.value.as_ref().filter(|value| value.0.len() <= EDITED)?;
    String::from_utf8(value.0.clone()).ok().filter(|text| !text.contains('\0'))
}

fn difference(before: &str, after: &str) -> Vec<Change> {
    let diff = TextDiff::from_lines(before, after);
    let changes = diff.iter_all_changes().map(|change| {
        let (class, sign) = match change.tag() {
            ChangeTag::Delete => ("out", '-'),
            ChangeTag::Insert => ("in", '+'),
            ChangeTag::Equal => ("same", ' '),
        };
        Change { class, sign, text: shown::line(change.value().trim_end_matches(['\r', '\n'])) }
    });
    changes.collect()
}

async fn find(desk: &Desk, shell: &Shell, id: &str) -> Result<Letter, Trouble> {
    let letter = if is_id(id) { desk.letter(id).await } else { Ok(None) };
    letter.map_err(|error| shell.away(error))?.ok_or_else(|| shell.nothing())
}
