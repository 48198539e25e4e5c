//! The console: HTML pages at `/`. They are rendered on the server, with the functions of the API; an optional script
//! keeps them up to date.

mod assets;
mod audit_log;
mod dead_letters;
mod discard;
mod edit;
mod failures;
mod fate;
mod form;
mod format;
mod i18n;
mod live;
mod login;
mod overview;
mod page;
mod partitions;
mod pause;
mod plugins;
mod release;
mod replays;
mod session;
mod settings;
mod spark;
mod start_replay;
mod strip;
mod theme;
mod topics;
mod trials;
mod waiting;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use desk_api::MAX_BUILD_BYTES;

use self::live::Live;
use self::session::Sessions;
use server::Status;
use server::guard::AccessPolicy;

/// Maximum size of a form other than a build's, in bytes. It must have room for an edited value.
const MAX_FORM_BYTES: usize = 4 << 20;
/// Room for the other fields of a build's form, in bytes.
const FORM_OVERHEAD_BYTES: usize = 1 << 20;
/// Entries per page of a list.
const PAGE_SIZE: usize = 50;

/// The console's state.
#[derive(Clone)]
struct Console(Arc<Inner>);

struct Inner {
    status: Status,
    policy: AccessPolicy,
    sessions: Sessions,
    live: Live,
    login_limiter: login::Limiter,
}

/// The console.
pub fn router(status: Status, policy: AccessPolicy) -> Router {
    let sessions = Sessions::new(&policy);
    let login_limiter = login::limiter();
    let inner = Inner { status, policy, sessions, live: Live::default(), login_limiter };
    let console = Console(Arc::new(inner));
    let build_limit = DefaultBodyLimit::max(MAX_BUILD_BYTES + FORM_OVERHEAD_BYTES);
    Router::new()
        .route("/", get(overview::show))
        .route("/events", get(live::events))
        .route("/failures", get(failures::list))
        .route("/failures/{id}", get(failures::show).post(failures::update))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/{id}", get(dead_letters::show))
        .route("/dead-letters/{id}/value", get(dead_letters::value))
        .route("/dead-letters/{id}/edit", get(edit::form).post(edit::submit))
        .route("/discard", get(discard::form).post(discard::submit))
        .route("/restore", get(discard::form).post(discard::submit))
        .route("/replay", get(start_replay::form).post(start_replay::start))
        .route("/replays", get(replays::list))
        .route("/replays/{id}", get(replays::show).post(replays::change))
        .route("/try", get(trials::form).post(trials::start).layer(build_limit))
        .route("/trials", get(trials::list))
        .route("/trials/{id}", get(trials::show).post(trials::cancel))
        .route("/pause", get(pause::form).post(pause::submit))
        .route("/resume", get(pause::form).post(pause::submit))
        .route("/release", get(release::form).post(release::release))
        .route("/waiting", get(waiting::list))
        .route("/waiting/{action}", get(waiting::form).post(waiting::submit))
        .route("/plugins", get(plugins::list))
        .route("/topics", get(topics::show))
        .route("/settings", get(settings::list))
        .route("/audit-log", get(audit_log::list))
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", post(login::log_out))
        .fallback(page::not_found)
        .method_not_allowed_fallback(page::not_found)
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(from_fn_with_state(console.clone(), login::guard))
        .merge(assets::router())
        .with_state(console)
}
