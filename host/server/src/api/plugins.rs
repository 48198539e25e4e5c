//! `/plugins`

use axum::Json;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use consumer::gate::{self, Pause};
use desk::pauses::{Changed, PauseError};
use desk_api::{ChangedIntake, Intake, IntakeChange, IntakeState, Page, PluginDetails};
use problem::Problem;

use super::overview::plugin_overview;
use super::query::Query;
use super::request::{JsonBody, PathName, User, require_reason};
use super::store_unavailable;
use crate::metrics::Tally;
use crate::{DeskState, plugins};

/// Lists the plugins of this process: what they are, what they may do, and how they run.
#[utoipa::path(get, path = "/plugins", tag = "plugins", operation_id = "list_plugins",
    responses((status = OK, body = Page<PluginDetails>)))]
pub async fn list(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<Page<PluginDetails>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(details(&state))))
}

/// Returns a plugin of this process.
#[utoipa::path(get, path = "/plugins/{name}", tag = "plugins", operation_id = "show_plugin",
    params(("name" = String, Path, description = "The plugin's name, without its version")),
    responses((status = OK, body = PluginDetails)))]
pub async fn show(
    state: DeskState,
    PathName(name): PathName,
    RawQuery(query): RawQuery,
) -> Result<Json<PluginDetails>, Problem> {
    Query::read(query.as_deref(), &[])?;
    let found = details(&state).into_iter().find(|plugin| plugin.overview.name == name);
    let names = || state.plugins.iter().map(|plugin| plugin.name.to_string()).collect();
    found.map(Json).ok_or_else(|| refused(&name, PauseError::Unknown(names())))
}

/// The plugins in detail.
pub fn details(state: &DeskState) -> Vec<PluginDetails> {
    let tally = Tally::now();
    let all = state.plugins.iter();
    all.filter_map(|info| plugins::details(state, info, plugin_overview(info, state, &tally))).collect()
}

/// Pauses a plugin in all hosts that use the store: it is handed no further messages.
#[utoipa::path(post, path = "/plugins/{name}/pause", tag = "plugins", operation_id = "pause_plugin",
    params(("name" = String, Path, description = "The plugin's name, without its version")),
    request_body = IntakeChange, responses((status = OK, body = ChangedIntake)))]
pub async fn pause(
    state: DeskState,
    PathName(name): PathName,
    user: User,
    JsonBody(change): JsonBody<IntakeChange>,
) -> Result<Json<ChangedIntake>, Problem> {
    let actor = user.actor(require_reason(&change.reason)?)?;
    let changed = state.pauses.pause(&name, actor).await.map_err(|error| refused(&name, error))?;
    Ok(Json(answer(&state, name, changed)))
}

/// Resumes a paused plugin in all hosts that use the store.
#[utoipa::path(post, path = "/plugins/{name}/resume", tag = "plugins", operation_id = "resume_plugin",
    params(("name" = String, Path, description = "The plugin's name, without its version")),
    request_body = IntakeChange, responses((status = OK, body = ChangedIntake)))]
pub async fn resume(
    state: DeskState,
    PathName(name): PathName,
    user: User,
    JsonBody(change): JsonBody<IntakeChange>,
) -> Result<Json<ChangedIntake>, Problem> {
    let actor = user.actor(&change.reason)?;
    let changed = state.pauses.resume(&name, actor).await.map_err(|error| refused(&name, error))?;
    Ok(Json(answer(&state, name, changed)))
}

fn answer(state: &DeskState, plugin: String, Changed { changed, .. }: Changed) -> ChangedIntake {
    let intake = intake(state, &plugin);
    ChangedIntake { plugin, changed, intake }
}

/// The intake of a plugin now.
pub fn intake(state: &DeskState, plugin: &str) -> Intake {
    let Some(gate) = state.pauses.gate(plugin) else { return Intake::RUNNING };
    let gate::Status { pause, rest, .. } = gate.status();
    if let Some(Pause { since_ms, actor, reason }) = pause {
        let (actor, reason) = (Some(actor), Some(reason));
        return Intake { state: IntakeState::Paused, since_ms: Some(since_ms), actor, reason };
    }
    match rest {
        Some((since_ms, code)) => {
            Intake { state: IntakeState::Resting, since_ms: Some(since_ms), actor: None, reason: Some(code) }
        }
        None => Intake::RUNNING,
    }
}

/// 404: no plugin has this name. 503: the store is unavailable.
pub fn refused(name: &str, error: PauseError) -> Problem {
    match error {
        PauseError::Unknown(names) => {
            let detail = format!("no plugin of this host has the name {name:?}; it has {}", names.join(", "));
            Problem::new(StatusCode::NOT_FOUND, detail)
        }
        PauseError::Store(error) => store_unavailable(error),
    }
}
