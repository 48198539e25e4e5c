//! The console: the desk for people, at `/`. Pages are drawn here, on the functions that the API stands on;
//! a small script keeps them up to date, and nothing needs it.

mod actions;
mod assets;
mod door;
mod form;
mod groups;
mod jobs;
mod letters;
mod live;
mod overview;
mod page;
mod replay;
mod session;
mod shown;
mod trials;
mod turn;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use desk::trial::LARGEST;

use self::live::Live;
use self::session::Sessions;
use crate::Status;
use crate::guard::Access;

/// The largest form but a build's, in bytes: an edited value is part of one.
const FORM: usize = 4 << 20;

/// What the console stands on.
#[derive(Clone)]
struct Console(Arc<Parts>);

struct Parts {
    status: Status,
    access: Access,
    sessions: Sessions,
    live: Live,
    attempts: door::Attempts,
}

impl FromRef<Console> for Status {
    fn from_ref(console: &Console) -> Self {
        console.0.status.clone()
    }
}

/// The console for those whom `access` lets in.
pub fn router(status: Status, access: Access) -> Router {
    let sessions = Sessions::new(&access);
    let attempts = door::attempts();
    let console = Console(Arc::new(Parts { status, access, sessions, live: Live::default(), attempts }));
    let upload = DefaultBodyLimit::max(LARGEST + (1 << 20));
    Router::new()
        .route("/", get(overview::show))
        .route("/events", get(live::events))
        .route("/groups", get(groups::list))
        .route("/groups/{id}", get(groups::show).post(groups::mark))
        .route("/letters", get(letters::list))
        .route("/letters/{id}", get(letters::show))
        .route("/letters/{id}/value", get(letters::value))
        .route("/letters/{id}/edit", get(letters::form).post(letters::edit))
        .route("/discard", get(turn::discarding).post(turn::discard))
        .route("/restore", get(turn::restoring).post(turn::restore))
        .route("/replay", get(replay::form).post(replay::start))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", get(jobs::show).post(jobs::turn))
        .route("/try", get(trials::form).post(trials::start).layer(upload))
        .route("/trials", get(trials::list))
        .route("/trials/{id}", get(trials::show).post(trials::cancel))
        .route("/actions", get(actions::list))
        .route("/login", get(door::form).post(door::enter))
        .route("/logout", post(door::leave))
        .fallback(page::not_found)
        .method_not_allowed_fallback(page::not_found)
        .layer(DefaultBodyLimit::max(FORM))
        .layer(from_fn_with_state(console.clone(), door::guard))
        .merge(assets::router())
        .with_state(console)
}
