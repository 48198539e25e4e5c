//! `/release`: held keys of a plugin.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::form::{QueryParams, Submitted};
use super::i18n::counted;
use super::page::{self, ErrorPage, PageContext};
use server::held_keys::{self, PluginKeys, Selected};
use server::{DeskState, api};

/// The maximum number of keys of a plugin that are listed.
pub const MAX_ROWS: usize = 50;

#[derive(Template)]
#[template(path = "console/release.html")]
struct ReleasePage {
    ctx: PageContext,
    plugin: String,
    /// The key's id; empty for all keys of the plugin.
    id: String,
    /// The key, or the number of keys.
    what: String,
}

/// The form: for a key, or for all keys of a plugin.
pub async fn form(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    let plugin = query.get("plugin").unwrap_or_default();
    let Some(of) = state.held_keys.iter().find(|it| *it.plugin == *plugin) else {
        return Err(ctx.not_found());
    };
    let id = query.get("id").unwrap_or_default().to_owned();
    let what = if id.is_empty() {
        counted(ctx.texts.n_keys, of.keys.len() as u64)
    } else {
        key_text(of, &id).ok_or_else(|| ctx.not_found())?
    };
    Ok(page::render(&ReleasePage { plugin: plugin.to_owned(), id, what, ctx }))
}

fn key_text(of: &PluginKeys, id: &str) -> Option<String> {
    let key = held_keys::parse_id(id)?;
    let (_, held) = of.keys.list().into_iter().find(|(held, _)| *held == key)?;
    Some(String::from_utf8_lossy(&held.key).into_owned())
}

/// The fields of the form.
#[derive(Deserialize)]
pub struct ReleaseForm {
    plugin: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    reason: String,
}

/// Releases a key, or all keys of a plugin.
pub async fn release(
    state: DeskState,
    Submitted { ctx, form: ReleaseForm { plugin, id, reason } }: Submitted<ReleaseForm>,
) -> Result<Response, ErrorPage> {
    let ids = match id.as_str() {
        "" => None,
        id => Some([held_keys::parse_id(id).ok_or_else(|| ctx.not_found())?]),
    };
    let selected = ids.as_ref().map_or(Selected::All, |ids| Selected::Ids(ids));
    let released = held_keys::release(&state, &plugin, selected, ctx.actor(&reason)?).await;
    released.map_err(|error| ctx.problem(api::release_refused(&state, &plugin, error)))?;
    Ok(Redirect::to("/#held-keys").into_response())
}
