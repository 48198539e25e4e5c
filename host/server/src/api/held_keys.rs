//! `/held-keys`, and `/plugins/{name}/release`

use axum::Json;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use desk_api::{HeldKey, MAX_PAGE, Page, Release, Released};
use kafka::errors::short;
use kafka::key_order::OrderKey;
use problem::Problem;

use super::query::{Query, bad_request};
use super::request::{JsonBody, PathName, User};
use super::store_unavailable;
use crate::DeskState;
use crate::held_keys::{self, ReleaseError, Selected};

/// Lists the keys whose messages are held after a dead letter: for each plugin the 500 that have been held for the
/// longest time.
#[utoipa::path(get, path = "/held-keys", tag = "plugins", operation_id = "list_held_keys",
    responses((status = OK, body = Page<HeldKey>)))]
pub async fn list(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<Page<HeldKey>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(state.held_keys.iter().flat_map(|plugin| plugin.list(MAX_PAGE)).collect())))
}

/// Releases held keys of a plugin, in all hosts of its consumer group: their later messages are handled again.
#[utoipa::path(post, path = "/plugins/{name}/release", tag = "plugins", operation_id = "release_keys",
    params(("name" = String, Path, description = "The plugin's name, without its version")),
    request_body = Release, responses((status = OK, body = Released)))]
pub async fn release(
    state: DeskState,
    PathName(name): PathName,
    user: User,
    JsonBody(Release { ids, all, reason }): JsonBody<Release>,
) -> Result<Json<Released>, Problem> {
    if all != ids.is_empty() {
        return Err(bad_request("ids, or all: one of both"));
    }
    let parsed = |id: &String| {
        held_keys::parse_id(id)
            .ok_or_else(|| bad_request(format!("ids: {id:?} is not 32 hexadecimal digits")))
    };
    let ids: Vec<OrderKey> = ids.iter().map(parsed).collect::<Result<_, _>>()?;
    let selected = if all { Selected::All } else { Selected::Ids(&ids) };
    let released = held_keys::release(&state, &name, selected, user.actor(&reason)?).await;
    let released = released.map_err(|error| refused(&state, &name, error))? as u64;
    Ok(Json(Released { plugin: name, released }))
}

/// 404: no plugin with this name holds keys. 503: the store or Kafka is unavailable.
pub fn refused(state: &DeskState, name: &str, error: ReleaseError) -> Problem {
    match error {
        ReleaseError::Unknown => {
            let names: Vec<&str> = state.held_keys.iter().map(|plugin| &*plugin.plugin).collect();
            let detail = match names.as_slice() {
                [] => format!("{name:?}: no plugin of this host has on-dead = \"hold\""),
                names => {
                    format!("{name:?} holds no keys; on-dead = \"hold\" is set for {}", names.join(", "))
                }
            };
            Problem::new(StatusCode::NOT_FOUND, detail)
        }
        ReleaseError::Store(error) => store_unavailable(error),
        ReleaseError::Kafka(code) => {
            tracing::warn!(plugin = name, error = short(code), "held keys cannot be released");
            let detail = format!(
                "Kafka did not take the release of all keys: {}; the others are still held",
                short(code)
            );
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }
}
