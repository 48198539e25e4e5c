//! `/settings`: the effective configuration.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use desk_api::SettingTable;

use super::page::{self, PageContext};
use server::DeskState;

#[derive(Template)]
#[template(path = "console/settings.html")]
struct SettingsPage {
    ctx: PageContext,
    tables: Arc<[SettingTable]>,
}

/// The configuration.
pub async fn list(state: DeskState, ctx: PageContext) -> Response {
    page::render(&SettingsPage { ctx, tables: state.settings })
}
