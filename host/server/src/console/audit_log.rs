//! `/audit-log`

use askama::Template;
use axum::response::Response;
use desk_api::AuditEntry;

use super::PAGE_SIZE;
use super::form::QueryParams;
use super::page::{self, ErrorPage, PageContext, PageLinks};
use crate::DeskState;

#[derive(Template)]
#[template(path = "console/audit_log.html")]
struct ListPage {
    ctx: PageContext,
    entries: Vec<AuditEntry>,
    links: PageLinks,
}

/// All entries, newest first.
pub async fn list(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    let selector = query.selector(&ctx)?;
    let page = state.desk.audit_log(None, &selector, PAGE_SIZE).await;
    let page = page.map_err(|error| ctx.store_unavailable(error))?;
    let links = PageLinks::new("/audit-log", "", &page);
    Ok(page::render(&ListPage { ctx, entries: page.items, links }))
}
