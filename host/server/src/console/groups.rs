//! `/groups`: failures of one cause, and one of them.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path};
use axum::response::{IntoResponse, Redirect, Response};
use desk::filter::is_id;
use desk::groups::{Group, GroupState};
use desk::letters::Summary;
use desk::{Desk, Filter, State};
use serde::Deserialize;

use super::form;
use super::page::{self, Links, Open, Shell, Trouble};
use super::session::Session;

const PAGE: usize = 50;
/// The letters that are shown beside their group.
const LETTERS: usize = 20;
/// The longest note, in characters.
const LONGEST_NOTE: usize = 4000;
const HOUR_MS: i64 = 3_600_000;
const HOURS: i64 = 24;

#[derive(Template)]
#[template(path = "console/groups.html")]
struct List {
    shell: Shell,
    only_open: bool,
    groups: Vec<Group>,
    links: Links,
}

/// All of them, or those with open letters.
pub async fn list(Open(office): Open, shell: Shell, query: form::Asked) -> Result<Response, Trouble> {
    let only_open = query.get("all").is_none();
    let at = query.at(&shell)?;
    let groups = office.desk.groups(only_open, shell.now_ms, &at, PAGE).await;
    let groups = groups.map_err(|error| shell.away(error))?;
    let links = Links::of("/groups", if only_open { "" } else { "all=1" }, &groups);
    Ok(page::answer(&List { shell, only_open, groups: groups.items, links }))
}

#[derive(Template)]
#[template(path = "console/group.html")]
struct One {
    shell: Shell,
    group: Group,
    hours: Vec<Bar>,
    most: u64,
    letters: Vec<Summary>,
    /// Which letters the actions are for.
    open: String,
    discarded: String,
}

/// An hour of the chart.
struct Bar {
    x: i64,
    y: u64,
    height: u64,
    letters: u64,
    from: String,
}

/// The chart's height, in units of its own.
const HEIGHT: u64 = 60;

/// One group.
pub async fn show(Open(office): Open, shell: Shell, Path(id): Path<String>) -> Result<Response, Trouble> {
    let group = find(&office.desk, &shell, &id).await?;
    let first = shell.now_ms.div_euclid(HOUR_MS) - HOURS + 1;
    let counts = office.desk.hours(&group.id, first * HOUR_MS).await.map_err(|error| shell.away(error))?;
    let most = counts.values().copied().max().unwrap_or(0);
    let hours = (0..HOURS).map(|place| {
        let letters = counts.get(&(first + place)).copied().unwrap_or(0);
        // What is there is seen, however few they are.
        let height = if letters == 0 { 0 } else { (letters * HEIGHT / most.max(1)).max(2) };
        Bar { x: place * 10, y: HEIGHT - height, height, letters, from: hour(first + place) }
    });
    let filter = |state| Filter { group: Some(group.id.clone()), state: Some(state), ..Filter::default() };
    let letters = office.desk.letters(&filter(State::Open), &desk::At::First, LETTERS).await;
    let letters = letters.map_err(|error| shell.away(error))?.items;
    let of_group = form::written(&Filter { group: Some(group.id.clone()), ..Filter::default() });
    Ok(page::answer(&One {
        hours: hours.collect(),
        most,
        letters,
        open: of_group.clone(),
        discarded: of_group,
        group,
        shell,
    }))
}

fn hour(number: i64) -> String {
    base::text::utc(number * HOUR_MS).get(..13).map_or_else(String::new, |hour| hour.replace('T', " ") + "h")
}

/// What is said of a group.
#[derive(Deserialize)]
pub struct Mark {
    csrf: String,
    note: Option<String>,
    state: Option<GroupState>,
    #[serde(default)]
    reason: String,
}

/// Writes a note, closes or opens again.
pub async fn mark(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Form(mark): Form<Mark>,
) -> Result<Response, Trouble> {
    shell.check(&session, &mark.csrf)?;
    let group = find(&office.desk, &shell, &id).await?;
    let note =
        mark.note.map(|note| note.replace('\0', "").trim().chars().take(LONGEST_NOTE).collect::<String>());
    let by = shell.because(&mark.reason)?;
    let marked = office.desk.mark_group(&group.id, note.as_deref(), mark.state, by).await;
    marked.map_err(|error| shell.away(error))?;
    Ok(Redirect::to(&format!("/groups/{}", group.id)).into_response())
}

async fn find(desk: &Desk, shell: &Shell, id: &str) -> Result<Group, Trouble> {
    let group = if is_id(id) { desk.group(id, shell.now_ms).await } else { Ok(None) };
    group.map_err(|error| shell.away(error))?.ok_or_else(|| shell.nothing())
}
