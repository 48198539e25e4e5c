//! `/release`: held keys of a plugin.

use askama::Template;
use axum::Extension;
use axum::extract::Form;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::form::QueryParams;
use super::format;
use super::i18n::Texts;
use super::page::{self, ErrorPage, PageContext};
use super::session::Session;
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
        ctx.texts.key_count(&(of.keys.len() as u64))
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
    csrf: String,
    plugin: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    reason: String,
}

/// Releases a key, or all keys of a plugin.
pub async fn release(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Form(ReleaseForm { csrf, plugin, id, reason }): Form<ReleaseForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &csrf)?;
    let ids = match id.as_str() {
        "" => None,
        id => Some([held_keys::parse_id(id).ok_or_else(|| ctx.not_found())?]),
    };
    let selected = ids.as_ref().map_or(Selected::All, |ids| Selected::Ids(ids));
    let released = held_keys::release(&state, &plugin, selected, ctx.actor(&reason)?).await;
    released.map_err(|error| ctx.problem(api::release_refused(&state, &plugin, error)))?;
    Ok(Redirect::to("/#held-keys").into_response())
}

impl Texts {
    /// A number of keys.
    pub fn key_count(&self, count: &u64) -> String {
        let number = format::number(*count);
        match (self.lang, count) {
            ("ko", _) => format!("키 {number}개"),
            (_, 1) => "1 key".to_owned(),
            _ => format!("{number} keys"),
        }
    }
}
