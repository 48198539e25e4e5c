//! `/audit-log`

use askama::Template;
use axum::response::Response;
use base::text;
use desk_api::{AuditEntry, Filter};

use super::PAGE_SIZE;
use super::form::{QueryParams, query_string};
use super::format::short;
use super::i18n::{Texts, counted};
use super::page::{self, ErrorPage, PageContext, PageLinks};
use server::DeskState;

/// Ids of a filter that are listed.
const MAX_IDS: usize = 3;

#[derive(Template)]
#[template(path = "console/audit_log.html")]
struct ListPage {
    ctx: PageContext,
    entries: Vec<AuditEntry>,
    links: PageLinks,
}

impl ListPage {
    /// The dead letters that an action applied to, by their filter: the address of their list, and the conditions.
    fn selection(&self, entry: &AuditEntry) -> Option<(String, String)> {
        let filter: Filter = serde_json::from_str(entry.filter.as_deref()?).ok()?;
        let query = query_string(&Filter { state: None, ..filter.clone() });
        let address = format!("/dead-letters?{query}{}state=any", if query.is_empty() { "" } else { "&" });
        let conditions: Vec<String> =
            filter.query_pairs().iter().map(|(name, value)| self.condition(name, value, &filter)).collect();
        let conditions = match conditions.is_empty() {
            true => self.ctx.texts.desk.all_of_desk.to_owned(),
            false => self.ctx.line(&conditions.join(", ")),
        };
        Some((address, conditions))
    }

    /// A condition of a filter. A list of many ids is abbreviated.
    fn condition(&self, name: &str, value: &str, filter: &Filter) -> String {
        let texts = self.ctx.texts;
        let time = || value.parse().map_or_else(|_| value.to_owned(), text::local);
        let (label, value) = match name {
            "ids" if filter.ids.len() > MAX_IDS => return counted(texts.n_ids, filter.ids.len() as u64),
            "ids" => return filter.ids.iter().map(|id| short(id)).collect::<Vec<_>>().join(", "),
            "state" => (texts.state, filter.state.map_or("", |state| self.ctx.state(&state)).to_owned()),
            "failure" => (texts.failure, short(value)),
            "since_ms" => (texts.desk.since, time()),
            "until_ms" => (texts.desk.until, time()),
            "code" => (texts.code, value.to_owned()),
            "topic" => (texts.topic, value.to_owned()),
            "plugin" => (texts.plugin, value.to_owned()),
            "message" => (texts.message, value.to_owned()),
            _ => (texts.text, value.to_owned()),
        };
        format!("{label} {value}")
    }
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
