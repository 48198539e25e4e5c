//! `/actions`: who did what, when and why.

use askama::Template;
use axum::response::Response;
use desk::actions::Action;

use super::form::Asked;
use super::page::{self, Links, Open, Shell, Trouble};

const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "console/actions.html")]
struct List {
    shell: Shell,
    actions: Vec<Action>,
    links: Links,
}

/// All of them, newest first.
pub async fn list(Open(office): Open, shell: Shell, asked: Asked) -> Result<Response, Trouble> {
    let at = asked.at(&shell)?;
    let actions = office.desk.actions(None, &at, PAGE).await.map_err(|error| shell.away(error))?;
    let links = Links::of("/actions", "", &actions);
    Ok(page::answer(&List { shell, actions: actions.items, links }))
}
