//! `/discard` and `/restore`: letters are given up, and opened again.

use askama::Template;
use axum::Extension;
use axum::extract::Form;
use axum::response::{IntoResponse, Redirect, Response};
use desk::{Filter, State};
use serde::Deserialize;

use super::form::{self, Asked};
use super::page::{self, Open, Shell, Trouble};
use super::session::Session;
use crate::Office;

#[derive(Template)]
#[template(path = "console/turn.html")]
struct Turn {
    shell: Shell,
    /// Whether they are given up.
    discards: bool,
    letters: u64,
    /// Which letters, as in an address.
    which: String,
    is_all: bool,
    wrong: &'static str,
}

/// The form in which letters are given up.
pub async fn discarding(open: Open, shell: Shell, asked: Asked) -> Result<Response, Trouble> {
    let filter = asked.filter(&shell)?;
    ask(&open.0, shell, &filter, true, "").await
}

/// The form in which they are opened again.
pub async fn restoring(open: Open, shell: Shell, asked: Asked) -> Result<Response, Trouble> {
    let filter = asked.filter(&shell)?;
    ask(&open.0, shell, &filter, false, "").await
}

async fn ask(
    office: &Office,
    shell: Shell,
    filter: &Filter,
    discards: bool,
    wrong: &'static str,
) -> Result<Response, Trouble> {
    let from = if discards { State::Open } else { State::Discarded };
    let filter = Filter { state: None, ..filter.clone() };
    let some = Filter { state: Some(from), ..filter.clone() };
    let letters = office.desk.count(&some).await.map_err(|error| shell.away(error))?;
    let (which, is_all) = (form::written(&filter), filter.is_any());
    Ok(page::answer(&Turn { shell, discards, letters, which, is_all, wrong }))
}

/// What the form holds.
#[derive(Deserialize)]
pub struct Said {
    csrf: String,
    which: String,
    #[serde(default)]
    reason: String,
}

/// Gives letters up.
pub async fn discard(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    Form(said): Form<Said>,
) -> Result<Response, Trouble> {
    shell.check(&session, &said.csrf)?;
    let filter = form::which(&said.which, &shell)?;
    if said.reason.trim().is_empty() {
        let wrong = shell.words.reason_needed;
        return ask(&office, shell, &filter, true, wrong).await;
    }
    let letters = office.desk.discard(&filter, shell.because(&said.reason)?).await;
    letters.map_err(|error| shell.away(error))?;
    Ok(to(&filter, State::Discarded))
}

/// Opens letters again.
pub async fn restore(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    Form(said): Form<Said>,
) -> Result<Response, Trouble> {
    shell.check(&session, &said.csrf)?;
    let filter = form::which(&said.which, &shell)?;
    let letters = office.desk.restore(&filter, shell.because(&said.reason)?).await;
    letters.map_err(|error| shell.away(error))?;
    Ok(to(&filter, State::Open))
}

/// To where they are seen now.
fn to(filter: &Filter, state: State) -> Response {
    let filter = Filter { state: Some(state), ..filter.clone() };
    Redirect::to(&format!("/letters?{}", form::written(&filter))).into_response()
}
