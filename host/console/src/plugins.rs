//! `/plugins`: what the plugins of this process are, and what they may do.

use askama::Template;
use axum::response::Response;
use desk_api::{Failure, PageSelector, PluginDetails};
use url::form_urlencoded;

use super::page::{self, ErrorPage, PageContext};
use server::{DeskState, api};

/// Failures that are read, and those that are listed for each plugin.
const MAX_READ: usize = 200;
const MAX_FAILURES: usize = 3;

#[derive(Template)]
#[template(path = "console/plugins.html")]
struct PluginsPage {
    ctx: PageContext,
    rows: Vec<Row>,
}

struct Row {
    it: PluginDetails,
    /// The plugin's name, as a query string.
    query: String,
    failures: Vec<Failure>,
}

impl Row {
    fn isolation(&self, ctx: &PageContext) -> &'static str {
        let rooms = &ctx.texts.rooms;
        match self.it.isolation.as_str() {
            "instance" => rooms.isolation_kept,
            "message" if self.it.not_reset.is_none() => rooms.isolation_reset,
            _ => rooms.isolation_new,
        }
    }
}

/// The plugins.
pub async fn list(state: DeskState, ctx: PageContext) -> Result<Response, ErrorPage> {
    let failures = state.desk.failures(true, ctx.now_ms, &PageSelector::First, MAX_READ).await;
    let failures = failures.map_err(|error| ctx.store_unavailable(error))?.items;
    let row = |it: PluginDetails| {
        let own = failures.iter().filter(|failure| failure.plugin == it.overview.plugin);
        Row { query: query(&it.overview.name), failures: own.take(MAX_FAILURES).cloned().collect(), it }
    };
    let rows = api::details(&state).into_iter().map(row).collect();
    Ok(page::render(&PluginsPage { ctx, rows }))
}

/// A plugin's name, as a query string.
pub fn query(name: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("plugin", name).finish()
}
