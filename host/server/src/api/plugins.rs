//! `/plugins/{name}/pause` and `/resume`

use axum::Json;
use axum::http::StatusCode;
use consumer::gate::{self, Pause};
use desk::pauses::{Changed, PauseError};
use desk_api::{ChangedIntake, Intake, IntakeChange, IntakeState};
use problem::Problem;

use super::request::{JsonBody, PathName, User, require_reason};
use super::store_unavailable;
use crate::DeskState;

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
