//! `/audit-log`

use askama::Template;
use axum::response::Response;
use desk_api::AuditEntry;

use super::PAGE_SIZE;
use super::form::QueryParams;
use super::i18n::Texts;
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

impl Texts {
    /// The name of an action in the audit log.
    pub fn audit_action<'a>(&self, action: &'a str) -> &'a str {
        match action {
            "replay" => self.action_replay,
            "discard" => self.action_discard,
            "restore" => self.action_restore,
            "edit" => self.action_edit,
            "note" => self.action_note,
            "close" => self.action_close,
            "reopen" => self.action_reopen,
            "pause" => self.action_pause,
            "resume" => self.action_resume,
            "cancel" => self.action_cancel,
            "import" => self.action_import,
            "export" => self.action_export,
            "try" => self.action_try,
            "pause-plugin" => self.action_pause_plugin,
            "resume-plugin" => self.action_resume_plugin,
            "release-keys" => self.release_keys,
            "run-now" | "postpone" | "give-up" => self.waiting_action(action),
            other => other,
        }
    }
}
